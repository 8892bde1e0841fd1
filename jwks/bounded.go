package jwks

import (
	"context"
	"errors"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
)

const (
	overtime = time.Second // that code of others has to return after its context has ended
	maxStuck = 64          // calls to the Store that have not returned by then, beyond which it is asked no more
)

// errStuck says that a Store or a Client does not return when its context ends, as it has to.
var errStuck = errors.New("it does not return although its context has ended")

// bounded runs f in a goroutine of its own, and returns its result. If f panics or ends its goroutine, the error is a
// *guard.Panic that names what. If f has not returned a second after ctx has ended, the error is errStuck; f goes on alone, and
// its result is lost.
func bounded[T any](ctx context.Context, what string, f func() T) (result T, err error) {
	type returned struct {
		result T
		err    error
	}
	done := make(chan returned, 1)
	go func() {
		var r returned
		r.err = guard.Apart(what, func() { r.result = f() })
		done <- r
	}()
	select {
	case r := <-done:
		return r.result, r.err
	case <-ctx.Done():
	}
	late := time.NewTimer(overtime)
	defer late.Stop()
	select {
	case r := <-done:
		return r.result, r.err
	case <-late.C:
		return result, errStuck
	}
}
