package revocation

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/regionjwt/regionjwt/verifier"
)

// Bounds of rules.
const (
	MaxRules    = 10_000  // in a document
	MaxDocument = 1 << 20 // octets of a document; 160 KiB of them are kept for remembering what was removed
	maxText     = 512     // octets of a Reason
	maxName     = 3 << 18 // octets of another field: what the longest token can hold that a verifier takes, one of 1 MiB
	minYear     = 1970
	maxYear     = 9998
	idLength    = 16
)

// Rule says which tokens are revoked: those for which every field that is set holds. Authority or AllAuthorities is required,
// and so is something besides them.
//
// Fields that name something of a token may hold whatever a token can: any valid UTF-8 text of at most 768 KiB, with control
// characters and characters that change the direction of writing. Escape them before they reach a terminal or a log. If the
// document has no room for such a rule, Add returns ErrFull.
type Rule struct {
	Provider     string `json:"authority,omitempty"`       // the ID of the authority that minted the token
	AllProviders bool   `json:"all_authorities,omitempty"` // whichever authority did

	Region        string `json:"region,omitempty"`     // a region that may have minted it: see verifier.Token.Regions
	Issuer        string `json:"issuer,omitempty"`     // iss
	KeyID         string `json:"kid,omitempty"`        // the kid of the key that signed it
	Thumbprint    string `json:"thumbprint,omitempty"` // the RFC 7638 thumbprint, with SHA-256, of that key
	ClientID      string `json:"client_id,omitempty"`  // a client that it names, in any claim: see verifier.Token.ClientIDs
	Subject       string `json:"sub,omitempty"`        // sub
	TokenID       string `json:"jti,omitempty"`        // jti; such a rule needs Until
	OriginTokenID string `json:"origin_jti,omitempty"` // origin_jti of Cognito: every token of one sign-in

	// IssuedBefore holds for tokens whose iat is earlier, and for those without iat. Zero is not set.
	IssuedBefore time.Time `json:"issued_before,omitzero"`

	// Until is when the rule ends by itself: when the last token that it is about has expired. Zero means never.
	Until time.Time `json:"until,omitzero"`

	// Reason is for people: a ticket, an incident. It is written to logs, never to clients.
	Reason string `json:"reason,omitempty"`
}

// Validate reports everything that is wrong with r as one joined error.
func (r Rule) Validate() error {
	var errs []error
	add := func(wrong bool, what string) {
		if wrong {
			errs = append(errs, errors.New("revocation: "+what))
		}
	}
	add((r.Provider == "") == !r.AllProviders, "either Authority or AllAuthorities is required")
	add(r.kind() == 0, "a rule needs a field besides the authority; to revoke all its tokens, set IssuedBefore")
	add(r.TokenID != "" && r.Until.IsZero(), "a rule with TokenID needs Until: when the token expires")
	for _, f := range []struct{ name, text string }{
		{"Authority", r.Provider},
		{"Region", r.Region},
		{"Issuer", r.Issuer},
		{"KeyID", r.KeyID},
		{"Thumbprint", r.Thumbprint},
		{"ClientID", r.ClientID},
		{"Subject", r.Subject},
		{"TokenID", r.TokenID},
		{"OriginTokenID", r.OriginTokenID},
	} {
		add(len(f.text) > maxName, fmt.Sprintf("%s has more than %d octets", f.name, maxName))
		add(!utf8.ValidString(f.text), f.name+" is not valid UTF-8")
	}
	add(len(r.Reason) > maxText, fmt.Sprintf("Reason has more than %d octets", maxText))
	add(strings.ContainsFunc(r.Reason, unfit),
		"Reason holds a control character, one that turns the direction of writing, or no text")
	for _, f := range []struct {
		name string
		time time.Time
	}{{"IssuedBefore", r.IssuedBefore}, {"Until", r.Until}} {
		year := f.time.UTC().Year()
		add(!f.time.IsZero() && (year < minYear || year > maxYear),
			fmt.Sprintf("%s is not within the years %d and %d", f.name, minYear, maxYear))
	}
	return errors.Join(errs...)
}

