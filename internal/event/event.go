// Package event calls a callback with the changes of a state.
package event

import "sync"

// Notifier calls a callback with the state before and after a change, one call after the other. It has no queue: if the callback
// is slow, the changes meanwhile are merged into one call. The zero Notifier begins with the zero state. It is safe for
// concurrent use.
type Notifier[S any] struct {
	mu          sync.Mutex
	busy, again bool
	last        S // of the last call; used by the goroutine that made n busy
}

// Start sets the state that the first call gets as the one before. Call it before Notify.
func (n *Notifier[S]) Start(first S) { n.last = first }

// Notify calls changed with the last state and the one of now, until the state is the one that changed was called with. If a call
// is under way, its goroutine makes the next one, and Notify returns at once: so changed may cause a change itself, and Notify
// waits for no callback of another goroutine. The caller must hold no lock that now or changed takes. Neither of them may panic.
func (n *Notifier[S]) Notify(now func() S, changed func(before, after S)) {
	n.mu.Lock()
	n.again = true
	if n.busy {
		n.mu.Unlock()
		return
	}
	n.busy = true
	n.mu.Unlock()
	for n.due() {
		before, after := n.last, now()
		n.last = after
		changed(before, after)
	}
}

// due reports whether something may have changed; otherwise the goroutine that makes the next change makes the next call.
func (n *Notifier[S]) due() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	due := n.again
	n.again, n.busy = false, due
	return due
}
