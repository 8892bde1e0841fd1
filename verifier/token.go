package verifier

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/clients"
	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/jwks"
)

// Token is a verified token. It is immutable and safe for concurrent use. Only Verify makes tokens; the zero Token is not valid.
// Methods of a nil *Token panic, so that a handler without middleware does not serve the user "".
type Token struct {
	policy  *compiledPolicy
	regions []string
	key     *jwks.Key
	header  header
	payload string // decoded; the strings below are parts of it
	text    int    // length of header and payload, which are one string

	issuer, subject, clientID, id string
	clients                       []string // the other clients that it names
	audience                      []string
	oneAudience                   [1]string // backs audience if that has one value
	scopes                        scopes
	bound                         bool // it has a cnf claim
	idToken                       bool // it was accepted as an ID token
	actor                         *Actor
	exp, nbf, iat, until          time.Time
}

// Provider returns the ID of the provider that issued the token. Key the records of users by Provider and Subject: the tokens of
// one user may have another Issuer tomorrow.
func (t *Token) Provider() string {
	if t.policy == nil {
		return ""
	}
	return t.policy.providerID
}

// Issuer returns iss, which is one of those that the provider lists.
func (t *Token) Issuer() string { return t.issuer }

// Region returns the name of the region that issued the token, or "" if several regions are possible, as for most tokens of a
// Cognito user pool with replicas: its regions share issuer and keys.
func (t *Token) Region() string {
	if len(t.regions) == 1 {
		return t.regions[0]
	}
	return ""
}

// Regions returns the names of the regions that may have issued the token: they list its issuer, and they list its key or have
// not answered since the key first appeared. The slice is the caller's.
func (t *Token) Regions() []string { return slices.Clone(t.regions) }

// Subject returns sub, or "".
func (t *Token) Subject() string { return t.subject }

// ClientID returns the client that the token was issued to, or "" if no claim of Policy.ClientIDClaims names one.
func (t *Token) ClientID() string { return t.clientID }

// allClients yields every client that the token names, ClientID first: in client_id, in azp, in each claim of
// Policy.ClientIDClaims, and in the aud of an ID token. A revocation rule for a client matches if any of them is the client.
func (t *Token) allClients() iter.Seq[string] {
	return func(yield func(string) bool) {
		if t.clientID != "" && !yield(t.clientID) {
			return
		}
		for _, id := range t.clients {
			if !yield(id) {
				return
			}
		}
		if !t.idToken {
			return
		}
		for _, id := range t.audience {
			if id != "" && id != t.clientID && !slices.Contains(t.clients, id) && !yield(id) {
				return
			}
		}
	}
}

var _ = clients.Provide(func(token any) iter.Seq[string] {
	t, ok := token.(*Token)
	if !ok || t == nil {
		return func(func(string) bool) {}
	}
	return t.allClients()
})

// ID returns jti, or "".
func (t *Token) ID() string { return t.id }

// Expiry returns exp.
func (t *Token) Expiry() time.Time { return t.exp }

// IssuedAt returns iat, or the zero time.
func (t *Token) IssuedAt() time.Time { return t.iat }

// ValidUntil returns the time from which Verify rejects the token because of its age: exp, or iat plus Policy.MaxAge, whichever
// is earlier, plus Leeway.
func (t *Token) ValidUntil() time.Time { return t.until }

// Audience yields the values of aud.
func (t *Token) Audience() iter.Seq[string] { return slices.Values(t.audience) }

// Scopes yields the granted scopes.
func (t *Token) Scopes() iter.Seq[string] { return t.scopes.all() }

// HasScope reports whether exactly this scope was granted.
func (t *Token) HasScope(scope string) bool { return contains(t.scopes.all(), scope) && scope != "" }

// Groups yields the groups or roles of the user: see Policy.GroupClaims. One that several claims name is yielded once.
func (t *Token) Groups() iter.Seq[string] {
	_ = t.payload // a nil Token panics here, not when the result is used
	return func(yield func(string) bool) {
		if t.policy == nil {
			return
		}
		var before []string // of claims that were named earlier
		members := t.members()
		for i, name := range t.policy.GroupClaims {
			known := len(before)
			for group := range textsOf(at(members, name)) {
				if slices.Contains(before[:known], group) {
					continue
				}
				if !yield(group) {
					return
				}
				if i < len(t.policy.GroupClaims)-1 {
					before = append(before, group)
				}
			}
		}
	}
}

// textsOf yields a text, or the texts of an array.
func textsOf(v strictjson.Value) iter.Seq[string] {
	return func(yield func(string) bool) {
		if v.Kind() == strictjson.String {
			yield(v.Text())
			return
		}
		for e := range v.Elements() {
			if e.Kind() == strictjson.String && !yield(e.Text()) {
				return
			}
		}
	}
}

// HasGroup reports whether the user has exactly this group or role.
func (t *Token) HasGroup(group string) bool { return contains(t.Groups(), group) && group != "" }

// Key returns the key that verified the token, or nil for the zero Token.
func (t *Token) Key() *jwks.Key { return t.key }

// Claim returns one claim as encoding/json decodes it into an any: a string, a float64, a bool, a []any, a map[string]any, or nil
// if it is null or absent. A claim with a number that float64 cannot hold is a json.RawMessage. The name may be a JSON Pointer
// (RFC 6901) that begins with "/": "/cnf/jkt". It reads the payload each time; see ClaimsOf for many claims.
func (t *Token) Claim(name string) any {
	if !t.bound && (name == "cnf" || strings.HasPrefix(name, "/cnf/")) {
		return nil // most tokens, at each request
	}
	v := at(t.members(), name)
	if v.Kind() == strictjson.Absent {
		return nil
	}
	var decoded struct {
		Value any `json:"v"`
	}
	if strictjson.Unmarshal(`{"v":`+v.Raw()+`}`, &decoded) != nil {
		return json.RawMessage(v.Raw()) // not nil, or a token that is bound to a key would look like a bearer token
	}
	return decoded.Value
}

// members lists the claims. Verify has read them before.
func (t *Token) members() []strictjson.Member {
	if t.payload == "" {
		return nil
	}
	members, _ := strictjson.Parse(nil, t.payload)
	return members
}

// LogValue implements slog.LogValuer: provider, region, key ID and times. It has no claim that names a user.
func (t *Token) LogValue() slog.Value {
	if t == nil || t.key == nil {
		return slog.AnyValue(nil)
	}
	return slog.GroupValue(
		slog.String("provider", t.Provider()), slog.String("region", t.Region()), slog.String("key_id", t.key.ID()),
		slog.Time("issued_at", t.iat), slog.Time("expires", t.exp),
	)
}

// ClaimsOf decodes all claims into a T, as encoding/json does, except that a claim fills a struct field only if its name is the
// field's name exactly, with upper and lower case.
func ClaimsOf[T any](t *Token) (T, error) {
	var claims T
	if t.payload == "" {
		return claims, errNoToken
	}
	err := strictjson.Unmarshal(t.payload, &claims)
	return claims, err
}

var errNoToken = errors.New("verifier: the zero Token has no claims")

// scopes holds the scopes of a token: one text, split at spaces (RFC 6749 section 3.3), or several.
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

// FromContext returns the token that ctx carries, or nil.
func FromContext(ctx context.Context) *Token {
	t, _ := ctx.Value(contextKey{}).(*Token)
	return t
}
