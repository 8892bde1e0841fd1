package jwks

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/internal/clock"
)

const (
	urlRequests = 23 // that are begun in urlWindow; one more may have waited for its connection
	urlWindow   = 10 * time.Second
)

// rate bounds the requests of one URL, whatever causes them: a clock that is set again and again, Update in a loop. All other
// bounds are within it. It goes by the monotonic clock, and outlives the sets that have the URL.
type rate struct {
	clients atomic.Int32 // that ask the URL: each may ask as often

	mu    sync.Mutex
	count int32  // of the requests that are remembered
	last  *begun // of them; nil if no request of the last urlWindow is known, as of most URLs
}

// begun is when a request began, and the one before it.
type begun struct {
	at     int64
	before *begun
}

// wait is the time until the URL may be asked again.
func (r *rate) wait(now clock.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	most := urlRequests * max(r.clients.Load(), 1)
	if r.count < most {
		return 0
	}
	if r.trim(now); r.count < most {
		return 0
	}
	oldest := r.last // of as many as may begin in urlWindow
	for range most - 1 {
		oldest = oldest.before
	}
	return time.Duration(oldest.at-now.Mono) + urlWindow + 1
}

// take notes a request.
func (r *rate) take(now clock.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trim(now)
	r.last = &begun{now.Mono, r.last}
	r.count++
}

// idle reports whether there was no request in the last urlWindow.
func (r *rate) idle(now clock.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trim(now)
	return r.count == 0
}

// trim forgets the requests before urlWindow.
func (r *rate) trim(now clock.Time) {
	r.count = 0
	for q := &r.last; *q != nil; q = &(*q).before {
		if now.Mono-(*q).at > int64(urlWindow) {
			*q = nil
			return
		}
		r.count++
	}
}

// spent returns how long no URL of the set may be asked. The caller holds the set's mutex.
func (s *set) spent(now clock.Time) time.Duration {
	least := urlWindow + 1
	for _, sl := range s.slots {
		least = min(least, sl.rate.wait(now))
	}
	return least
}
