package verifier

import (
	"errors"
	"slices"

	"github.com/regionjwt/regionjwt/internal/jose"
)

// AudiencePolicy says for whom a token must have been issued. It is made by one of the functions of this package. New rejects the
// zero AudiencePolicy: a verifier without one would accept the tokens of every application of the issuer.
type AudiencePolicy struct {
	kind      audienceKind
	allowed   []string // audiences or client IDs
	audiences []string // of WithAudience
	derived   bool     // CognitoDerived: aud must be present
	invalid   bool     // a method was called that does not fit the kind
	marks     tokenMarks
}

type audienceKind int

const (
	audUnset audienceKind = iota
	audAPI
	audCognitoAccess
	audCognitoID
	audIDToken
	audAny
)

// AllowAnyClient makes CognitoAccess, CognitoDerived and CognitoID accept every app client of the user pool.
const AllowAnyClient = "*"

// Audience accepts access tokens whose aud contains one of the values (RFC 9068 section 4). It rejects tokens with at_hash,
// c_hash or events: they are no access tokens. An ID token without these claims is accepted if its aud, a client ID, is one of
// the values. So do not use a client ID as the audience of an API. If you must, see Keycloak and Entra, or list only "at+jwt" in
// Policy.Types.
func Audience(aud ...string) AudiencePolicy {
	return AudiencePolicy{kind: audAPI, allowed: slices.Clone(aud)}
}

// CognitoAccess accepts access tokens of Amazon Cognito: token_use is "access" and client_id is one of clientIDs. A token that
// has an aud is rejected unless WithAudience allows it: it was requested with a resource (RFC 8707), or derived from another token
// (RFC 8693; see CognitoDerived), for some API.
func CognitoAccess(clientIDs ...string) AudiencePolicy {
	return AudiencePolicy{kind: audCognitoAccess, allowed: slices.Clone(clientIDs)}
}

// CognitoDerived accepts access tokens that Amazon Cognito derived from other tokens by token exchange (RFC 8693): token_use
// is "access", aud is audience and nothing else, and client_id is one of clientIDs. A token that was requested with a
// resource (RFC 8707) looks the same and is accepted, too. A token without aud is rejected.
//
// A derived token has an act if the exchange had an actor token; otherwise it looks as if the user had asked for it. AWS documents
// neither the members of act nor whose ID client_id is, that of the exchanging client or of the first one. A token whose act has
// no sub is rejected, as always: see Token.Actor.
func CognitoDerived(audience string, clientIDs ...string) AudiencePolicy {
	return AudiencePolicy{kind: audCognitoAccess, derived: true, allowed: slices.Clone(clientIDs), audiences: []string{audience}}
}

// CognitoID accepts ID tokens of Amazon Cognito: token_use is "id" and aud is one of clientIDs.
func CognitoID(clientIDs ...string) AudiencePolicy {
	return AudiencePolicy{kind: audCognitoID, allowed: slices.Clone(clientIDs)}
}

// IDToken accepts ID tokens for the clients (OpenID Connect Core section 3.1.3.7): aud contains only clientIDs; azp, if present,
// is one of them, and it is present if aud has several values; sub and iat are present. It rejects tokens with events, such as
// logout tokens. The client that requested the token checks its nonce.
func IDToken(clientIDs ...string) AudiencePolicy {
	return AudiencePolicy{kind: audIDToken, allowed: slices.Clone(clientIDs)}
}

// InsecureAnyAudience accepts tokens for any audience. Every application of the provider can then use the tokens of its users
// against this service.
func InsecureAnyAudience() AudiencePolicy { return AudiencePolicy{kind: audAny} }

// WithAudience makes CognitoAccess accept tokens with an aud that contains one of the values: tokens that were requested with a
// resource (RFC 8707). Tokens without an aud are still accepted, unless
// Policy.RequiredClaims lists "aud": machine tokens never have one.
func (a AudiencePolicy) WithAudience(aud ...string) AudiencePolicy {
	a.invalid = a.invalid || a.kind != audCognitoAccess || a.derived
	a.audiences = slices.Concat(a.audiences, aud)
	return a
}

