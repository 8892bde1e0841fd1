package verifier

import (
	"context"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/jwks"
)

// check is one of the checks that a token must pass.
type check struct {
	text    string   // as the package documentation says it
	reasons []Reason // that it can give, the first ones first
	run     func(*state, context.Context, *attempt) *Error
}

// checks are the checks of Verify in their order: this is the one place that says it. A token may be rejected before its
// signature is checked, but every check comes before the token is accepted.
var checks = [...]check{
	{
		"the size", []Reason{ReasonMalformed}, (*state).sizeFits,
	},
	{
		"three segments, each canonical base64url", []Reason{ReasonMalformed}, (*state).segmentsDecode,
	},
	{
		"the header: strict JSON, a known alg; no crit, b64, enc or cty, and no zip but NONE; jwk, jku and x5* are never read",
		[]Reason{ReasonMalformed, ReasonAlgNotAllowed, ReasonTypNotAllowed},
		(*state).headerIsRead,
	},
	{
		"the payload: strict JSON, registered claims of the right types", []Reason{ReasonMalformed}, (*state).payloadIsRead,
	},
	{
		"iss is one that a configured provider lists", []Reason{ReasonMalformed, ReasonUnknownIssuer}, (*state).issuerIsKnown,
	},
	{
		"the claims that the provider's Policy names have the right types, and alg and typ are in its lists",
		[]Reason{ReasonMalformed, ReasonAlgNotAllowed, ReasonTypNotAllowed},
		(*state).headerIsAllowed,
	},
	{
		"exp, nbf and iat, with Leeway", []Reason{ReasonExpired, ReasonNotYetValid}, (*state).timesFit,
	},
	{
		"the AudiencePolicy: kind of token, audience, client",
		[]Reason{ReasonBadAudience, ReasonTypNotAllowed, ReasonMissingClaim},
		(*state).audienceFits,
	},
	{
		"the keys for iss and kid, which may have to be fetched, and the signature",
		[]Reason{
			ReasonKeysUnavailable, ReasonUnknownKeyRateLimited, ReasonMalformed, ReasonKeyNotAllowed, ReasonUnknownKey,
			ReasonBadSignature,
		},
		(*state).signatureMatches,
	},
	{
		"RequiredClaims", []Reason{ReasonMissingClaim}, (*state).claimsArePresent,
	},
	{
		"MaxAge", []Reason{ReasonMissingClaim, ReasonTooOld}, (*state).ageFits,
	},
	{
		"MaxLifetime", []Reason{ReasonMissingClaim, ReasonTooOld}, (*state).lifetimeFits,
	},
	{
		"the actor, if there is an act claim (RFC 8693)", []Reason{ReasonMalformed}, (*state).actorIsRead,
	},
	{
		"RegionPolicy", []Reason{ReasonRegionInactive}, (*state).regionIsActive,
	},
	{
		"revocation", []Reason{ReasonRulesUnavailable, ReasonRevoked}, (*state).noRuleMatches,
	},
	{
		"Policy.Check", []Reason{ReasonCheckFailed}, (*state).policyCheckPasses,
	},
}

// attempt is a token on its way through the checks, and their working memory, used for one token after the other.
type attempt struct {
	now    time.Time
	raw    string
	jws    jose.JWS
	header header
	claims claims
	entry  *issuerEntry // of iss

	alb     albHeader // of a token of a load balancer
	idToken bool      // the audience policy accepts it as an ID token

	// What the signature proves.
	key     *jwks.Key
	regions []string
	token   *Token

	rules *rules // of revocation, that do not match the token

	buffer  jose.Buffer
	members []strictjson.Member
	parser  strictjson.Parser
}

// Limits on the memory that an attempt keeps, so that one huge token does not make it grow for good.
const (
	keptBytes   = 32 << 10
	keptMembers = 128
)

var attempts = sync.Pool{New: func() any {
	return &attempt{buffer: jose.NewBuffer(2 << 10), members: make([]strictjson.Member, 0, 32)}
}}

// release gives the memory to another attempt.
func (a *attempt) release() {
	if a.buffer.Size() > keptBytes || cap(a.members) > keptMembers {
		return
	}
	a.forget()
	attempts.Put(a)
}

// forget keeps the memory, and no text of the token.
func (a *attempt) forget() {
	clear(a.members)
	*a = attempt{buffer: a.buffer, members: a.members, parser: a.parser}
}

