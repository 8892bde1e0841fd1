package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/verifier"
)

// trustFlags say what a service demands of a token.
type trustFlags struct {
	pool, issuerType, use, authority      string
	replicas, clients, issuers, audiences list
	fetch                                 bool
}

func (f *trustFlags) define(c *call) {
	c.text(&f.pool, "user-pool", "REGIONJWT_USER_POOL", "`ID` of a Cognito user pool, such as us-east-1_AbCdEf123")
	c.list(&f.replicas, "replica", "REGIONJWT_REPLICA", "`region` that the pool is replicated to")
	c.text(&f.issuerType, "issuer-type", "REGIONJWT_ISSUER_TYPE", "`mode` of the pool: original, updated or any (any)")
	c.list(&f.clients, "client-id", "REGIONJWT_CLIENT_ID", "app client `ID` that tokens are accepted of")
	c.text(&f.use, "use", "REGIONJWT_USE", "`kind` of the token: access or id (access)")
	c.list(&f.issuers, "issuer", "REGIONJWT_ISSUER", "`REGION=iss` of another provider; its keys are found by OpenID discovery")
	c.list(&f.audiences, "audience", "REGIONJWT_AUDIENCE", "`aud` that tokens are accepted for")
	c.text(&f.authority, "authority", "REGIONJWT_AUTHORITY",
		"`ID` that the services give the provider, where it is no user pool: rules name it")
	c.flags.BoolVar(&f.fetch, "fetch", false, "get the keys of every region, and check the signature")
}

// trust is what the flags say, or nil where they say nothing.
func (f *trustFlags) trust(s *storeFlags) (*verifier.Policy, error) {
	if f.use != "" && f.use != "access" && f.use != "id" {
		return nil, fail(exitUsage, "-use is access or id")
	}
	switch {
	case f.pool != "" && len(f.issuers) > 0:
		return nil, fail(exitUsage, "give -user-pool or -issuer, not both")
	case f.pool != "":
		return f.poolTrust()
	case len(f.issuers) > 0:
		return f.issuerTrust(s)
	case f.fetch:
		return nil, fail(exitUsage, "-fetch needs to know whose keys: give -user-pool and -client-id, or -issuer and -audience")
	}
	return nil, nil
}

func (f *trustFlags) poolTrust() (*verifier.Policy, error) {
	types := map[string]issuer.IssuerType{
		"": issuer.AnyIssuer, "any": issuer.AnyIssuer, "original": issuer.Original, "updated": issuer.Updated,
	}
	issuerType, ok := types[f.issuerType]
	if !ok {
		return nil, fail(exitUsage, "-issuer-type is original, updated or any")
	}
	if len(f.clients) == 0 {
		return nil, fail(exitUsage, "say which clients the service accepts: -client-id ID")
	}
	authority, err := issuer.Cognito(issuer.UserPool{ID: f.pool, Replicas: f.replicas, Issuer: issuerType})
	if err != nil {
		return nil, fail(exitUsage, "%w", err)
	}
	binding := verifier.CognitoAccess(f.clients...)
	switch {
	case f.use == "id":
		binding = verifier.CognitoID(f.clients...)
	case len(f.audiences) > 0:
		binding = binding.WithAudience(f.audiences...)
	}
	return &verifier.Policy{Provider: authority, Audience: binding}, nil
}

func (f *trustFlags) issuerTrust(s *storeFlags) (*verifier.Policy, error) {
	authority := issuer.Provider{ID: f.authority}
	if authority.ID == "" {
		if f.fetch && s.store != "" {
			return nil, fail(exitUsage, "rules name the authority: give -authority, as the services have it")
		}
		authority.ID = "inspected"
	}
	if err := f.regions(&authority); err != nil {
		return nil, err
	}
	if err := authority.Validate(); err != nil {
		return nil, fail(exitUsage, "%w", err)
	}
	t := &verifier.Policy{Provider: authority}
	switch {
	case f.use == "id" && len(f.clients) == 0:
		return nil, fail(exitUsage, "say which clients the service accepts: -client-id ID")
	case f.use == "id":
		t.Audience = verifier.IDToken(f.clients...)
	case len(f.audiences) == 0:
		return nil, fail(exitUsage, "say for whom tokens must have been minted: -audience AUD")
	default:
		t.Audience = verifier.Audience(f.audiences...)
	}
	return t, nil
}

// defineRegions defines the flags that describe an authority, for commands that do not ask for whom tokens are.
func (f *trustFlags) defineRegions(c *call) {
	c.text(&f.pool, "user-pool", "REGIONJWT_USER_POOL", "`ID` of a Cognito user pool, such as us-east-1_AbCdEf123")
	c.list(&f.replicas, "replica", "REGIONJWT_REPLICA", "`region` that the pool is replicated to")
	c.list(&f.issuers, "issuer", "REGIONJWT_ISSUER",
		"`REGION=iss` of another provider; for a drill its keys are found by OpenID discovery, unless -jwks says where")
	c.text(&f.authority, "authority", "REGIONJWT_AUTHORITY",
		"`ID` that the services give the provider, where it is no user pool")
}

