package verifier

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/jwks"
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
	return rule, err
}

// Version implements Revoker. After a panic it returns another number each time, so that Revoked is asked about every token.
func (g *guarded) Version() (version uint64) {
	if guard.Call("Config.Revoked", func() { version = g.inner.Version() }) != nil {
		return 1<<63 | g.panics.Add(1)
	}
	return version
}

// Changed implements Revoker.
func (g *guarded) Changed() (ch <-chan struct{}) {
	guard.Report(guard.Call("Config.Revoked", func() { ch = g.inner.Changed() }))
	return ch
}

// lookup asks the source of keys. A panic of it means that the keys could not be had.
func (s *state) lookup(ctx context.Context, q jwks.Query) (r jwks.Result) {
	if p := guard.Call("Config.Keys", func() { r = s.keys.Lookup(ctx, q) }); p != nil {
		return jwks.Result{Err: p}
	}
	return r
}

// undecided is the error of a function that was to decide on a token and has panicked.
func undecided(p error) error { return fmt.Errorf("%w: %w", ErrUnavailable, p) }

// tellVerified calls the hook Verified.
func (h *Hooks) tellVerified(ctx context.Context, v Verified) {
	guard.Report(guard.Call("the hook Verified", func() { h.Verified(ctx, v) }))
}

// tellDrifted calls the hook Drifted.
func (h *Hooks) tellDrifted(ctx context.Context, d Drift) {
	guard.Report(guard.Call("the hook Drifted", func() { h.Drifted(ctx, d) }))
}
