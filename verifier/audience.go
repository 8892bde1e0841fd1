package verifier

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/regionjwt/regionjwt/internal/jose"
)

// AudiencePolicy says for whom a token must have been issued. It is made by one of the functions of this package. New rejects the
// zero AudiencePolicy: a verifier without one would accept the tokens of every application of the issuer.
type AudiencePolicy struct {
	kind    audienceKind
	allowed []string         // audiences or client IDs
	derived string           // the aud of CognitoDerived
	parts   []AudiencePolicy // of AnyOf and AllOf
}

type audienceKind int

const (
	audUnset audienceKind = iota
	audAPI
	audCognitoAccess
	audCognitoDerived
	audCognitoID
	audIDToken
	audAny
	audAnyOf
	audAllOf
)

// AllowAnyClient makes CognitoAccess, CognitoDerived and CognitoID accept every app client of the user pool.
const AllowAnyClient = "*"

// Audience accepts access tokens whose aud contains one of the values (RFC 9068 section 4). It rejects tokens that certainly are
// no access tokens: those with at_hash, c_hash or events, ID tokens of Keycloak by their typ claim, and ID tokens of Microsoft
// Entra by their nonce. Any other ID token is accepted if its aud, a client ID, is one of the values. So do not use a client ID
// as the audience of an API. If you must, list only "at+jwt" in Policy.Types.
func Audience(aud ...string) AudiencePolicy {
	return AudiencePolicy{kind: audAPI, allowed: slices.Clone(aud)}
}

// CognitoAccess accepts access tokens of Amazon Cognito: token_use is "access" and client_id is one of clientIDs. A token
// that has an aud, as one that was requested with a resource (RFC 8707) or derived from another token (RFC 8693; see
// CognitoDerived) has, is rejected, unless an Audience that accepts it is joined with AllOf:
//
//	AllOf(CognitoAccess(client), Audience(api))                                // tokens for the API only
//	AnyOf(CognitoAccess(client), AllOf(CognitoAccess(client), Audience(api)))  // and those without an aud
func CognitoAccess(clientIDs ...string) AudiencePolicy {
	return AudiencePolicy{kind: audCognitoAccess, allowed: slices.Clone(clientIDs)}
}

// CognitoDerived accepts access tokens that Amazon Cognito derived from other tokens by token exchange (RFC 8693): token_use
// is "access", aud is audience and nothing else, and client_id is one of clientIDs. A token that was requested with a
// resource (RFC 8707) looks the same and is accepted, too. A token without aud is rejected.
//
// A derived token has an act if the exchange had an actor token; otherwise it looks as if the user had asked for it. AWS
// documents neither the members of act nor whose ID client_id is, that of the exchanging client or of the first one. A token
// whose act has no sub is rejected, as always: see Token.Actor.
func CognitoDerived(audience string, clientIDs ...string) AudiencePolicy {
	return AudiencePolicy{kind: audCognitoDerived, derived: audience, allowed: slices.Clone(clientIDs)}
}

// CognitoID accepts ID tokens of Amazon Cognito: token_use is "id" and aud is one of clientIDs.
func CognitoID(clientIDs ...string) AudiencePolicy {
	return AudiencePolicy{kind: audCognitoID, allowed: slices.Clone(clientIDs)}
}

// IDToken accepts ID tokens for the clients (OpenID Connect Core section 3.1.3.7): aud contains only clientIDs; azp, if present,
// is one of them, and it is present if aud has several values; sub and iat are present. It rejects tokens with events, such as
// logout tokens, and access tokens of Keycloak, by their typ claim. An access token of another provider is accepted if its aud is
// a client ID and its type is not "at+jwt". The client that requested the token checks its nonce.
func IDToken(clientIDs ...string) AudiencePolicy {
	return AudiencePolicy{kind: audIDToken, allowed: slices.Clone(clientIDs)}
}

// InsecureAnyAudience accepts tokens for any audience. Every application of the provider can then use the tokens of its users
// against this service.
func InsecureAnyAudience() AudiencePolicy { return AudiencePolicy{kind: audAny} }

// AnyOf accepts tokens that at least one of the policies accepts: access tokens and ID tokens of one Cognito user pool, for
// example.
func AnyOf(policies ...AudiencePolicy) AudiencePolicy {
	return AudiencePolicy{kind: audAnyOf, parts: slices.Clone(policies)}
}

// AllOf accepts tokens that every one of the policies accepts, each as an access token or each as an ID token. New rejects
// policies that no token can meet.
func AllOf(policies ...AudiencePolicy) AudiencePolicy {
	return AudiencePolicy{kind: audAllOf, parts: slices.Clone(policies)}
}

// String returns what a is made by, such as AnyOf(CognitoAccess("client"), Audience("https://api.example.com")), for people.
func (a AudiencePolicy) String() string {
	names := map[audienceKind]string{
		audAPI: "Audience", audCognitoAccess: "CognitoAccess", audCognitoDerived: "CognitoDerived", audCognitoID: "CognitoID",
		audIDToken: "IDToken", audAny: "InsecureAnyAudience", audAnyOf: "AnyOf", audAllOf: "AllOf",
	}
	name, ok := names[a.kind]
	if !ok {
		return "no audience policy"
	}
	var arguments []string
	if a.kind == audCognitoDerived {
		arguments = append(arguments, strconv.Quote(a.derived))
	}
	for _, s := range a.allowed {
		arguments = append(arguments, strconv.Quote(s))
	}
	for _, p := range a.parts {
		arguments = append(arguments, p.String())
	}
	return name + "(" + strings.Join(arguments, ", ") + ")"
}

