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
	times []int64 // when the requests of the last urlWindow began
}

// wait is the time until the URL may be asked again.
func (r *rate) wait(now clock.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trim(now)
	most := urlRequests * int(max(r.clients.Load(), 1))
	if len(r.times) < most {
		return 0
	}
	return time.Duration(r.times[len(r.times)-most]-now.Mono) + urlWindow + 1
}

// take notes a request.
func (r *rate) take(now clock.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trim(now)
	r.times = append(r.times, now.Mono)
}

// idle reports whether there was no request in the last urlWindow.
func (r *rate) idle(now clock.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trim(now)
	return len(r.times) == 0
}

func (r *rate) trim(now clock.Time) {
	n := 0
	for n < len(r.times) && now.Mono-r.times[n] > int64(urlWindow) {
		n++
	}
	if n == len(r.times) {
		r.times = nil // most URLs are rarely asked
		return
	}
	r.times = r.times[n:]
}

// spent returns how long no URL of the set may be asked. The caller holds the set's mutex.
func (s *set) spent(now clock.Time) time.Duration {
	least := urlWindow + 1
	for _, sl := range s.slots {
		least = min(least, sl.rate.wait(now))
	}
	return least
}
