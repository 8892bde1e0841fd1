package stores_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"

	"github.com/regionjwt/regionjwt/store/storetest"
)

// network is the way to a service, with faults.
type network struct {
	next    http.RoundTripper
	isWrite func(*http.Request) bool // of what readers see
	slow    *http.Response           // what a throttled request gets, without its body
	slowly  string                   // that body

	mu        sync.Mutex
	lose      int
	before    func()
	silence   chan struct{}
	throttled bool
	down      bool
	requests  []string
}

// answer takes the next fault of a request.
func (n *network) answer(r *http.Request) (silence chan struct{}, throttled, down, lost bool) {
	n.mu.Lock()
	before := n.before
	if before != nil && n.isWrite(r) {
		n.before = nil
	} else {
		before = nil
	}
	n.requests = append(n.requests, r.Method+" "+r.Header.Get("X-Amz-Target"))
	silence, throttled, down = n.silence, n.throttled, n.down
	if silence == nil && !throttled && !down && n.lose > 0 {
		n.lose--
		lost = true
	}
	n.mu.Unlock()
	if before != nil {
		before()
	}
	return silence, throttled, down, lost
}

// RoundTrip implements http.RoundTripper.
func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	silence, throttled, down, lost := n.answer(r)
	switch {
	case down:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	case silence != nil:
		select {
		case <-silence:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	case throttled:
		out := *n.slow
		out.Request, out.Body = r, io.NopCloser(strings.NewReader(n.slowly))
		return &out, nil
	}
	out, err := n.next.RoundTrip(r)
	if err == nil && lost {
		_, _ = io.Copy(io.Discard, out.Body)
		_ = out.Body.Close()
		return nil, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	}
	return out, err
}

func (n *network) set(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

// faults are what the network can do; a request in a silence gets no answer, or the answer of a throttled one.
func (n *network) faults(throttles bool) storetest.Faults {
	return storetest.Faults{
		LoseAnswers: func(k int) { n.set(func() { n.lose = k }) },
		BeforeWrite: func(f func()) { n.set(func() { n.before = f }) },
		Silence: func() func() {
			silence := make(chan struct{})
			if throttles {
				n.set(func() { n.throttled = true })
			} else {
				n.set(func() { n.silence = silence })
			}
			return func() { n.set(func() { n.throttled, n.silence = false, nil }); close(silence) }
		},
		Close: func() { n.set(func() { n.down = true }) },
	}
}
