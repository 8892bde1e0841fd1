package verifier

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/issuer"
)

// Policy is what is demanded of the tokens of one authority. Provider and Audience are required.
type Policy struct {
	Provider issuer.Provider

	// Audience says for whom tokens must have been minted.
	Audience AudiencePolicy

	// Algorithms lists the acceptable algorithms: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA.
	// Empty means RS256 for Cognito bindings, and RS256, PS256, ES256 and EdDSA for others.
	Algorithms []string

	// Types lists the acceptable values of the header's typ, as media types; "" stands for an absent one. Empty means
	// "", "JWT" and, but for ID tokens, "at+jwt". []string{"at+jwt"} demands the profile of RFC 9068.
	Types []string

	// RequiredClaims lists claims that must be present and not null, by name or dotted path: what a region's trigger
	// ought to add, for example, and may not where it was not deployed.
	RequiredClaims []string

	// Names says where claims are found that providers name differently.
	Names ClaimNames

	// MaxAge refuses tokens issued longer ago, and tokens without iat. 0 means no bound but exp.
	MaxAge time.Duration

	// Regions decides about the regions that may have minted a token. Nil admits all of them. Its error refuses the token: as
	// ErrInvalid unless it wraps ErrUnavailable, or has a method Unavailable() bool that returns true. A panic is ErrUnavailable.
	Regions RegionPolicy

	// Check is called for every token that passed everything else, each time it is verified. Its error refuses the token: as
	// ErrInvalid unless it wraps ErrForbidden, ErrUnavailable or ErrRateLimited. A panic is ErrUnavailable. It must be safe for
	// concurrent use.
	Check func(context.Context, *Token) error
}

// ClaimNames names claims, in the order in which they are tried; the first that is present is used. A name is tried as it
// stands first, then as a dotted path: "realm_access.roles". A revocation rule for a client matches any of the clients that a
// token names: see Token.ClientIDs.
type ClaimNames struct {
	Scope    []string // empty: "scope", a text. Claims named here may also be arrays of texts: "scp", "scope"
	ClientID []string // empty: "client_id". Others use "azp", "appid", "cid". Audience policies look at client_id all the same
	Groups   []string // empty: "cognito:groups" for Cognito bindings, else "groups". Arrays of texts, or one text
}

// RegionPolicy admits or refuses the regions that may have minted a token. possible is not
// empty and must not be modified; issuedAt is zero where the token has no iat. It must be safe for concurrent use.
type RegionPolicy interface {
	Admit(authority string, possible []string, issuedAt time.Time) error
}

// trust is a Policy that has been checked and copied.
type trust struct {
	Policy
	authority  string
	scopeArray bool // the scope claims were named, so arrays are legal
}

// trusted is what one iss stands for.
type trusted struct {
	*trust
	regions []string // that list the iss, in the order of the authority
	region  string   // the only one, or ""
}

func (t Policy) compile() (*trust, error) {
	var errs []error
	add := func(err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("verifier: trust in %q: %w", t.Provider.ID, err))
		}
	}
	add(t.Provider.Validate())
	add(t.Audience.validate())
	for _, alg := range t.Algorithms {
		if !jose.Known(alg) {
			add(fmt.Errorf("algorithm %q is not supported", alg))
		}
	}
	if nils.Typed(t.Regions) {
		add(errors.New("Regions is set, and nil"))
	}
	if t.MaxAge < 0 {
		add(errors.New("MaxAge is negative"))
	}
	for _, names := range [][]string{t.RequiredClaims, t.Names.Scope, t.Names.ClientID, t.Names.Groups} {
		if slices.Contains(names, "") {
			add(errors.New("a claim name is empty"))
		}
	}
	c := &trust{Policy: t, authority: t.Provider.ID, scopeArray: len(t.Names.Scope) > 0}
	c.Algorithms = orElse(t.Algorithms, t.Audience.defaultAlgorithms())
	for _, name := range t.Types {
		if mediaType(name) == "" && name != "" {
			add(fmt.Errorf("type %q is not a media type", name))
		}
	}
	c.Types = orElse(t.Types, t.Audience.defaultTypes())
	for i, name := range c.Types {
		if compared := mediaType(name); compared != name { // of the caller's, so it is a copy
			c.Types[i] = compared
		}
	}
	c.RequiredClaims = slices.Clone(t.RequiredClaims)
	groups := defaultGroups
	if t.Audience.kind == byCognitoAccess || t.Audience.kind == byCognitoID {
		groups = cognitoGroups
	}
	c.Names = ClaimNames{
		Scope:    orElse(t.Names.Scope, defaultScope),
		ClientID: orElse(t.Names.ClientID, defaultClientID),
		Groups:   orElse(t.Names.Groups, groups),
	}
	return c, errors.Join(errs...)
}

// The defaults of ClaimNames, which all trusts share.
var (
	defaultScope    = []string{"scope"}
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

// readNamed fills in the claims that the trust names; false where one has the wrong type.
func (t *trust) readNamed(c *claims) bool {
	if !t.readClients(c) {
		return false
	}
	switch v := firstOf(c.members, t.Names.Scope); v.Kind() {
	case strictjson.Absent:
	case strictjson.String:
		c.scopes.text = v.Text()
	case strictjson.Array:
		if !t.scopeArray {
			return false
		}
		for e := range v.Elements() {
			if e.Kind() != strictjson.String {
				return false
			}
			c.scopes.list = append(c.scopes.list, e.Text())
		}
	default:
		return false
	}
	return true
}

// readClients finds the client, and every other one that a token names; false where a claim has the wrong type.
func (t *trust) readClients(c *claims) bool {
	found := false
	for _, name := range t.Names.ClientID {
		switch v := at(c.members, name); {
		case v.Kind() == strictjson.Absent, found && v.Kind() == strictjson.Null:
		case v.Kind() != strictjson.String:
			return false
		case !found:
			c.client, found = v.Text(), true
		default:
			c.noteClient(v.Text())
		}
	}
	c.noteClient(c.clientID)
	c.noteClient(c.azp)
	return true
}

// firstOf returns the first of the named claims that is present.
func firstOf(members []strictjson.Member, names []string) strictjson.Value {
	for _, name := range names {
		if v := at(members, name); v.Kind() != strictjson.Absent {
			return v
		}
	}
	return strictjson.Value{}
}

// at finds a claim by its name, or by a dotted path through objects.
func at(members []strictjson.Member, name string) strictjson.Value {
	v := strictjson.Find(members, name)
	if v.Kind() != strictjson.Absent {
		return v
	}
	first, rest, dotted := strings.Cut(name, ".")
	if !dotted {
		return v
	}
	v = strictjson.Find(members, first)
	for dotted && v.Kind() == strictjson.Object {
		first, rest, dotted = strings.Cut(rest, ".")
		inner := strictjson.Value{}
		for m := range v.Members() {
			if m.Name == first {
				inner = m.Value
				break
			}
		}
		v = inner
	}
	if dotted {
		return strictjson.Value{}
	}
	return v
}
