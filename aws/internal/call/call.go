// Package call makes calls of clients of the AWS SDK that end in time and cannot end the process.
package call

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go/middleware"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/nils"
)

// The default and the minimum of the field Timeout of both stores.
const (
	DefaultTimeout = 2 * time.Second
	LeastTimeout   = 10 * time.Millisecond
)

// TooShort is the problem with a Timeout that is less than LeastTimeout.
func TooShort(timeout time.Duration) error {
	return fmt.Errorf("Timeout is %v: use 0 for %v, or %v or more", timeout, DefaultTimeout, LeastTimeout)
}

// maxPrefix is the length of the longest prefix of keys, in bytes.
const maxPrefix = 128

// Unusable reports whether a client is nil, a nil pointer, or the zero value of C, of which every call would fail.
func Unusable[C any](client any) bool {
	if nils.Is(client) {
		return true
	}
	c, ok := client.(*C)
	return ok && reflect.ValueOf(c).Elem().IsZero()
}

// CheckPrefix returns the problem with the prefix of keys, or nil.
func CheckPrefix(prefix string) error {
	if len(prefix) > maxPrefix {
		return fmt.Errorf("has %d bytes; the maximum is %d", len(prefix), maxPrefix)
	}
	for i := range len(prefix) {
		if prefix[i] <= ' ' || prefix[i] > '~' {
			return errors.New("has a space, a control character or one that is not ASCII")
		}
	}
	return nil
}

// Do calls f, a call of a client. A panic, an answer that is nil and an error whose methods panic become plain errors. When ctx
// has ended, the error is that of ctx.
func Do[T any](ctx context.Context, f func() (*T, error)) (out *T, err error) {
	if panicked := guard.Call("the client", func() { out, err = f() }); panicked != nil {
		return nil, panicked
	}
	if err = guard.Sound("the error of the client", err); err != nil {
		if ended := ctx.Err(); ended != nil {
			return nil, fmt.Errorf("no answer: %w", ended)
		}
		return nil, err
	}
	if out == nil {
		return nil, errors.New("the client returned neither an answer nor an error")
	}
	return out, nil
}

// Pause waits before a request is repeated for the n-th time, counted from 0, about 50 ms, 100 ms, 200 ms and so on, or until ctx
// ends.
func Pause(ctx context.Context, n int) error {
	d := 50 * time.Millisecond << min(n, 4)
	timer := time.NewTimer(d/2 + rand.N(d/2)) //nolint:gosec // jitter is no secret
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("no answer: %w", ctx.Err())
	case <-timer.C:
		return nil
	}
}

// capped is a Retryer that sleeps for at most a time before it repeats a request.
type capped struct {
	aws.RetryerV2
	most time.Duration
}

// RetryDelay implements aws.Retryer.
func (c capped) RetryDelay(attempt int, err error) (time.Duration, error) {
	d, failed := c.RetryerV2.RetryDelay(attempt, err)
	return min(d, c.most), failed
}

// Retryer returns r with sleeps of at most a quarter of timeout. By default the SDK sleeps for seconds when a service throttles
// it: a call would end in that sleep, and nobody would learn why.
func Retryer(r aws.Retryer, timeout time.Duration) aws.Retryer {
	if nils.Is(r) {
		return r
	}
	v2, ok := retry.AddWithMaxAttempts(r, r.MaxAttempts()).(aws.RetryerV2)
	if !ok {
		return r
	}
	return capped{v2, timeout / 4}
}

// Attempts returns an option of the SDK by which each attempt of a call ends after half of timeout, so that a connection that is
// dead, and says nothing, does not use up all of it. What is read from the body of an answer is not limited.
func Attempts(timeout time.Duration) func(*middleware.Stack) error {
	return func(stack *middleware.Stack) error {
		return stack.Finalize.Insert(attempt{timeout / 2}, "Retry", middleware.After)
	}
}

// attempt limits the time of each attempt.
type attempt struct{ most time.Duration }

// ID implements middleware.FinalizeMiddleware.
func (attempt) ID() string { return "regionjwt: time of an attempt" }

// HandleFinalize implements middleware.FinalizeMiddleware.
func (a attempt) HandleFinalize(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
	out middleware.FinalizeOutput, metadata middleware.Metadata, err error,
) {
	within, cancel := context.WithCancel(ctx) // it ends with the call: the body of an answer is read later
	timer := time.AfterFunc(a.most, cancel)
	out, metadata, err = next.HandleFinalize(within, in)
	if !timer.Stop() && ctx.Err() == nil {
		return middleware.FinalizeOutput{}, metadata, silence(a)
	}
	return out, metadata, err
}

// silence is the error of an attempt without an answer. The SDK repeats it, as it does every time-out of a connection.
type silence struct{ most time.Duration }

func (s silence) Error() string { return fmt.Sprintf("no answer to one attempt within %v", s.most) }

// Timeout tells the SDK that this is a time-out.
func (silence) Timeout() bool { return true }

// Unwrap says the same to errors.Is.
func (silence) Unwrap() error { return context.DeadlineExceeded }
