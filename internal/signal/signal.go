// Package signal tells any number of goroutines that something has changed.
package signal

import (
	"runtime"
	"sync"
)

// Signal is a channel that is closed at each change, and then replaced. The zero Signal is ready. It is safe for concurrent use.
type Signal struct {
	mu      sync.Mutex
	next    *period // nil while nobody waits
	cleanup runtime.Cleanup
}

// period is the time between two changes.
type period struct {
	ch chan struct{}

	mu    sync.Mutex
	ended bool
	calls map[*call]struct{}
}

type call struct{ f func() }

// periods holds the periods that have not ended, by channel: who has the channel can have a function called, and needs no
// goroutine for it.
var periods sync.Map // of <-chan struct{}: *period

// Changed returns a channel that is closed at the next Send. Take the channel first, then read what it is about.
func (s *Signal) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil {
		s.next = &period{ch: make(chan struct{}), calls: map[*call]struct{}{}}
		ch := (<-chan struct{})(s.next.ch)
		periods.Store(ch, s.next)
		s.cleanup = runtime.AddCleanup(s, func(ch <-chan struct{}) { periods.Delete(ch) }, ch)
	}
	return s.next.ch
}

// Send closes the channel that Changed has returned, and then calls the functions of Then.
func (s *Signal) Send() {
	s.mu.Lock()
	p := s.next
	s.next = nil
	if p != nil {
		s.cleanup.Stop()
	}
	s.mu.Unlock()
	if p == nil {
		return // nobody waits
	}
	periods.Delete((<-chan struct{})(p.ch))
	p.mu.Lock()
	p.ended = true
	calls := p.calls
	p.calls = nil
	close(p.ch)
	p.mu.Unlock()
	for c := range calls {
		c.f()
	}
}

// Then has f called, once, when ch is closed, unless stop is called before. f must be short and not block. It returns nil if ch
// is not the channel of a Signal, or is closed.
func Then(ch <-chan struct{}, f func()) (stop func()) {
	found, ok := periods.Load(ch)
	if !ok {
		return nil
	}
	p := found.(*period)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return nil
	}
	c := &call{f}
	p.calls[c] = struct{}{}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.calls, c)
	}
}

// Waiting returns how many functions wait for ch to be closed, for tests.
func Waiting(ch <-chan struct{}) int {
	found, ok := periods.Load(ch)
	if !ok {
		return 0
	}
	p := found.(*period)
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.calls)
}