// unfit reports whether a rune has no place in a Reason, which is shown on terminals and written to logs.
func unfit(c rune) bool {
	if ' ' <= c && c < 0x7F {
		return false
	}
	return c == unicode.ReplacementChar || unicode.In(c, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}

// canonical brings times into one form, so that equal rules have equal texts.
func (r Rule) canonical() Rule {
	for _, t := range []*time.Time{&r.IssuedBefore, &r.Until} {
		if !t.IsZero() {
			*t = t.UTC().Round(0)
		}
	}
	return r
}

// ID names a rule by what it says, but for its Reason: the same rule has the same ID everywhere. It has 16 letters, digits,
// dashes and underscores, a letter first.
func (r Rule) ID() string {
	r = r.canonical()
	r.Reason = ""
	text, _ := json.Marshal(r) // cannot fail: texts, times within the years that RFC 3339 knows, and a bool
	sum := sha256.Sum256(text)
	sum[0] &= 0x7F // it begins with a letter, so that no command takes it for a flag
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// ended reports whether the rule has ended by itself.
func (r *Rule) ended(now time.Time) bool { return !r.Until.IsZero() && !now.Before(r.Until) }

// kind is the field by which a rule is found, the one that tells most tokens apart.
type kind uint8

const (
	byTokenID kind = iota + 1
	byOriginTokenID
	bySubject
	byThumbprint
	byKeyID
	byClientID
	byIssuer
	byRegion
	byTime
)

func (r *Rule) kind() kind {
	for i, s := range []string{r.TokenID, r.OriginTokenID, r.Subject, r.Thumbprint, r.KeyID, r.ClientID, r.Issuer, r.Region} {
		if s != "" {
			return kind(i + 1)
		}
	}
	if !r.IssuedBefore.IsZero() {
		return byTime
	}
	return 0
}

// key is where a rule stands in an index; authority is "" for all of them.
type key struct {
	kind             kind
	authority, value string
}

func (r *Rule) key() key {
	values := [...]string{
		byTokenID: r.TokenID, byOriginTokenID: r.OriginTokenID, bySubject: r.Subject, byThumbprint: r.Thumbprint,
		byKeyID: r.KeyID, byClientID: r.ClientID, byIssuer: r.Issuer, byRegion: r.Region, byTime: "",
	}
	k := r.kind()
	return key{k, r.Provider, values[k]}
}

// valueOf returns what a token has for a kind of rules of which it has one value.
func valueOf(k kind, t *verifier.Token) string {
	switch k {
	case byTokenID:
		return t.ID()
	case byOriginTokenID:
		return t.OriginTokenID()
	case bySubject:
		return t.Subject()
	case byThumbprint:
		return t.KeyThumbprint()
	case byKeyID:
		return t.KeyID()
	case byIssuer:
		return t.Issuer()
	default:
		return ""
	}
}

// names reports whether a token names a client.
func names(t *verifier.Token, client string) bool {
	for id := range t.ClientIDs() {
		if id == client {
			return true
		}
	}
	return false
}

// matches reports whether every field of r holds for t.
func (r *Rule) matches(t *verifier.Token, now time.Time) bool {
	is := func(want, got string) bool { return want == "" || want == got }
	switch {
	case r.ended(now),
		!r.AllProviders && r.Provider != t.Provider(),
		r.Region != "" && !slices.Contains(t.Regions(), r.Region),
		!is(r.Issuer, t.Issuer()), !is(r.KeyID, t.KeyID()), !is(r.Thumbprint, t.KeyThumbprint()),
		r.ClientID != "" && !names(t, r.ClientID), !is(r.Subject, t.Subject()), !is(r.TokenID, t.ID()),
		r.OriginTokenID != "" && r.OriginTokenID != t.OriginTokenID(),
		!r.IssuedBefore.IsZero() && !t.IssuedAt().IsZero() && !t.IssuedAt().Before(r.IssuedBefore):
		return false
	}
	return true
}
