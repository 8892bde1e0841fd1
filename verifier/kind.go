package verifier

import (
	"errors"
	"slices"

	"github.com/regionjwt/regionjwt/internal/strictjson"
)

// Keycloak makes an Audience or IDToken binding check the typ claim that Keycloak puts into the payload: "Bearer" or "DPoP" for
// access tokens, "ID" for ID tokens. A token without it is rejected. Use it wherever the audience of an API is also a client ID.
func (b AudiencePolicy) Keycloak() AudiencePolicy {
	b.misused = b.misused || b.kind != byAudience && b.kind != byIDToken
	b.misused = b.misused || b.marks == entraMarks
	b.marks = keycloakMarks
	return b
}

// Entra makes an Audience binding reject tokens of Microsoft Entra that have a nonce claim: version 2.0 puts it into ID tokens
// and never into access tokens. An ID token that was requested without a nonce has none, so give the API an application
// registration of its own.
func (b AudiencePolicy) Entra() AudiencePolicy {
	b.misused = b.misused || b.kind != byAudience
	b.misused = b.misused || b.marks == keycloakMarks
	b.marks = entraMarks
	return b
}

// marks say by what a provider tells its access tokens from its ID tokens, beside what is certain for every provider.
type marks int

const (
	noMarks marks = iota
	keycloakMarks
	entraMarks
)

// The values of the typ claim of Keycloak.
var (
	keycloakAccess = []string{"Bearer", "DPoP"}
	keycloakID     = []string{"ID"}
)

// general lists the types that do not say that a token is of another kind than access and ID tokens.
var general = []string{"", "jwt", "at+jwt"}

var (
	errEvents  = errors.New("events: a security event token or a logout token")
	errHash    = errors.New("at_hash or c_hash: an ID token")
	errNonce   = errors.New("nonce: an ID token")
	errBodyTyp = errors.New("typ of the payload")
)

// checkUse judges whether the token is of the kind that b is for, by what is certain: an ID token is no access token, and a JWT
// of a third kind is neither. typ is that of the header; if it is not general, Policy.Types lists it, and the caller wants that
// kind of token.
func (b *AudiencePolicy) checkUse(typ string, c *claims) (Reason, error) {
	if slices.Contains(general, typ) {
		switch {
		case c.events:
			return ReasonBadTokenUse, errEvents
		case c.hashes && (b.kind == byAudience || b.kind == byCognitoAccess):
			return ReasonBadTokenUse, errHash
		}
	}
	switch b.marks {
	case keycloakMarks:
		wanted := keycloakAccess
		if b.kind == byIDToken {
			wanted = keycloakID
		}
		return checkBodyTyp(strictjson.Find(c.members, "typ"), wanted)
	case entraMarks:
		switch strictjson.Find(c.members, "nonce").Kind() {
		case strictjson.Absent:
		case strictjson.String:
			return ReasonBadTokenUse, errNonce
		default:
			return ReasonMalformed, nil
		}
	case noMarks:
	}
	return 0, nil
}

func checkBodyTyp(v strictjson.Value, wanted []string) (Reason, error) {
	switch v.Kind() {
	case strictjson.String:
		if slices.Contains(wanted, v.Text()) {
			return 0, nil
		}
	case strictjson.Absent:
	default:
		return ReasonMalformed, nil
	}
	return ReasonBadTokenUse, errBodyTyp
}
