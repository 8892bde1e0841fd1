package clientcredentials

import (
	"fmt"
	"io"
	"iter"
	"log/slog"
	"slices"
	"time"
)

// Token is an access token. It is immutable. Formatted or logged, it tells its region and expiry, never its value.
type Token struct {
	value  string
	from   *region
	scopes []string
	got    instant       // when it was asked for
	life   time.Duration // from then on
	renew  time.Duration // the age from which on it is replaced
}

// Value returns what is to be presented: RFC 6750, section 2.1.
func (t *Token) Value() string { return t.value }

// Region returns the name of the region that minted t. It is "" if several regions share the token URL: it is then not known
// which of them did.
func (t *Token) Region() string {
	if t.from == nil {
		return ""
	}
	return t.from.sole()
}

// Expiry returns when t expires, counted from when it was asked for, by the clock of this machine.
func (t *Token) Expiry() time.Time { return time.Unix(0, t.got.wall).Add(t.life) }

// Scopes returns what the issuer has granted: what it said, or what was asked for where it said nothing (RFC 6749, section 5.1).
func (t *Token) Scopes() iter.Seq[string] { return slices.Values(t.scopes) }

// lives reports whether t has not expired.
func (t *Token) lives(now instant) bool { return now.since(t.got) < t.life }

// margin is how long before it expires t is no longer handed out, if another one can be had.
func (t *Token) margin() time.Duration { return min(maxMargin, t.life/10) }

// String returns the region and expiry of t. Regions that share a token URL are joined by commas.
func (t *Token) String() string {
	if t == nil || t.from == nil {
		return "no token"
	}
	return "token of " + t.from.name + " until " + t.Expiry().UTC().Format(time.RFC3339)
}

// Format implements fmt.Formatter: every verb writes String.
func (t *Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// LogValue implements slog.LogValuer.
func (t *Token) LogValue() slog.Value { return slog.StringValue(t.String()) }
