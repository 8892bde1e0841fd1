package clientcredentials

import (
	"fmt"
	"io"
	"time"

	"github.com/regionjwt/regionjwt/internal/clock"
)

// Token is an access token. It is immutable. Formatted or logged, it shows its region and expiry, never its value. The methods of
// a nil Token return zero values.
type Token struct {
	value string
	from  *region
	got   clock.Time    // when it was requested
	life  time.Duration // from then on
	renew time.Duration // the age from which on it is replaced
}

// Value returns the token to send: RFC 6750, section 2.1.
func (t *Token) Value() string {
	if t == nil {
		return ""
	}
	return t.value
}

// Region returns the name of the region that issued t. It is "" if several regions share the token URL: it is then not known
// which of them did.
func (t *Token) Region() string {
	if t == nil || t.from == nil {
		return ""
	}
	return t.from.sole()
}

// Expiry returns when t expires, counted from when it was requested, by the clock of this machine.
func (t *Token) Expiry() time.Time {
	if t == nil || t.from == nil {
		return time.Time{}
	}
	return time.Unix(0, t.got.Wall).Add(t.life)
}

// lives reports whether t has not expired.
func (t *Token) lives(now clock.Time) bool { return now.Since(t.got) < t.life }

// margin is how long before it expires t is no longer handed out, if another one can be had.
func (t *Token) margin() time.Duration { return min(maxMargin, t.life/10) }

// text is the region and expiry of t. Regions that share a token URL are joined by commas.
func (t *Token) text() string {
	if t == nil || t.from == nil {
		return "no token"
	}
	return "token of " + t.from.name + " until " + t.Expiry().UTC().Format(time.RFC3339)
}

// Format implements fmt.Formatter: every verb writes the region and expiry only.
func (t *Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.text()) }
