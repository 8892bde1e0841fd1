// Package outages bounds how often a process answers that it cannot tell whether a token is valid.
package outages

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/internal/clock"
)

// Budget bounds how often a process answers "unavailable" for tokens that no key has verified: a proxy ejects an instance that
// answers 5xx several times in a row, and anybody can send such tokens. The zero Budget is full. It is safe for concurrent use.
type Budget struct {
	row atomic.Int32 // answers "unavailable" in a row

	mu       sync.Mutex
	spent    float64
	refilled clock.Time
	looked   clock.Time // when usable was found out
	usable   bool       // a key set of the process is
}

const (
	burst = 3
	every = 10 * time.Second
)

// Take reports whether another answer "unavailable" is allowed. While no key set is usable, each is.
func (o *Budget) Take(now clock.Time, usable func(clock.Time) bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.looked.IsZero() || now.Since(o.looked) >= time.Second {
		o.looked, o.usable = now, usable(now)
	}
	if !o.usable {
		return true
	}
	o.spent = max(0, o.spent-float64(now.Since(o.refilled))/float64(every))
	o.refilled = now
	if o.row.Load() >= burst || o.spent > burst-1+1e-9 {
		return false
	}
	o.spent++
	o.row.Add(1)
	return true
}

// Again makes the next Take find out again whether a key set is usable, as one may have become so. Without it, that takes a
// second.
func (o *Budget) Again() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.usable {
		o.looked = clock.Time{}
	}
}

// Other notes any other answer, which ends a row.
func (o *Budget) Other() {
	if o.row.Load() != 0 {
		o.row.Store(0)
	}
}
