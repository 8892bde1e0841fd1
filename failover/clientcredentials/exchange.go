package clientcredentials

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// Exchange describes a token to be had for another one (RFC 8693).
type Exchange struct {
	// SubjectToken is the token of the user or client on whose behalf the new one is used. It is required.
	SubjectToken string

	// ActorToken is the token of the one who acts, such as the Value of this TokenSource's own token. The new token then names
	// both: see verifier.Token.Actor. "" means that nobody acts, or that the provider takes the client for the actor.
	ActorToken string

	// Scopes are requested. None means what the provider chooses.
	Scopes []string

	// Params are more parameters of the request, such as resource (RFC 8707) or audience, and requested_token_type. They may
	// replace subject_token_type and actor_token_type, which are those of access tokens.
	Params url.Values
}

const (
	exchangeGrant   = "urn:ietf:params:oauth:grant-type:token-exchange"
	accessTokenType = "urn:ietf:params:oauth:token-type:access_token" //nolint:gosec // it is public
)

// Exchange exchanges a token for another one at the first region that answers: in the order, with the hedging and the credentials
// of Token. It keeps no token: cache the result for as long as the subject's token and the result are valid. What it learns about
// the regions counts for Token, and the reverse, and Config.Failover gets its reports. With Config.DPoPKey the new token is bound
// to that key. The error is that of Token, or every problem with e, joined.
func (s *TokenSource) Exchange(ctx context.Context, e Exchange) (*Token, error) {
	if !s.made() {
		return nil, errNotMade
	}
	form, err := e.form()
	if err != nil {
		return nil, err
	}
	child := &TokenSource{config: s.config, clock: s.clock, tools: s.tools, form: form, parent: s}
	s.mu.Lock()
	for _, r := range s.regions {
		one := *r
		one.origin, one.busy, one.rejection = r, false, nil
		child.regions = append(child.regions, &one)
	}
	s.mu.Unlock()
	return child.Token(ctx)
}

// form returns the body of the request, or every problem with e.
func (e *Exchange) form() (url.Values, error) {
	var errs []error
	add := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("clientcredentials: Exchange: "+format, args...))
		}
	}
	add(e.SubjectToken == "", "a SubjectToken is required")
	for i, scope := range e.Scopes {
		add(!isScope(scope), "Scopes: number %d is not a scope", i)
	}
	for _, name := range slices.Concat(reserved, []string{"subject_token", "actor_token"}) {
		add(e.Params.Has(name), "Params cannot have %q", name)
	}
	add(e.ActorToken == "" && e.Params.Has("actor_token_type"), "actor_token_type needs an ActorToken")
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	v := url.Values{"subject_token_type": {accessTokenType}}
	if e.ActorToken != "" {
		v.Set("actor_token_type", accessTokenType)
	}
	maps.Copy(v, e.Params)
	v.Set("grant_type", exchangeGrant)
	v.Set("subject_token", e.SubjectToken)
	if e.ActorToken != "" {
		v.Set("actor_token", e.ActorToken)
	}
	if len(e.Scopes) > 0 {
		v.Set("scope", strings.Join(e.Scopes, " "))
	}
	return v, nil
}
