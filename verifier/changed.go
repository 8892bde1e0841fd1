package verifier

import (
	"runtime"
	"sync"
	"time"
	"weak"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/signal"
)

// change is the time between two changes of the keys, the rules or the policies. Its channel is closed when it ends.
type change struct {
	ch chan struct{}

	mu    sync.Mutex
	ended bool
	stops []func() // release what would end it
}

// end closes the channel.
func (c *change) end() {
	c.mu.Lock()
	stops, ended := c.stops, c.ended
	c.stops, c.ended = nil, true
	if !ended {
		close(c.ch)
	}
	c.mu.Unlock()
	for _, stop := range stops {
		stop()
	}
}

// endWith has c end when ch is closed. It reports false if only a goroutine can wait for ch.
func (c *change) endWith(ch <-chan struct{}) bool {
	if ch == nil {
		return true // never
	}
	stop := signal.Then(ch, c.end)
	if stop == nil {
		return false
	}
	c.mu.Lock()
	ended := c.ended
	c.stops = append(c.stops, stop)
	c.mu.Unlock()
	if ended {
		c.release()
	}
	return true
}

// release lets go of what would end c, without closing the channel.
func (c *change) release() {
	c.mu.Lock()
	stops := c.stops
	c.stops = nil
	c.mu.Unlock()
	for _, stop := range stops {
		stop()
	}
}

// pollUse is how long a goroutine waits for a change before it looks whether its Verifier is still used.
const pollUse = time.Minute

// Changed returns a channel that is closed when the keys, the revocation rules or the policies change, so that tokens of open
// streams need a Recheck. Take the channel first, then call Recheck, and keep the Verifier meanwhile. It is nil for a Verifier
// that New has not made.
//
// No goroutine waits for a *jwks.Cache or a *revocation.List, decorated or not. For other channels one does, until the next
// change; it ends within a minute after the last use of the Verifier.
func (v *Verifier) Changed() <-chan struct{} {
	s := v.current()
	if s == nil {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if c := v.change; c != nil {
		select {
		case <-c.ch: // the keys or the rules have changed
		default:
			return c.ch
		}
	}
	c := &change{ch: make(chan struct{})}
	v.forget.Stop()
	v.change, v.forget = c, runtime.AddCleanup(v, (*change).release, c)
	channels := s.revocations.changed()
	var keys <-chan struct{}
	guard.Report(guard.Call("the key source", func() { keys = s.keys.Changed() }))
	for _, ch := range append(channels, keys) {
		if !c.endWith(ch) {
			go c.wait(ch, weak.Make(v))
		}
	}
	return c.ch
}

// wait ends c when ch is closed. It must not refer to the Verifier, which would then never be collected.
func (c *change) wait(ch <-chan struct{}, v weak.Pointer[Verifier]) {
	defer c.end()
	timer := time.NewTicker(pollUse)
	defer timer.Stop()
	for v.Value() != nil {
		select {
		case <-ch:
			return
		case <-c.ch:
			return
		case <-timer.C:
		}
	}
}

// policiesChanged ends the change, as the policies have changed.
func (v *Verifier) policiesChanged() {
	v.mu.Lock()
	c := v.change
	v.change = nil
	v.mu.Unlock()
	if c != nil {
		c.end()
	}
}
