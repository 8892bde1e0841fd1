package revocation

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/regionjwt/regionjwt/internal/control"
	"github.com/regionjwt/regionjwt/internal/document"
)

// Limits of rules.
const (
	maxNote = 512     // bytes
	maxName = 3 << 18 // bytes of another field: the longest text in the longest token that a verifier accepts, one of 1 MiB
	minYear = 1970
	maxYear = 9998

	defaultLifetime = 30 * 24 * time.Hour // of a rule without ExpiresAt
)

// allProviders is the Provider of a rule for the tokens of every provider.
const allProviders = "*"

// Rule matches the tokens for which every field that is set matches. Provider is required, and at least one other field that
// matches tokens: to revoke all tokens of a provider, set IssuedBefore.
//
// A field that matches a claim may hold any text that a token can: valid UTF-8 of at most 768 KiB, including control characters
// and characters that change the direction of writing. Escape it before you write it to a terminal or a log.
type Rule struct {
	Provider string `json:"provider,omitempty"` // the ID of the provider that issued the token; "*" matches every provider

	Region        string `json:"region,omitempty"`     // a region that may have issued it: see verifier.Token.Regions
	KeyID         string `json:"kid,omitempty"`        // the kid under which the key that signed it was found
	Thumbprint    string `json:"thumbprint,omitempty"` // the SHA-256 thumbprint (RFC 7638) of that key, whatever its kids
	ClientID      string `json:"client_id,omitempty"`  // a client that any claim of the token names
	Subject       string `json:"sub,omitempty"`        // sub
	TokenID       string `json:"jti,omitempty"`        // jti
	OriginTokenID string `json:"origin_jti,omitempty"` // origin_jti of Cognito: every token of one sign-in
	SessionID     string `json:"sid,omitempty"`        // sid (OpenID Connect): every token of one session
	Actor         string `json:"actor,omitempty"`      // the sub of any actor in act (RFC 8693), current or earlier
	ActorIssuer   string `json:"actor_iss,omitempty"`  // the iss of that actor; "" means any of the token's provider

	// IssuedBefore matches tokens whose iat is earlier, and tokens without iat. The zero time matches every token.
	IssuedBefore time.Time `json:"issued_before,omitzero"`

	// ExpiresAt is when the rule ends by itself. Choose the time when the last matching token expires. The zero time means 30
	// days after the rule is added.
	ExpiresAt time.Time `json:"expires,omitzero"`

	// Note is for people, such as the number of an incident: at most 512 bytes of one line. It is never sent to clients.
	Note string `json:"note,omitempty"`

	// Created is when the rule was added or last renewed, by the clock of its writer. List.Add sets it.
	Created time.Time `json:"created,omitzero"`

	// Signals is the name of the document of Config.Signals that has the rule; "" for a rule of operators. List.Rules sets it,
	// and List.Add ignores it.
	Signals string `json:"-"`
}

// validate returns every problem with r as one joined error.
func (r Rule) validate() error {
	var errs []error
	add := func(wrong bool, what string) {
		if wrong {
			errs = append(errs, errors.New("revocation: "+what))
		}
	}
	add(r.Provider == "", `Provider is required; "*" is every provider`)
	f := r.fields()
	add(f.mask()&^forAllProviders == 0 && r.IssuedBefore.IsZero(),
		"a rule needs a field besides Provider; to revoke all tokens, set IssuedBefore")
	add(r.ActorIssuer != "" && r.Actor == "", "ActorIssuer needs Actor")
	for _, f := range []struct{ name, text string }{
		{"Provider", r.Provider},
		{"Region", r.Region},
		{"KeyID", r.KeyID},
		{"Thumbprint", r.Thumbprint},
		{"ClientID", r.ClientID},
		{"Subject", r.Subject},
		{"TokenID", r.TokenID},
		{"OriginTokenID", r.OriginTokenID},
		{"SessionID", r.SessionID},
		{"Actor", r.Actor},
		{"ActorIssuer", r.ActorIssuer},
	} {
		add(len(f.text) > maxName, fmt.Sprintf("%s has more than %d bytes", f.name, maxName))
		add(!utf8.ValidString(f.text), f.name+" is not valid UTF-8")
	}
	add(len(r.Note) > maxNote, fmt.Sprintf("Note has more than %d bytes", maxNote))
	add(strings.ContainsFunc(r.Note, unfit),
		"Note holds a control character, one that changes the direction of writing, or invalid UTF-8")
	for _, f := range []struct {
		name string
		time time.Time
	}{{"IssuedBefore", r.IssuedBefore}, {"ExpiresAt", r.ExpiresAt}} {
		year := f.time.UTC().Year()
		add(!f.time.IsZero() && (year < minYear || year > maxYear),
			fmt.Sprintf("%s is not within the years %d and %d", f.name, minYear, maxYear))
	}
	return errors.Join(errs...)
}

