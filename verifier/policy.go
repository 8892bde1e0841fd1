package verifier

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/issuercheck"
	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/issuer"
)

// Policy says which tokens of one provider are accepted. Provider and Audience are required.
//
// A claim is named by its name, or by a JSON Pointer (RFC 6901) that begins with "/": "/realm_access/roles". A name that a
// token has as it stands is used first.
type Policy struct {
	Provider issuer.Provider

	// Audience says for whom tokens must have been issued.
	Audience AudiencePolicy

	// Algorithms lists the accepted algorithms: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, Ed25519 or EdDSA
	// (two names of one algorithm, RFC 9864), and ML-DSA-44, ML-DSA-65, ML-DSA-87 (RFC 9964), which need Go 1.27. Empty means
	// RS256 with CognitoAccess and CognitoID, otherwise RS256, PS256, ES256 and Ed25519.
	Algorithms []string

	// Types lists the accepted values of the header parameter typ, as media types; "" stands for an absent one. Empty means "",
	// "JWT" and, except for ID tokens, "at+jwt". []string{"at+jwt"} demands the profile of RFC 9068.
	Types []string

	// RequiredClaims lists claims that must be present and not null: a claim that a region's trigger should add, for example.
	RequiredClaims []string

	// ScopeClaims lists the claims that hold the scopes: each is one string, with spaces between the scopes, or an array of
	// strings with one scope each. The scopes of all of them are granted. Empty means "scope", or "scp" if there is no "scope".
	ScopeClaims []string

	// ClientIDClaims lists the claims that may hold the client; a token with different clients in them is rejected. Empty means
	// "client_id". Others are "azp", "appid" and "cid". CognitoAccess looks at client_id in any case, IDToken at azp. A
	// revocation rule for a client matches every client that a token names: here and in client_id, azp and the aud of an ID
	// token.
	ClientIDClaims []string

	// GroupClaims lists the claims that hold groups or roles, each an array of strings or one string. The groups of all of them
	// are those of the user: "/realm_access/roles", "/resource_access/my.api/roles". Empty means "cognito:groups" with
	// CognitoAccess and CognitoID, otherwise "groups".
	GroupClaims []string

	// AllowMissingKeyID accepts tokens without kid, and keys without kid (RFC 7515 section 4.1.4). The keys of the issuer that
	// fit the alg are then tried. For a token without kid, these are all keys. For a token with kid, it is the key of that
	// kid; if there is none, the keys without kid. At most 4 keys are tried, or as many as the issuer has JWKS URLs, up to
	// 16. If more fit a token without kid, it is rejected as malformed, even if one of them would verify it. If more keys
	// without kid fit a token with kid, none of them is tried.
	//
	// A key may be listed under several kids, or with and without one, and a token is verified under one of these names. A
	// revocation rule for a KeyID matches that name only: use Rule.Thumbprint.
	AllowMissingKeyID bool

	// MaxAge rejects tokens that were issued longer ago, and tokens without iat. 0 means no limit but exp.
	MaxAge time.Duration

	// MaxLifetime rejects tokens that were issued for longer, from iat to exp, and tokens without iat. 0 means no limit.
	MaxLifetime time.Duration

	// RegionPolicy decides about the regions that may have issued a token. Nil accepts all of them. regions is not empty and must
	// not be modified; issuedAt is the zero time if the token has no iat. An error rejects the token with ReasonRegionInactive:
	// as ErrInvalid unless it wraps ErrUnavailable. A panic is ErrUnavailable. It must be safe for concurrent use.
	RegionPolicy func(provider string, regions []string, issuedAt time.Time) error

	// Check is called for every token that passed all other checks, each time it is verified or checked again. An error rejects
	// the token with ReasonCheckFailed: as ErrInvalid unless it wraps ErrForbidden, ErrUnavailable or ErrRateLimited. A panic is
	// ErrUnavailable. It must be safe for concurrent use.
	Check func(context.Context, *Token) error

	aws     bool   // of AWS
	account string // of AWS

	alb *albTerms // for tokens of load balancers; nil otherwise
}

// compiledPolicy is a Policy that has been checked and copied.
type compiledPolicy struct {
	*demands
	providerID string
}

