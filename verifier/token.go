package verifier

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/jwks"
)

// Token is a verified token. It is immutable and safe for concurrent use: nothing that can be reached from it can be
// written. Tokens come from Verify only. The zero Token is not valid. Methods of a nil *Token panic, so that a handler without
// middleware does not serve the user "".
type Token struct {
	trust     *trust
	authority string
	regions   []string
	key       *jwks.Key
	header    header
	payload   string // decoded; the texts that follow are parts of it
	text      int    // octets of header and payload, which are one text

	issuer, subject, clientID, id, use string
	clients                            []string // other clients that it names
	audience                           []string
	oneAudience                        [1]string // what audience is made of where it has one value
	scopes                             scopes
	exp, nbf, iat, until               time.Time
}

// Provider is the ID of the authority that minted the token. Records of users are keyed by Provider and Subject: the
// same user's tokens may carry another Issuer tomorrow.
func (t *Token) Provider() string { return t.authority }

// Issuer is the iss claim, one of those that the authority lists.
func (t *Token) Issuer() string { return t.issuer }

// Region is the region that minted the token, or "" where several may have.
func (t *Token) Region() string {
	if len(t.regions) == 1 {
		return t.regions[0]
	}
	return ""
}

// Regions returns the regions that may have minted the token: those that list its issuer, and either list its key or
// have not answered since the key first appeared. The slice is the caller's.
func (t *Token) Regions() []string { return slices.Clone(t.regions) }

// Subject is the sub claim; "" where absent.
func (t *Token) Subject() string { return t.subject }

// ClientID is the client that the token was minted for; "" where no claim names one. See ClaimNames.
func (t *Token) ClientID() string { return t.clientID }

// ClientIDs yields every client that the token names, ClientID first: in client_id, in azp, in each claim of ClaimNames.ClientID,
// and in the aud of an ID token. A revocation rule for a client matches if any of them is the client. To grant something, use
// ClientID.
func (t *Token) ClientIDs() iter.Seq[string] {
	_ = t.clientID // a nil Token panics here, not where the result is used
	return func(yield func(string) bool) {
		if t.clientID != "" && !yield(t.clientID) {
			return
		}
		for _, id := range t.clients {
			if !yield(id) {
				return
			}
		}
		if t.trust == nil || !t.trust.Audience.ofIDTokens() {
			return
		}
		for _, id := range t.audience {
			if id != "" && id != t.clientID && !slices.Contains(t.clients, id) && !yield(id) {
				return
			}
		}
	}
}

// ID is the jti claim; "" where absent.
func (t *Token) ID() string { return t.id }

// OriginTokenID is the origin_jti claim of Cognito, which all tokens of one sign-in share; "" where absent.
func (t *Token) OriginTokenID() string { return t.claim("origin_jti").Text() }

// Use is the token_use claim of Cognito, "access" or "id"; "" where absent.
func (t *Token) Use() string { return t.use }

// Expiry is the exp claim.
func (t *Token) Expiry() time.Time { return t.exp }

// IssuedAt is the iat claim; the zero time where absent.
func (t *Token) IssuedAt() time.Time { return t.iat }

// ValidUntil is when Verify begins to refuse the token for its age: exp, or iat and Policy.MaxAge, whichever comes first, with
// the Leeway.
func (t *Token) ValidUntil() time.Time { return t.until }

// Type is the typ of the header as a media type, in lower case and without "application/"; "" where absent.
func (t *Token) Type() string { return t.header.typ }

// ACR is the acr claim, the authentication context class (OpenID Connect Core, section 2); "" where absent.
func (t *Token) ACR() string { return t.claim("acr").Text() }

// AuthTime is the auth_time claim, when the user signed in; the zero time where absent or not a NumericDate.
func (t *Token) AuthTime() (at time.Time) {
	if v := t.claim("auth_time"); v.Kind() == strictjson.Number {
		if sec, nsec, ok := numericDate(v.Raw()); ok {
			at = time.Unix(sec, nsec)
		}
	}
	return at
}

// Confirmation returns a member of the cnf claim (RFC 7800): "jkt", the RFC 7638 thumbprint of a DPoP key (RFC 9449), or
// "x5t#S256", that of a client certificate (RFC 8705); "" where absent. The error says that cnf or its member is not of the
// right type.
func (t *Token) Confirmation(method string) (string, error) {
	cnf := t.claim("cnf")
	if cnf.Kind() == strictjson.Absent {
		return "", nil
	}
	if cnf.Kind() != strictjson.Object {
		return "", errConfirmation
	}
	for m := range cnf.Members() {
		if m.Name == method {
			if m.Value.Kind() != strictjson.String || m.Value.Text() == "" {
				return "", errConfirmation
			}
			return m.Value.Text(), nil
		}
	}
	return "", nil
}

