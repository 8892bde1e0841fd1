package verifier

import (
	"context"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
)

// Decision is the outcome of one call of Verify. Either Token or Err is nil.
type Decision struct {
	Token    *Token
	Err      *Error
	Cached   bool          // the signature of the same token was checked before, and is not checked again
	Duration time.Duration // by the monotonic clock, with the wait for a key if there was one
}

// observed is verify for callers that set Config.OnDecision.
func (s *state) observed(ctx context.Context, raw string) (*Token, *Error) {
	began := time.Now()
	var d Decision
	d.Token, d.Cached, d.Err = s.verify(ctx, raw)
	d.Duration = time.Since(began)
	guard.Report(guard.Call("Config.OnDecision", func() { s.onDecision(ctx, d) }))
	return d.Token, d.Err
}