// anyClient reports whether AllowAnyClient was given.
func (a *AudiencePolicy) anyClient() bool {
	return len(a.allowed) == 1 && a.allowed[0] == AllowAnyClient &&
		(a.kind == audCognitoAccess || a.kind == audCognitoDerived || a.kind == audCognitoID)
}

func (a *AudiencePolicy) validate() error {
	var errs []error
	add := func(s string) { errs = append(errs, errors.New("Audience: "+s)) }
	combined := a.kind == audAnyOf || a.kind == audAllOf
	switch {
	case a.kind == audUnset:
		add("it is not set: use Audience, CognitoAccess, CognitoDerived, CognitoID or IDToken")
	case combined && len(a.parts) == 0:
		add("AnyOf and AllOf need at least one policy")
	case !combined && len(a.allowed) == 0 && a.kind != audAny:
		add("there is no audience or client ID")
	case slices.Contains(a.allowed, AllowAnyClient) && !a.anyClient(), a.derived == AllowAnyClient:
		add("AllowAnyClient is for CognitoAccess, CognitoDerived and CognitoID, and is the only client")
	}
	if slices.Contains(a.allowed, "") || a.kind == audCognitoDerived && a.derived == "" {
		add("an audience or client ID is empty")
	}
	for i := range a.parts {
		if err := a.parts[i].validate(); err != nil {
			errs = append(errs, err)
		}
	}
	if access, id := a.kinds(); len(errs) == 0 && !access && !id {
		add("AllOf demands an access token and an ID token at once")
	}
	if what := a.twoAtOnce(); len(errs) == 0 && what != "" {
		add("AllOf demands two different " + what + " at once")
	}
	return errors.Join(errs...)
}

// twoAtOnce says of what an AllOf demands two that no token has at once, or "". It does not look into AnyOf.
func (a *AudiencePolicy) twoAtOnce() string {
	if a.kind != audAllOf {
		return ""
	}
	derived := a.all(audCognitoDerived)
	if disjoint(append(derived, a.all(audCognitoAccess)...)) || // by client_id
		disjoint(append(a.all(audCognitoID), a.all(audIDToken)...)) { // by aud, which has nothing else
		return "clients"
	}
	for _, d := range derived { // it is the only aud
		if slices.ContainsFunc(derived, func(p *AudiencePolicy) bool { return p.derived != d.derived }) ||
			slices.ContainsFunc(a.all(audAPI), func(p *AudiencePolicy) bool { return !slices.Contains(p.allowed, d.derived) }) {
			return "audiences"
		}
	}
	return ""
}

// disjoint reports whether policies, which must all accept a token, have no client in common.
func disjoint(policies []*AudiencePolicy) bool {
	var common []string
	limited := false
	for _, p := range policies {
		switch {
		case p.anyClient():
		case !limited:
			common, limited = slices.Clone(p.allowed), true
		default:
			common = slices.DeleteFunc(common, func(id string) bool { return !slices.Contains(p.allowed, id) })
		}
	}
	return limited && len(common) == 0
}

// all returns the policies of that kind which a token must meet together.
func (a *AudiencePolicy) all(kind audienceKind) (found []*AudiencePolicy) {
	switch a.kind {
	case kind:
		return []*AudiencePolicy{a}
	case audAllOf:
		for i := range a.parts {
			found = append(found, a.parts[i].all(kind)...)
		}
	default:
	}
	return found
}

// kinds reports whether a accepts access tokens, and whether it accepts ID tokens.
func (a *AudiencePolicy) kinds() (access, id bool) {
	switch a.kind {
	case audAPI, audCognitoAccess, audCognitoDerived:
		return true, false
	case audCognitoID, audIDToken:
		return false, true
	case audAnyOf:
		for i := range a.parts {
			partAccess, partID := a.parts[i].kinds()
			access, id = access || partAccess, id || partID
		}
		return access, id
	case audAllOf:
		access, id = true, true
		for i := range a.parts {
			partAccess, partID := a.parts[i].kinds()
			access, id = access && partAccess, id && partID
		}
		return access, id
	default:
		return true, true
	}
}

// any reports whether is holds for a policy that a consists of.
func (a *AudiencePolicy) any(is func(audienceKind) bool) bool {
	return is(a.kind) || slices.ContainsFunc(a.parts, func(p AudiencePolicy) bool { return p.any(is) })
}

// cognito reports whether every token that a accepts is one of Amazon Cognito.
func (a *AudiencePolicy) cognito() bool {
	switch a.kind {
	case audCognitoAccess, audCognitoDerived, audCognitoID:
		return true
	case audAllOf:
		return slices.ContainsFunc(a.parts, func(p AudiencePolicy) bool { return p.cognito() })
	case audAnyOf:
		return len(a.parts) > 0 && !slices.ContainsFunc(a.parts, func(p AudiencePolicy) bool { return !p.cognito() })
	default:
		return false
	}
}

// The defaults of Policy.Algorithms and Types, which all policies share. Types are as mediaType returns them.
var (
	cognitoAlgorithms = []string{jose.RS256}
	otherAlgorithms   = []string{jose.RS256, jose.PS256, jose.ES256, jose.Ed25519}
	idTypes           = []string{"", "jwt"}
	accessTypes       = []string{"", "jwt", "at+jwt"}
)

func (a *AudiencePolicy) defaultAlgorithms() []string {
	if a.cognito() {
		return cognitoAlgorithms
	}
	return otherAlgorithms
}

func (a *AudiencePolicy) defaultTypes() []string {
	if access, _ := a.kinds(); access {
		return accessTypes
	}
	return idTypes
}