// anyClient reports whether AllowAnyClient was given.
func (a *AudiencePolicy) anyClient() bool {
	return len(a.allowed) == 1 && a.allowed[0] == AllowAnyClient && (a.kind == audCognitoAccess || a.kind == audCognitoID)
}

func (a AudiencePolicy) validate() error {
	var errs []error
	add := func(s string) { errs = append(errs, errors.New("Audience: "+s)) }
	switch {
	case a.kind == audUnset:
		add("it is not set: use Audience, CognitoAccess, CognitoDerived, CognitoID or IDToken")
	case len(a.allowed) == 0 && a.kind != audAny:
		add("there is no audience or client ID")
	case slices.Contains(a.allowed, AllowAnyClient) && !a.anyClient():
		add("AllowAnyClient is for CognitoAccess, CognitoDerived and CognitoID, and is the only client")
	}
	if a.invalid {
		add("WithAudience is for CognitoAccess only, Keycloak for Audience and IDToken, Entra for Audience")
	}
	for _, s := range slices.Concat(a.allowed, a.audiences) {
		if s == "" {
			add("an audience or client ID is empty")
		}
	}
	return errors.Join(errs...)
}

// The defaults of Policy.Algorithms and Types, which all policies share. Types are as mediaType returns them.
var (
	cognitoAlgorithms = []string{jose.RS256}
	otherAlgorithms   = []string{jose.RS256, jose.PS256, jose.ES256, jose.Ed25519}
	idTypes           = []string{"", "jwt"}
	accessTypes       = []string{"", "jwt", "at+jwt"}
)

// forIDTokens reports whether a accepts ID tokens, whose aud names clients.
func (a *AudiencePolicy) forIDTokens() bool { return a.kind == audCognitoID || a.kind == audIDToken }

func (a AudiencePolicy) defaultAlgorithms() []string {
	if a.kind == audCognitoAccess || a.kind == audCognitoID {
		return cognitoAlgorithms
	}
	return otherAlgorithms
}

func (a AudiencePolicy) defaultTypes() []string {
	if a.forIDTokens() {
		return idTypes
	}
	return accessTypes
}

// check returns why the typ of the header and the claims do not fit, and the claim that decided, or "".
func (a *AudiencePolicy) check(typ string, c *claims) (Reason, string) {
	if reason, detail := a.checkKind(typ, c); reason != "" {
		return reason, detail
	}
	switch a.kind {
	case audAPI:
		if !c.audience.holdsOne(a.allowed) {
			return ReasonBadAudience, "aud"
		}
	case audCognitoAccess:
		return a.checkCognitoAccess(c)
	case audCognitoID:
		if c.use != "id" {
			return ReasonBadAudience, "token_use"
		}
		if !c.audience.holdsOne(a.allowed) && (!a.anyClient() || len(c.audience.values) == 0) {
			return ReasonBadAudience, "aud"
		}
	case audIDToken:
		return a.checkIDToken(c)
	case audAny:
	default:
		return ReasonBadAudience, "aud" // New accepts none of these
	}
	return "", ""
}

func (a *AudiencePolicy) checkCognitoAccess(c *claims) (Reason, string) {
	switch {
	case c.use != "access":
		return ReasonBadAudience, "token_use"
	case !a.anyClient() && !slices.Contains(a.allowed, c.clientID):
		return ReasonBadAudience, "client_id"
	case c.audience.present && !c.audience.holdsOne(a.audiences):
		return ReasonBadAudience, "aud"
	case a.derived && len(c.audience.values) != 1:
		return ReasonBadAudience, "aud"
	}
	return "", ""
}

func (a *AudiencePolicy) checkIDToken(c *claims) (Reason, string) {
	switch {
	case !c.audience.holdsOnly(a.allowed):
		return ReasonBadAudience, "aud"
	case (c.azpPresent || len(c.audience.values) > 1) && !slices.Contains(a.allowed, c.azp):
		return ReasonBadAudience, "azp"
	case c.subject == "":
		return ReasonMissingClaim, "sub"
	case c.iat.IsZero():
		return ReasonMissingClaim, "iat"
	}
	return "", ""
}
