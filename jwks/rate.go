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
	times *[]int64 // when the requests of the last urlWindow began; nil if there are none, as of most URLs
}

// wait is the time until the URL may be asked again.
func (r *rate) wait(now clock.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	times := r.trim(now)
	most := urlRequests * int(max(r.clients.Load(), 1))
	if len(times) < most {
		return 0
	}
	return time.Duration(times[len(times)-most]-now.Mono) + urlWindow + 1
}

// take notes a request.
func (r *rate) take(now clock.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	times := append(r.trim(now), now.Mono)
	r.times = &times
}

// idle reports whether there was no request in the last urlWindow.
func (r *rate) idle(now clock.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.trim(now)) == 0
}

// trim forgets the requests before urlWindow, and returns the others.
func (r *rate) trim(now clock.Time) []int64 {
	if r.times == nil {
		return nil
	}
	times := *r.times
	for len(times) > 0 && now.Mono-times[0] > int64(urlWindow) {
		times = times[1:]
	}
	if *r.times = times; len(times) == 0 {
		r.times = nil
	}
	return times
}

// spent returns how long no URL of the set may be asked. The caller holds the set's mutex.
func (s *set) spent(now clock.Time) time.Duration {
	least := urlWindow + 1
	for _, sl := range s.slots {
		least = min(least, sl.rate.wait(now))
	}
	return least
}
