package verifier

import (
	"context"
	"fmt"
	"sync/atomic"

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
	return rule, err
}

// Version implements Revoker. After a panic it returns another number each time, so that Revoked is asked about every token.
func (g *guarded) Version() (version uint64) {
	if guard.Call("Config.Revoked", func() { version = g.inner.Version() }) != nil {
		return 1<<63 | g.panics.Add(1)
	}
	return version
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
