package verifier

import (
	"context"
	"fmt"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/jwks"
)

// lookup asks the source of keys. If it panics, or its error does when it is looked at, the keys are unavailable.
func (s *state) lookup(ctx context.Context, q jwks.Query) (r jwks.Result) {
	if p := guard.Call("the key source", func() { r = s.keys.Lookup(ctx, q) }); p != nil {
		return jwks.Result{Err: p}
	}
	if r.Err == nil {
		return r
	}
	sound := guard.Sound("the error of the key source", r.Err)
	if p, broken := sound.(*guard.Panic); broken { //nolint:errorlint // as Sound returns it
		return jwks.Result{Err: p}
	}
	return r
}

// decide calls a function that decides on a token, and returns the error of a rejection. If the function panics, or its error
// does when it is looked at, nothing is decided, and the token is unavailable.
func (e *issuerEntry) decide(what string, r Reason, f func() error) (rejected *Error) {
	var err error
	unavailable := false
	panicked := guard.Call(what, func() {
		if err = guard.Sound(what, f()); err != nil {
			rejected = e.reject(r, "", err)
			unavailable = !rejected.decides()
		}
	})
	if _, broken := err.(*guard.Panic); broken { //nolint:errorlint // as Sound returns it
		panicked = err
	}
	if panicked != nil {
		rejected, unavailable = e.reject(r, "", fmt.Errorf("%w: %w", ErrUnavailable, panicked)), true
	}
	if unavailable {
		rejected.RetryAfter = time.Second
	}
	return rejected
}