// maxID bounds what a token and the description of its provider can have: a rule for anything longer matches nothing.
const maxID = 256 // bytes of the ID of a provider, of the name of a region, and of a kid

// checkMatches returns every reason why no token can ever match r. It is for writers only: readers keep and apply any valid rule.
func (r Rule) checkMatches() error {
	var errs []error
	add := func(wrong bool, what string) {
		if wrong {
			errs = append(errs, fmt.Errorf("revocation: %w: %s", document.ErrNoMatch, what))
		}
	}
	for _, f := range []struct{ name, text string }{{"Provider", r.Provider}, {"Region", r.Region}} {
		odd := strings.ContainsFunc(f.text, func(c rune) bool { return c <= ' ' || c == 0x7F || c == utf8.RuneError })
		add(odd || len(f.text) > maxID,
			fmt.Sprintf("%s has a space, a control character, or more than %d bytes, which no such name has", f.name, maxID))
	}
	add(len(r.KeyID) > maxID, fmt.Sprintf("KeyID has more than %d bytes: tokens with such a kid are never accepted", maxID))
	encoded := base64.RawURLEncoding.EncodedLen(sha256.Size)
	_, err := base64.RawURLEncoding.Strict().DecodeString(r.Thumbprint)
	add(r.Thumbprint != "" && (err != nil || len(r.Thumbprint) != encoded || strings.ContainsAny(r.Thumbprint, "\r\n")),
		"Thumbprint is not the SHA-256 thumbprint of a key (RFC 7638): 43 characters of base64url, without padding")
	return errors.Join(errs...)
}

// unfit reports whether a Note must not hold a rune: it is shown on terminals and written to logs.
func unfit(c rune) bool { return c == unicode.ReplacementChar || control.Character(c) }

// grain is the resolution of the times of a document.
const grain = time.Microsecond

// canonical returns r with its times in UTC, so that equal rules have equal texts.
func (r Rule) canonical() Rule {
	for _, t := range []*time.Time{&r.IssuedBefore, &r.ExpiresAt, &r.Created} {
		if !t.IsZero() {
			*t = t.UTC().Round(0)
		}
	}
	return r
}

// cloned returns r with texts that hold no memory of others, such as that of a token.
func (r Rule) cloned() Rule {
	for _, text := range []*string{
		&r.Provider, &r.Region, &r.KeyID, &r.Thumbprint, &r.ClientID, &r.Subject, &r.TokenID, &r.OriginTokenID, &r.SessionID,
		&r.Actor, &r.ActorIssuer, &r.Note, &r.Signals,
	} {
		*text = strings.Clone(*text)
	}
	return r
}

// ID returns the ID of the rule: a hash of the fields that match tokens, so without Note, ExpiresAt, Created and Signals. It is
// the same in every process. It has 16 letters, digits, dashes and underscores, and begins with a letter.
func (r Rule) ID() string {
	r = r.canonical()
	r.Note, r.ExpiresAt, r.Created, r.Signals = "", time.Time{}, time.Time{}, ""
	text, _ := json.Marshal(r) // cannot fail: texts, and times within the years of RFC 3339
	sum := sha256.Sum256(text)
	sum[0] &= 0x7F // it begins with a letter, so that no command takes it for a flag
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}
