package verifier

import (
	"errors"
	"slices"

	"github.com/regionjwt/regionjwt/internal/jose"
)

// AudiencePolicy says for whom a token must have been minted. It is made by one of the functions of this package; the zero
// AudiencePolicy is refused by New, since a verifier that does not ask accepts the tokens of every application of the issuer.
type AudiencePolicy struct {
	kind      bindingKind
	parties   []string // audiences or client IDs
	audiences []string // of WithAudience
	mustHave  bool     // RequireAudience
	anyClient bool     // AllowAnyClient
	misused   bool     // a method was called that does not fit the kind
	marks     marks    // of Keycloak or Entra
}

type bindingKind int

const (
	unbound bindingKind = iota
	byAudience
	byCognitoAccess
	byCognitoID
	byIDToken
	byNobody
)

// Audience accepts access tokens whose aud contains one of aud (RFC 9068, section 4). It rejects tokens with at_hash, c_hash or
// events: they are no access tokens. An ID token without these claims is accepted if its aud, a client ID, is one of aud.
// So do not use a client ID as the audience of an API. If it must be one, see Keycloak and Entra, or list only "at+jwt" in
// Policy.Types.
func Audience(aud ...string) AudiencePolicy {
	return AudiencePolicy{kind: byAudience, parties: slices.Clone(aud)}
}

// CognitoAccess accepts access tokens of Amazon Cognito: token_use is "access" and client_id one of clientIDs. A token
// that carries an aud is refused unless WithAudience says which one is right.
func CognitoAccess(clientIDs ...string) AudiencePolicy {
	return AudiencePolicy{kind: byCognitoAccess, parties: slices.Clone(clientIDs)}
}

// CognitoID accepts ID tokens of Amazon Cognito: token_use is "id" and aud one of clientIDs.
func CognitoID(clientIDs ...string) AudiencePolicy {
	return AudiencePolicy{kind: byCognitoID, parties: slices.Clone(clientIDs)}
}

// IDToken accepts OpenID Connect ID tokens by section 3.1.3.7 of OpenID Connect Core: aud holds nothing but clientIDs; azp, if
// present, is one of them, and it is present where aud has several values; sub and iat are present. It rejects tokens with
// events, such as logout tokens. The nonce is for the client that asked for the token to check.
func IDToken(clientIDs ...string) AudiencePolicy {
	return AudiencePolicy{kind: byIDToken, parties: slices.Clone(clientIDs)}
}

// InsecureAnyAudience accepts tokens minted for anybody. Every application that the authority serves can then use its users'
// tokens against this service.
func InsecureAnyAudience() AudiencePolicy { return AudiencePolicy{kind: byNobody} }

// WithAudience has a CognitoAccess binding accept tokens with an aud, which must hold one of aud: those that were asked
// for with resource binding (RFC 8707). Tokens without an aud stay acceptable: machine tokens never have one.
func (b AudiencePolicy) WithAudience(aud ...string) AudiencePolicy {
	b.misused = b.misused || b.kind != byCognitoAccess
	b.audiences = slices.Concat(b.audiences, aud)
	return b
}

// RequireAudience has a CognitoAccess binding refuse tokens without an aud, and so all machine tokens.
func (b AudiencePolicy) RequireAudience() AudiencePolicy {
	b.misused = b.misused || b.kind != byCognitoAccess
	b.mustHave = true
	return b
}

// AllowAnyClient has a CognitoAccess binding accept every app client of the user pool. token_use is still checked.
func (b AudiencePolicy) AllowAnyClient() AudiencePolicy {
	b.misused = b.misused || b.kind != byCognitoAccess
	b.anyClient = true
	return b
}

func (b AudiencePolicy) validate() error {
	var errs []error
	add := func(s string) { errs = append(errs, errors.New("binding: "+s)) }
	switch {
	case b.kind == unbound:
		add("none is set; say for whom tokens must be minted: Audience, CognitoAccess, CognitoID or IDToken")
	case b.anyClient && len(b.parties) > 0:
		add("AllowAnyClient beside client IDs")
	case len(b.parties) == 0 && b.kind != byNobody && !b.anyClient:
		add("no audience or client ID is given")
	}
	if b.misused {
		add("WithAudience, RequireAudience and AllowAnyClient are for CognitoAccess only, Keycloak for Audience and IDToken, " +
			"Entra for Audience")
	} else if b.mustHave && len(b.audiences) == 0 {
		add("RequireAudience without WithAudience")
	}
	for _, s := range slices.Concat(b.parties, b.audiences) {
		if s == "" {
			add("an audience or client ID is empty")
		}
	}
	return errors.Join(errs...)
}

// The defaults of Policy.Algorithms and Types, which all trusts share. Types are as mediaType makes them.
var (
	cognitoAlgorithms = []string{jose.RS256}
	otherAlgorithms   = []string{jose.RS256, jose.PS256, jose.ES256, jose.EdDSA}
	idTypes           = []string{"", "jwt"}
	accessTypes       = []string{"", "jwt", "at+jwt"}
)

// ofIDTokens reports whether b accepts ID tokens, whose aud names clients.
func (b *AudiencePolicy) ofIDTokens() bool { return b.kind == byCognitoID || b.kind == byIDToken }

func (b AudiencePolicy) defaultAlgorithms() []string {
	if b.kind == byCognitoAccess || b.kind == byCognitoID {
		return cognitoAlgorithms
	}
	return otherAlgorithms
}

func (b AudiencePolicy) defaultTypes() []string {
	if b.ofIDTokens() {
		return idTypes
	}
	return accessTypes
}

var errIDToken = errors.New("an ID token needs sub and iat")

// check reports why the typ of the header and the claims do not fit b, or 0.
func (b *AudiencePolicy) check(typ string, c *claims) (Reason, error) {
	if reason, err := b.checkUse(typ, c); reason != 0 {
		return reason, err
	}
	switch b.kind {
	case byAudience:
		if !c.audience.holdsOne(b.parties) {
			return ReasonBadAudience, nil
		}
	case byCognitoAccess:
		if c.use != "access" {
			return ReasonBadTokenUse, nil
		}
		if !b.anyClient && !slices.Contains(b.parties, c.clientID) {
			return ReasonBadAudience, nil
		}
		if c.audience.present {
			if !c.audience.holdsOne(b.audiences) {
				return ReasonBadAudience, nil
			}
		} else if b.mustHave {
			return ReasonBadAudience, nil
		}
	case byCognitoID:
		if c.use != "id" {
			return ReasonBadTokenUse, nil
		}
		if !c.audience.holdsOne(b.parties) {
			return ReasonBadAudience, nil
		}
	case byIDToken:
		if !c.audience.holdsOnly(b.parties) {
			return ReasonBadAudience, nil
		}
		if (c.azpPresent || len(c.audience.values) > 1) && !slices.Contains(b.parties, c.azp) {
			return ReasonBadAudience, nil
		}
		if c.subject == "" || c.iat.IsZero() {
			return ReasonMissingClaim, errIDToken
		}
	case byNobody:
	default:
		return ReasonBadAudience, nil // New lets none through
	}
	return 0, nil
}
