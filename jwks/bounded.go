package jwks

import (
	"context"
	"errors"
	"time"
)

const (
	overtime = time.Second // that code of others has to return after its context has ended
	maxStuck = 64          // calls to the Store that have not returned by then, beyond which it is asked no more
)

// errStuck says that a Store or a Client does not return when its context ends, as it has to.
var errStuck = errors.New("it does not return although its context has ended")

// bounded runs f, and returns its result, or false where f has not returned a while after ctx has ended. Then it goes on alone,
// and what it returns is lost.
func bounded[T any](ctx context.Context, f func() T) (result T, ok bool) {
	done := make(chan T, 1)
	go func() { done <- f() }()
	select {
	case result = <-done:
		return result, true
	case <-ctx.Done():
	}
	late := time.NewTimer(overtime)
	defer late.Stop()
	select {
	case result = <-done:
		return result, true
	case <-late.C:
		return result, false
	}
}