// Confirmations lists the names of the members of the cnf claim. The error says that cnf is not of the right type.
func (t *Token) Confirmations() (methods []string, err error) {
	cnf := t.claim("cnf")
	if cnf.Kind() != strictjson.Absent && cnf.Kind() != strictjson.Object {
		return nil, errConfirmation
	}
	for m := range cnf.Members() {
		methods = append(methods, m.Name)
	}
	return methods, nil
}

var errConfirmation = errors.New("cnf is not of the right type")

// claim finds a claim by its name.
func (t *Token) claim(name string) strictjson.Value {
	if len(t.payload) == 0 {
		return strictjson.Value{}
	}
	members, _ := strictjson.Parse(nil, t.payload) // Verify has read it before
	return strictjson.Find(members, name)
}

// Audience yields the values of the aud claim.
func (t *Token) Audience() iter.Seq[string] { return slices.Values(t.audience) }

// Scopes yields the scopes that were granted.
func (t *Token) Scopes() iter.Seq[string] { return t.scopes.all() }

// HasScope reports whether exactly this scope was granted.
func (t *Token) HasScope(scope string) bool { return contains(t.scopes.all(), scope) && scope != "" }

// Groups yields the groups of the user.
func (t *Token) Groups() iter.Seq[string] {
	_ = t.payload // a nil Token panics here, not where the result is used
	return func(yield func(string) bool) {
		if len(t.payload) == 0 {
			return
		}
		members, _ := strictjson.Parse(nil, t.payload) // Verify has read it before
		if v := firstOf(members, t.trust.Names.Groups); v.Kind() == strictjson.String {
			yield(v.Text())
		} else {
			for e := range v.Elements() {
				if e.Kind() == strictjson.String && !yield(e.Text()) {
					return
				}
			}
		}
	}
}

// HasGroup reports whether the user is in exactly this group.
func (t *Token) HasGroup(group string) bool { return contains(t.Groups(), group) && group != "" }

// KeyID is the kid of the key that signed the token.
func (t *Token) KeyID() string {
	if t.key == nil {
		return ""
	}
	return t.key.ID()
}

// KeyThumbprint is the RFC 7638 thumbprint, with SHA-256, of the key that signed the token.
func (t *Token) KeyThumbprint() string {
	if t.key == nil {
		return ""
	}
	return t.key.Thumbprint()
}

// Key returns the key that verified the token; nil for the zero Token.
func (t *Token) Key() *jwks.Key { return t.key }

// KeyAge is the time since an answer of the authority last listed the key.
func (t *Token) KeyAge() time.Duration {
	if t.key == nil {
		return 0
	}
	return t.key.Age()
}

// KeyOrigin says where the key that signed the token was learnt from: from a key server, or from a snapshot that none has
// confirmed yet. It is "" for the zero Token.
func (t *Token) KeyOrigin() string {
	if t.key == nil {
		return ""
	}
	return t.key.Origin()
}

// Claims decodes all claims into what a pointer points to, as encoding/json does, but for two things: a claim fills a struct
// field only where its name is the field's octet for octet, and what was there before is replaced, not merged with. What it
// reports is what was checked.
func (t *Token) Claims(into any) error {
	if len(t.payload) == 0 {
		return errNoToken
	}
	return strictjson.Unmarshal(t.payload, into)
}

var errNoToken = errors.New("the zero Token has no claims")

// scopes holds what a scope claim says: one text, split at spaces (RFC 6749, section 3.3), or several.
type scopes struct {
	text string
	list []string
}

func (s scopes) all() iter.Seq[string] {
	return func(yield func(string) bool) {
		for one := range strings.SplitSeq(s.text, " ") {
			if one != "" && !yield(one) {
				return
			}
		}
		for _, one := range s.list {
			if one != "" && !yield(one) {
				return
			}
		}
	}
}

func contains(seq iter.Seq[string], wanted string) bool {
	for s := range seq {
		if s == wanted {
			return true
		}
	}
	return false
}

type contextKey struct{}

// NewContext returns a copy of ctx that carries t.
func NewContext(ctx context.Context, t *Token) context.Context {
	return context.WithValue(ctx, contextKey{}, t)
}

// FromContext returns the token that ctx carries.
func FromContext(ctx context.Context) (*Token, bool) {
	t, ok := ctx.Value(contextKey{}).(*Token)
	return t, ok && t != nil
}
