package failover

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/outbound"
)

const (
	reportSource = "report"         // of evidence without a source
	otherClass   = "other"          // of a failure that says nothing of itself
	maxClass     = 40               // octets of a class
	maxAhead     = 30 * time.Second // that Began may be ahead of the clock
)

// ErrNoEvidence says that an answer proves neither that a region is well nor that it has failed, such as status 429. Observe
// ignores evidence whose Err wraps it, and so does Run if Config.Probe returns it.
var ErrNoEvidence = errors.New("failover: the answer says nothing about the region")

// Evidence is the outcome of one request to a region.
//
// A failure is a connection that is refused or reset, a failure of TLS or DNS, status 5xx without Retry-After, or silence for
// the request's full time. Other answers are not: do not report status 429, a 4xx or a 503 with Retry-After as a failure.
type Evidence struct {
	Region string
	// Source names the reporter, such as "keys" or "token". A good answer to one source does not hide the failures of another.
	// "" means "report". Sources beyond the 16th of a region share one record.
	Source string
	// Began is when the request began. The zero Time means now. Late evidence is ignored: of a request that began no later than
	// one whose outcome the source has already reported, or before the source's view of the region last changed; and a failure
	// of a request that began before the region became healthy. So repeated evidence has no effect. Evidence that began more
	// than 30 seconds in the future is ignored, too.
	Began time.Time
	// Err is nil if the region answered. Evidence whose Err is context.Canceled (the caller gave up) or ErrNoEvidence is ignored.
	// If a method of Err panics, such as Unwrap of a nil pointer, that is logged, and the evidence is ignored.
	Err error
	// Class is a label for Err in events and logs, such as "timeout" or "status 503": at most 40 characters of a to z, 0 to 9,
	// space, underscore and hyphen. "" means the result of Err's method Class() string if it has one; otherwise "dns", "tls",
	// "timeout", "network" or "other". The text of Err is never used.
	Class string
}

// Report is Evidence of the source "report". It began when err says so, by a method Began() time.Time, and otherwise now. A
// region that the authority does not have is ignored.
func (c *Controller) Report(region string, err error) {
	if !c.made() {
		return
	}
	e := Evidence{Region: region, Err: err}
	panicked := c.noted(guard.Call("Evidence.Err", func() {
		var began interface{ Began() time.Time }
		if errors.As(err, &began) {
			e.Began = began.Began()
		}
	}))
	if panicked == nil {
		c.Observe(e)
	}
}

// Observe takes in evidence. A region that the authority does not have is ignored.
func (c *Controller) Observe(e Evidence) {
	if !c.made() || e.Err != nil && !c.classify(&e) {
		return
	}
	if e.Source == "" {
		e.Source = reportSource
	}
	c.mu.Lock()
	now := time.Now()
	r := c.region(e.Region)
	if r == nil {
		c.mu.Unlock()
		return
	}
	due := r.lapsed(now, &c.config)
	if due { // first, as Run does
		c.decide(now)
	}
	if r.count(&e, now, &c.config) {
		c.decide(now)
	} else if !due {
		c.mu.Unlock()
		return
	}
	c.tell()
	c.poke()
}

// classify finds the class of a failure, and reports whether it is evidence. An error with a method that panics is none.
func (c *Controller) classify(e *Evidence) (evidence bool) {
	panicked := c.noted(guard.Call("Evidence.Err", func() {
		if evidence = !errors.Is(e.Err, context.Canceled) && !errors.Is(e.Err, ErrNoEvidence); evidence {
			e.Class = classOf(e)
		}
	}))
	return evidence && panicked == nil
}

// classOf returns a label for a failure. It holds no text of the error that is not a label.
func classOf(e *Evidence) string {
	if isClass(e.Class) {
		return e.Class
	}
	var classed interface{ Class() string }
	if errors.As(e.Err, &classed) {
		if class := classed.Class(); isClass(class) {
			return class
		}
		return otherClass
	}
	class := outbound.Classify(context.Background(), e.Err)
	var ofNet net.Error
	if class == outbound.Network && !errors.As(e.Err, &ofNet) {
		return otherClass
	}
	return string(class)
}

// isClass reports whether s has the form of a label.
func isClass(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != ' ' && c != '_' && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= maxClass
}

// poke has Run look for what is due.
func (c *Controller) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}
