package verifier

import (
	"context"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/secevent"
	"github.com/regionjwt/regionjwt/internal/strictjson"
)

var _ = secevent.Provide(verifySecurityEvent)

// The types of tokens that carry events: RFC 8417 section 2.3, OpenID Connect Back-Channel Logout 1.0 section 2.4.
const (
	eventType  = "secevent+jwt"
	logoutType = "logout+jwt"
)

// eventAlgorithms are those of security event tokens. The key decides which of them.
var eventAlgorithms = []string{
	"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519",
}

// verifySecurityEvent checks a token that carries events, by rules of its own. Like a Verifier, it checks the cheap things first,
// and only a token that could be valid causes a fetch.
func verifySecurityEvent(ctx context.Context, raw string, c *secevent.Check) (secevent.Token, error) {
	s := &state{keys: c.Keys, maxBytes: c.MaxBytes}
	a := attempts.Get().(*attempt)
	defer a.release()
	a.now, a.raw = c.Now, raw
	for _, check := range [...]func(*state, context.Context, *attempt) *Error{
		(*state).sizeFits, (*state).segmentsDecode, (*state).headerIsRead, (*state).payloadIsRead,
	} {
		if err := check(s, ctx, a); err != nil {
			return secevent.Token{}, err
		}
	}
	regions, known := c.Issuers[a.claims.issuer]
	switch {
	case !a.claims.issuerPresent:
		return secevent.Token{}, &Error{Reason: ReasonMalformed, Detail: "iss"}
	case !known:
		return secevent.Token{}, &Error{Reason: ReasonUnknownIssuer, Detail: "iss"}
	}
	a.entry = &issuerEntry{compiledPolicy: &compiledPolicy{demands: &demands{}, providerID: c.Transmitter}, regions: regions}
	logout, reason, detail := checkEvent(a, c)
	if reason != "" {
		return secevent.Token{}, a.entry.reject(reason, detail, nil)
	}
	if _, _, err := s.checkSignature(ctx, a); err != nil {
		return secevent.Token{}, err
	}
	t := secevent.Token{
		Issuer: a.claims.issuer, ID: a.claims.id, IssuedAt: a.claims.iat, Logout: logout,
		Events: strictjson.Find(a.members, "events"), Members: slices.Clone(a.members),
	}
	if logout {
		t.Subject = a.claims.subject
	}
	return t, nil
}

// checkEvent checks the header and the claims. It reports whether it is a logout token.
func checkEvent(a *attempt, c *secevent.Check) (logout bool, reason Reason, detail string) {
	h, cl := &a.header, &a.claims
	logout = h.typ == logoutType || h.typ != eventType && hasLogoutEvent(cl)
	switch {
	case h.kid == "":
		return logout, ReasonMalformed, "kid"
	case !slices.Contains(eventAlgorithms, jose.Canonical(h.alg)):
		return logout, ReasonAlgNotAllowed, "alg"
	case !cl.events:
		return logout, ReasonMalformed, "events"
	case cl.id == "":
		return logout, ReasonMalformed, "jti"
	case cl.iat.IsZero():
		return logout, ReasonMalformed, "iat"
	case cl.nbf.After(c.Now.Add(c.Leeway)):
		return logout, ReasonNotYetValid, "nbf"
	case logout:
		reason, detail = checkLogout(a, c)
	default:
		reason, detail = checkSET(a, c)
	}
	if reason == "" && !cl.audience.holdsOne(c.Audience) {
		return logout, ReasonBadAudience, "aud"
	}
	return logout, reason, detail
}

// checkSET checks what is particular to a security event token (RFC 8417, OpenID Shared Signals Framework 1.0 section 4).
func checkSET(a *attempt, c *secevent.Check) (Reason, string) {
	h, cl := &a.header, &a.claims
	typed := h.typ == eventType
	switch {
	case !typed && (!c.Untyped || h.typ != "" && h.typ != "jwt"):
		return ReasonTypNotAllowed, "typ"
	case cl.expPresent && (!c.Expiring || !typed):
		return ReasonMalformed, "exp"
	case cl.expPresent && isOver(cl.exp, c):
		return ReasonExpired, "exp"
	case strictjson.Find(cl.members, "sub").Kind() == strictjson.String:
		return ReasonMalformed, "sub"
	}
	return "", ""
}

// checkLogout checks what is particular to a logout token (OpenID Connect Back-Channel Logout 1.0 section 2.6).
func checkLogout(a *attempt, c *secevent.Check) (Reason, string) {
	h, cl := &a.header, &a.claims
	sid := strictjson.Find(cl.members, "sid")
	switch {
	case h.typ != logoutType && h.typ != "jwt" && h.typ != "":
		return ReasonTypNotAllowed, "typ"
	case !hasLogoutEvent(cl):
		return ReasonMalformed, "events"
	case cl.expPresent && isOver(cl.exp, c):
		return ReasonExpired, "exp"
	case strictjson.Find(cl.members, "nonce").Kind() != strictjson.Absent:
		return ReasonMalformed, "nonce"
	case sid.Kind() != strictjson.Absent && sid.Kind() != strictjson.Null && sid.Text() == "":
		return ReasonMalformed, "sid"
	case cl.subject == "" && sid.Text() == "":
		return ReasonMalformed, "sub"
	}
	return "", ""
}

// hasLogoutEvent reports whether the token has the event of a logout token, which is an object.
func hasLogoutEvent(cl *claims) bool {
	for m := range strictjson.Find(cl.members, "events").Members() {
		if m.Name == secevent.LogoutEvent {
			return m.Value.Kind() == strictjson.Object
		}
	}
	return false
}

func isOver(exp time.Time, c *secevent.Check) bool { return !c.Now.Before(exp.Add(c.Leeway)) }
