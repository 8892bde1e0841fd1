package verifier

import (
	"runtime"
	"weak"

	"github.com/regionjwt/regionjwt/jwks"
)

// Changed returns a channel that is closed when the keys, the rules or the trust change, so that tokens of open streams are due
// for a Recheck.
func (v *Verifier) Changed() <-chan struct{} {
	if v == nil {
		return nil // nothing will ever change
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.changed == nil {
		v.changed = make(chan struct{})
	}
	return v.changed
}

func (v *Verifier) announce() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.changed != nil {
		close(v.changed)
	}
	v.changed = make(chan struct{})
}

// listen registers v with the parts that say when they change. They do not keep v alive, and the registrations end with it.
func (v *Verifier) listen(parts ...any) {
	pointer := weak.Make(v)
	announce := func() {
		if v := pointer.Value(); v != nil {
			v.announce()
		}
	}
	for _, part := range parts {
		if n, ok := part.(jwks.Notifier); ok {
			if remove := n.OnChange(announce); remove != nil {
				runtime.AddCleanup(v, end, remove)
			}
		}
	}
}

// end ends a registration. It runs in a goroutine of the runtime, where a panic of somebody else's code would end the process.
func end(remove func()) {
	defer func() { _ = recover() }() //nolint:forbidigo // of the Source or the Revoker; nobody is there to be told
	remove()
}