func (s *state) sizeFits(_ context.Context, a *attempt) *Error {
	if len(a.raw) > s.maxBytes {
		return &Error{Reason: ReasonMalformed, Detail: "size, see Config.MaxTokenBytes"}
	}
	return nil
}

func (s *state) segmentsDecode(_ context.Context, a *attempt) *Error {
	segments, ok := jose.Split(a.raw)
	switch {
	case ok && s.alb:
		a.jws, ok = a.buffer.DecodePadded(segments)
	case ok:
		a.jws, ok = a.buffer.Decode(segments)
	}
	if !ok {
		return &Error{Reason: ReasonMalformed}
	}
	return nil
}

func (s *state) headerIsRead(_ context.Context, a *attempt) *Error {
	members, err := a.parser.Parse(a.members[:0], a.jws.Header)
	if err != nil {
		return &Error{Reason: ReasonMalformed}
	}
	defer clear(members)
	if reason, detail := a.header.read(members); reason != "" {
		return &Error{Reason: reason, Detail: detail}
	}
	if !s.alb {
		return nil
	}
	if reason, detail := a.alb.read(members, a.header.kid); reason != "" {
		return &Error{Reason: reason, Detail: detail}
	}
	a.header.signer = a.alb.signer
	return nil
}

func (s *state) payloadIsRead(_ context.Context, a *attempt) *Error {
	if wrong, ok := a.readClaims(a.jws.Payload); !ok {
		return &Error{Reason: ReasonMalformed, Detail: wrong}
	}
	if !s.alb {
		return nil
	}
	if wrong := a.alb.complete(&a.claims); wrong != "" {
		return &Error{Reason: ReasonMalformed, Detail: wrong}
	}
	return nil
}

func (s *state) issuerIsKnown(_ context.Context, a *attempt) *Error {
	if s.alb {
		return s.loadBalancerIsKnown(a)
	}
	if !a.claims.issuerPresent {
		return &Error{Reason: ReasonMalformed, Detail: "iss"}
	}
	if a.entry = s.issuers[a.claims.issuer]; a.entry == nil {
		return &Error{Reason: ReasonUnknownIssuer}
	}
	return nil
}

func (s *state) headerIsAllowed(_ context.Context, a *attempt) *Error {
	return a.entry.rejectIf(a.entry.checkHeader(&a.header, &a.claims))
}

func (s *state) timesFit(_ context.Context, a *attempt) *Error {
	return a.entry.rejectIf(s.checkDates(a.claims.exp, a.claims.nbf, a.claims.iat, a.now), "")
}

func (s *state) audienceFits(_ context.Context, a *attempt) *Error {
	if s.alb {
		return a.entry.rejectIf(a.entry.alb.check(a.alb.client, &a.claims))
	}
	v := a.entry.checkAudience(a.header.typ, &a.claims)
	a.idToken = v.client
	return a.entry.rejectIf(v.reason, v.detail)
}

func (s *state) signatureMatches(ctx context.Context, a *attempt) (err *Error) {
	a.key, a.regions, err = s.checkSignature(ctx, a)
	return err
}

func (s *state) claimsArePresent(_ context.Context, a *attempt) *Error {
	if err := a.entry.checkRequired(&a.claims); err != nil {
		if len(a.regions) == 1 {
			err.Region = a.regions[0]
		}
		return err
	}
	a.token = s.newToken(a)
	return nil
}

func (s *state) ageFits(_ context.Context, a *attempt) *Error {
	return a.entry.rejectIf(s.checkAge(a.entry, a.token, a.now))
}

func (s *state) lifetimeFits(_ context.Context, a *attempt) *Error {
	return a.entry.rejectIf(a.entry.checkLifetime(a.token))
}

func (s *state) actorIsRead(_ context.Context, a *attempt) *Error {
	if a.claims.act.Kind() == strictjson.Absent {
		return nil
	}
	actor, ok := readActor(a.claims.act, a.claims.issuer, maxActors)
	if !ok {
		return a.entry.reject(ReasonMalformed, "act", nil)
	}
	a.token.actor = s.placed(a.entry, actor)
	return nil
}

func (s *state) regionIsActive(_ context.Context, a *attempt) *Error {
	return a.entry.checkRegions(a.token)
}

func (s *state) noRuleMatches(_ context.Context, a *attempt) *Error {
	a.rules = s.revocations.now() // before the question, so that no change is missed
	return s.checkRevoked(a.entry, a.token)
}

func (s *state) policyCheckPasses(ctx context.Context, a *attempt) *Error {
	return a.entry.check(ctx, a.token)
}