// regions adds the regions that -issuer names.
func (f *trustFlags) regions(a *issuer.Provider) error {
	for _, value := range f.issuers {
		name, iss, ok := strings.Cut(value, "=")
		if !ok || strings.Contains(name, "/") {
			return fail(exitUsage, "-issuer is REGION=iss, such as eu=https://eu.example/shop")
		}
		i := slices.IndexFunc(a.Regions, func(r issuer.Region) bool { return r.Name == name })
		if i < 0 {
			i = len(a.Regions)
			a.Regions = append(a.Regions, issuer.Region{Name: name})
		}
		a.Regions[i].Issuers = append(a.Regions[i].Issuers, iss)
	}
	return nil
}

// decodeBase64 decodes one part of a token.
func decodeBase64(part string) ([]byte, error) { return jose.AppendBase64(nil, part) }

// source says how the keys of a region could be had.
type source struct {
	Region string `json:"region"`
	State  string `json:"state"`
	Error  string `json:"error,omitempty"`
}

func (s source) trouble() string {
	if s.Error == "" {
		return ""
	}
	return ", last error: " + s.Error
}

// watchedKeys notes whether a verifier has got as far as asking for keys, and whether it got some.
type watchedKeys struct {
	jwks.Source
	asked, answered bool
}

// Lookup implements jwks.Source.
func (w *watchedKeys) Lookup(ctx context.Context, q jwks.Query) jwks.Result {
	r := w.Source.Lookup(ctx, q)
	if !q.CacheOnly {
		w.asked, w.answered = true, w.answered || len(r.Keys) > 0
	}
	return r
}

// noKeys is the Source of those who may not fetch any.
type noKeys struct{}

// Lookup implements jwks.Source: it cannot tell.
func (noKeys) Lookup(context.Context, jwks.Query) jwks.Result { return jwks.Result{} }

// Changed implements jwks.Source.
func (noKeys) Changed() <-chan struct{} { return nil }

// watchedRules notes the token that a verifier asks about, which has a good signature, and the rule.
type watchedRules struct {
	list  *revocation.List // nil where there are none to ask
	token *verifier.Token
	rule  string
}

// Revoked implements verifier.Revocation.
func (w *watchedRules) Revoked(t *verifier.Token) (string, error) {
	w.token = t
	if w.list == nil {
		return "", nil
	}
	rule, err := w.list.Revoked(t)
	w.rule = rule
	return rule, err
}

// Version implements verifier.Revocation.
func (w *watchedRules) Version() uint64 { return 0 }

// Changed implements verifier.Revocation.
func (w *watchedRules) Changed() <-chan struct{} { return nil }

// judge has a verifier check the token, and writes down what it found.
func (c *call) judge(ctx context.Context, r *report, raw string, t *verifier.Policy, f *trustFlags, s *storeFlags) error {
	keys := &watchedKeys{Source: noKeys{}}
	rules := &watchedRules{}
	var note error
	if f.fetch {
		ctxAll, cancel := context.WithTimeout(ctx, max(s.timeout, time.Second))
		defer cancel()
		ctx = ctxAll
		cache, err := jwks.New([]issuer.Provider{t.Provider}, jwks.Config{})
		if err != nil {
			return fail(exitUsage, "%w", err)
		}
		_ = cache.Preload(ctx) // what it could not get stands in its Status
		keys.Source = cache
		for _, st := range cache.Status() {
			r.Keys = append(r.Keys, source{Region: st.Region, State: st.State, Error: st.Failure})
		}
		if s.store != "" {
			o, err := s.open(c, false)
			if err != nil {
				return err
			}
			defer o.closeAll()
			_, note = o.load(ctx)
			rules.list = o.list
		}
	}
	v, err := verifier.New(verifier.Config{Keys: keys, Policies: []verifier.Policy{*t}, Revocation: rules, CacheSize: -1})
	if err != nil {
		return fail(exitUsage, "%w", err)
	}
	_, err = v.Verify(ctx, raw)
	r.take(err, keys, rules, f.fetch, note)
	return nil
}

// take writes down what the verifier said.
func (r *report) take(err error, keys *watchedKeys, rules *watchedRules, fetch bool, note error) {
	var refusal *verifier.Error
	if err != nil && !errors.As(err, &refusal) {
		refusal = &verifier.Error{Reason: verifier.ReasonMalformed}
	}
	if tok := rules.token; tok != nil {
		r.Authority, r.Regions, r.KeyID, r.Thumbprint = tok.Provider(), tok.Regions(), tok.KeyID(), tok.KeyThumbprint()
	}
	r.Rule = rules.rule
	why := r.Detail // of what decode has found
	r.Reason, r.Detail = "", ""
	stage := stageOf(refusal, keys)
	unknown := refusal != nil && (errors.Is(refusal, verifier.ErrUnavailable) || errors.Is(refusal, verifier.ErrRateLimited))
	switch {
	case refusal == nil:
		r.Verdict = accepted
	case stage == stageKey && !fetch:
		r.Verdict = notRefused
	case unknown:
		r.Verdict, r.Reason = cannotTell, refusal.Reason.String()
	default:
		r.Verdict, r.Reason = refused, refusal.Reason.String()
	}
	if r.Verdict == refused {
		r.Detail = why
		if refusal.Err != nil {
			r.Detail = refusal.Err.Error()
		}
	}
	if note != nil {
		r.Detail = note.Error()
		if r.Verdict == accepted { // by rules that may not be all
			r.Verdict, r.Reason = cannotTell, verifier.ReasonRulesUnavailable.String()
		}
	}
	r.Checks = checksUpTo(stage, r.Verdict, rules.list != nil)
}
