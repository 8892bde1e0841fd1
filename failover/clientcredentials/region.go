package clientcredentials

import (
	"math/rand/v2"
	"time"
)

// region is what is known of one region. The mutex of the Source guards all but name and url.
type region struct {
	name string
	url  string

	busy     bool // a request is in progress
	failures int  // in a row
	failedAt instant
	rest     time.Duration // from failedAt on, while a token serves
	retry    time.Duration // from failedAt on, in any case
	failure  *Error        // the last outage; nil after an answer

	verdict   *Error // the last refusal; nil after a token
	verdictAt instant
}

// wait is how long it takes until r may be asked.
func (r *region) wait(now instant, urgent bool) time.Duration {
	if r.failures == 0 {
		return 0
	}
	if urgent {
		return now.left(r.failedAt, max(r.retry, min(probeEvery, r.rest)))
	}
	return now.left(r.failedAt, r.rest)
}

// refuses is a refusal of r that is remembered; nil where there is none.
func (r *region) refuses(now instant) *Error {
	if r.verdict != nil && now.since(r.verdictAt) < verdictFor {
		return r.verdict
	}
	return nil
}

// missed notes an outage, and reports whether it is news.
func (r *region) missed(e *Error, now instant, coolDown time.Duration) (news bool) {
	rest := maxCoolDown
	if r.failures < 6 {
		rest = min(coolDown<<r.failures, maxCoolDown)
	}
	r.failures++
	r.failure, r.failedAt, r.retry = e, now, e.RetryAfter
	r.rest = max(jitter(rest), r.retry)
	return r.failures == 1
}

// lives notes that r has answered, with a verdict or a token, and reports whether it had not before, and whether the verdict
// is news.
func (r *region) lives(verdict *Error, now instant) (recovered, news bool) {
	recovered, news = r.failures > 0, verdict != nil && r.verdict == nil
	r.failures, r.failure = 0, nil
	r.verdict, r.verdictAt = verdict, now
	return recovered, news
}

// jitter varies d by up to a tenth, so that the requests of many processes spread.
func jitter(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()*0.2-0.1)*float64(d)) //nolint:gosec // it is no secret
}
