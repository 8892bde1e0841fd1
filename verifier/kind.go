package verifier

import (
	"slices"

	"github.com/regionjwt/regionjwt/internal/strictjson"
)

// Keycloak makes Audience and IDToken check the typ claim that Keycloak puts into the payload: "Bearer" or "DPoP" for access
// tokens, "ID" for ID tokens. A token without it is rejected. Use it if the audience of an API is also a client ID.
func (a AudiencePolicy) Keycloak() AudiencePolicy {
	a.invalid = a.invalid || a.kind != audAPI && a.kind != audIDToken
	a.invalid = a.invalid || a.marks == entraMarks
	a.marks = keycloakMarks
	return a
}

// Entra makes Audience reject tokens of Microsoft Entra that have a nonce claim: version 2.0 puts it into ID tokens and never
// into access tokens. An ID token that was requested without a nonce has none, so give the API an application registration of its
// own.
func (a AudiencePolicy) Entra() AudiencePolicy {
	a.invalid = a.invalid || a.kind != audAPI
	a.invalid = a.invalid || a.marks == keycloakMarks
	a.marks = entraMarks
	return a
}

// tokenMarks say by what a provider tells its access tokens from its ID tokens, beside what is certain for every provider.
type tokenMarks int

const (
	noMarks tokenMarks = iota
	keycloakMarks
	entraMarks
)

// The values of the typ claim of Keycloak.
var (
	keycloakAccess = []string{"Bearer", "DPoP"}
	keycloakID     = []string{"ID"}
)

// checkKind checks whether the token is of the right kind, by what is certain: an ID token is no access token, and a JWT of a
// third kind is neither. typ is that of the header. If it is not one of access tokens, Policy.Types lists it, and the caller wants that kind
// of token.
func (a *AudiencePolicy) checkKind(typ string, c *claims) (Reason, string) {
	if slices.Contains(accessTypes, typ) {
		switch {
		case c.events: // a security event token or a logout token
			return ReasonBadAudience, "events"
		case c.hashes && (a.kind == audAPI || a.kind == audCognitoAccess): // an ID token
			return ReasonBadAudience, "at_hash"
		}
	}
	switch a.marks {
	case keycloakMarks:
		wanted := keycloakAccess
		if a.kind == audIDToken {
			wanted = keycloakID
		}
		return checkBodyTyp(strictjson.Find(c.members, "typ"), wanted)
	case entraMarks:
		switch strictjson.Find(c.members, "nonce").Kind() {
		case strictjson.Absent:
		case strictjson.String: // an ID token
			return ReasonBadAudience, "nonce"
		default:
			return ReasonMalformed, "nonce"
		}
	case noMarks:
	}
	return "", ""
}

func checkBodyTyp(v strictjson.Value, wanted []string) (Reason, string) {
	switch v.Kind() {
	case strictjson.String:
		if slices.Contains(wanted, v.Text()) {
			return "", ""
		}
	case strictjson.Absent:
	default:
		return ReasonMalformed, "typ"
	}
	return ReasonBadAudience, "typ"
}
