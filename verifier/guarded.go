package verifier

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
)

// guarded is a Revoker whose panics are errors: the rules are then not known.
type guarded struct {
	inner  Revoker
	panics atomic.Uint64 // of Version
}

// Revoked implements Revoker.
func (g *guarded) Revoked(t *Token) (rule string, err error) {
	if p := guard.Call("Config.Revoked", func() { rule, err = g.inner.Revoked(t) }); p != nil {
		return "", p
	}
	return rule, guard.Sound("the error of Config.Revoked", err)
}

// Version implements Revoker. After a panic it returns another number each time, so that Revoked is asked about every token.
func (g *guarded) Version() (version uint64) {
	if guard.Call("Config.Revoked", func() { version = g.inner.Version() }) != nil {
		return 1<<63 | g.panics.Add(1)
	}
	return version
}

// decided calls a function that decides on a token, and returns the error of a refusal. If the function panics, or its error does
// when it is looked at, nothing is decided, and the token is unavailable.
func (t *trusted) decided(what string, r Reason, f func() error) (e *Error) {
	var err error
	unavailable := false
	panicked := guard.Call(what, func() {
		if err = guard.Sound(what, f()); err != nil {
			e = t.refuse(r, err)
			unavailable = errors.Is(e, ErrUnavailable)
		}
	})
	if _, broken := err.(*guard.Panic); broken { //nolint:errorlint // as Sound returns it
		panicked = err
	}
	if panicked != nil {
		e, unavailable = t.refuse(r, fmt.Errorf("%w: %w", ErrUnavailable, panicked)), true
	}
	if unavailable {
		e.RetryAfter = time.Second
	}
	return e
}

// tellVerified calls the hook Verified.
func (h *Hooks) tellVerified(ctx context.Context, v Verified) {
	guard.Report(guard.Call("the hook Verified", func() { h.Verified(ctx, v) }))
}

// tellDrifted calls the hook Drifted.
func (h *Hooks) tellDrifted(ctx context.Context, d Drift) {
	guard.Report(guard.Call("the hook Drifted", func() { h.Drifted(ctx, d) }))
}
