package failover

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/regionjwt/regionjwt/failover/internal/health"
	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/internal/outbound"
)

const (
	defaultReporter = "report" // of a report without a reporter
	otherFailure    = "other"  // label of a failure that has no label of its own
	maxLabel        = 40       // bytes of a label
)

// ErrInconclusive says that an answer proves neither that a region works nor that it has failed, such as status 429. Report
// ignores an error that wraps it, and so do the probes.
var ErrInconclusive = errors.New("failover: the answer proves nothing about the region")

// observation is what an error says about a region.
type observation struct {
	failed  bool
	failure string        // label
	lasts   time.Duration // if it is the verdict of a monitor
}

// Report records the outcome of a request to a region, by a reporter such as "token". A success of one reporter does not hide
// the failures of another. Reporters beyond the 16th of a region share one record; "" means "report".
//
// The region answered if err is nil, and has failed otherwise: a connection that is refused or reset, a failure of TLS or DNS,
// status 5xx without Retry-After, or no answer in the full time of the request. Other answers are no failures: for status 429,
// another 4xx, or 503 with Retry-After, do not call Report, or pass an error that wraps [ErrInconclusive]. An error that wraps it
// or context.Canceled (the caller gave up) is ignored. So is an error with a method that panics, which is logged.
//
// The label of a failure, for the status and the log, is the result of the method Failure() string of err, or of an error that it
// wraps: at most 40 characters of a to z, 0 to 9, space, underscore and hyphen. Without one it is dns, tls, timeout, network or
// other. The text of err is never used.
//
// The request began at started; the zero Time means now. Late reports are ignored, so that repeating one has no effect. A report
// is late if its request began no later than one that the reporter has already reported, or before the reporter's view of the
// region last changed. A failure is also late if its request began before the region became healthy. A report that began more
// than 30 seconds in the future is ignored as well, and so is one of a region that the provider does not have.
func (c *Controller) Report(region, reporter string, started time.Time, err error) {
	if !c.made() {
		return
	}
	o := observation{failed: err != nil}
	if o.failed && !c.classify(&o, err) {
		return
	}
	if reporter == "" {
		reporter = defaultReporter
	}
	c.mu.Lock()
	changed := c.signal(&health.Signal{
		Region: region, Reporter: reporter, Began: started, Failed: o.failed, Failure: o.failure, Lasts: o.lasts,
	})
	c.mu.Unlock()
	if changed {
		c.notify()
		c.wake()
	}
}

// classify finds the label of a failure, and reports whether it proves anything. An error with a method that panics does not.
func (c *Controller) classify(o *observation, err error) (conclusive bool) {
	panicked := c.noted(guard.Call("the reported error", func() {
		if conclusive = !errors.Is(err, context.Canceled) && !errors.Is(err, ErrInconclusive); conclusive {
			o.failure = failureOf(err)
			var verdict health.Verdict
			if errors.As(err, &verdict) {
				o.lasts = verdict.Lasts
			}
		}
	}))
	return conclusive && panicked == nil
}

// failureOf returns a label for a failure. It holds no text of the error that is not a label.
func failureOf(err error) string {
	var labeled interface{ Failure() string }
	if errors.As(err, &labeled) {
		if failure := labeled.Failure(); isLabel(failure) {
			return failure
		}
		return otherFailure
	}
	failure := outbound.Classify(context.Background(), err)
	var ofNet net.Error
	if failure == label.Network && !errors.As(err, &ofNet) {
		return otherFailure
	}
	return failure
}

// isLabel reports whether s has the form of a label.
func isLabel(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != ' ' && c != '_' && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= maxLabel
}

// wake makes Run check what is due.
func (c *Controller) wake() {
	select {
	case c.woken <- struct{}{}:
	default:
	}
}