// demands is what a compiledPolicy demands of tokens. Policies of many providers are often the same in it, and share it.
type demands struct {
	Policy          // without Provider
	firstScope bool // ScopeClaims is the default: the first one that is present is used
	typesOfID  bool // Types is not the default, and for ID tokens alone
	byClientID bool // the audience policy looks at client_id
	byAZP      bool // the audience policy looks at azp
}

// issuerEntry is what one iss stands for.
type issuerEntry struct {
	*compiledPolicy
	regions []string // that list the iss, in the order of the provider
	marks   tokenMarks
}

// compile returns a checked copy of p, and every problem with it. It shares the demands of before if they are the same.
func (p Policy) compile(before *demands) (*compiledPolicy, error) {
	c := &demands{Policy: p, firstScope: len(p.ScopeClaims) == 0}
	c.Provider = issuer.Provider{}
	access, _ := p.Audience.kinds()
	c.typesOfID = len(p.Types) > 0 && !access
	c.byClientID = p.Audience.any(func(k audienceKind) bool { return k == audCognitoAccess || k == audCognitoDerived })
	c.byAZP = p.Audience.any(func(k audienceKind) bool { return k == audIDToken })
	c.Algorithms = orElse(p.Algorithms, p.Audience.defaultAlgorithms())
	c.Types = orElse(p.Types, p.Audience.defaultTypes())
	for i, alg := range c.Algorithms {
		if same := jose.Canonical(alg); same != alg { // of the caller's list, so it is a copy
			c.Algorithms[i] = same
		}
	}
	for i, name := range c.Types {
		if compared := mediaType(name); compared != name { // of the caller's list, so it is a copy
			c.Types[i] = compared
		}
	}
	c.RequiredClaims = slices.Clone(p.RequiredClaims)
	groups := defaultGroups
	if p.Audience.cognito() {
		groups = cognitoGroups
	}
	c.ScopeClaims = orElse(p.ScopeClaims, defaultScope)
	c.ClientIDClaims = orElse(p.ClientIDClaims, defaultClientID)
	c.GroupClaims = orElse(p.GroupClaims, groups)
	if reflect.DeepEqual(c, before) { // never with functions
		c = before
	}
	return &compiledPolicy{c, p.Provider.ID}, p.validate()
}

// validate returns every problem with p.
func (p *Policy) validate() error {
	var errs []error
	add := func(err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("verifier: policy for provider %q: %w", p.Provider.ID, err))
		}
	}
	add(issuercheck.Validate(p.Provider))
	add(p.Audience.validate())
	add(p.validateAWS())
	for _, alg := range p.Algorithms {
		if err := jose.Support(alg); err != nil {
			add(fmt.Errorf("field Algorithms: %w", err))
		}
	}
	for _, name := range p.Types {
		if name != "" && !isMediaType(mediaType(name)) {
			add(fmt.Errorf("%q of Types is not a media type: list each one by itself", name))
		}
	}
	if p.MaxAge < 0 {
		add(errors.New("MaxAge is negative"))
	}
	switch {
	case p.MaxLifetime < 0:
		add(errors.New("MaxLifetime is negative"))
	case p.MaxLifetime > 0 && p.MaxAge >= p.MaxLifetime:
		add(fmt.Errorf("MaxAge %v has no effect, as MaxLifetime is %v", p.MaxAge, p.MaxLifetime))
	}
	for _, of := range []struct {
		field string
		names []string
	}{
		{"RequiredClaims", p.RequiredClaims},
		{"ScopeClaims", p.ScopeClaims},
		{"ClientIDClaims", p.ClientIDClaims},
		{"GroupClaims", p.GroupClaims},
	} {
		for _, name := range of.names {
			if err := checkClaimName(name); err != nil {
				add(fmt.Errorf("%s: %w", of.field, err))
			}
		}
	}
	return errors.Join(errs...)
}

// The defaults of the lists of claims, which all policies share.
var (
	defaultScope    = []string{"scope", "scp"}
	defaultClientID = []string{"client_id"}
	defaultGroups   = []string{"groups"}
	cognitoGroups   = []string{"cognito:groups"}
)

// orElse returns a copy of the caller's list, or the default itself.
func orElse(list, def []string) []string {
	if len(list) == 0 {
		return def
	}
	return slices.Clone(list)
}
