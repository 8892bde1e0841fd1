package replica_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/replica"
	"github.com/regionjwt/regionjwt/store"
)

// wild is a store whose calls end in their own way while on is set.
type wild struct {
	memory
	on  atomic.Bool
	end func()
}

func (w *wild) may() {
	if w.on.Load() {
		w.end()
	}
}

func (w *wild) Load(ctx context.Context, name, ifNot string) ([]byte, string, error) {
	w.may()
	return w.memory.Load(ctx, name, ifNot)
}

func (w *wild) Watch(ctx context.Context, _ string, _ func()) error {
	w.may()
	<-ctx.Done()
	return ctx.Err()
}

// A store that panics or ends its goroutine, in any method, is one that fails: Follow tells so, and goes on.
func TestFollowAStoreThatPanics(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(){"panic": func() { panic("s3cret") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &wild{end: end}
				_, err := s.Save(t.Context(), "a", []byte("x"), "")
				require.NoError(t, err)
				s.on.Store(true)
				ctx, cancel := context.WithCancel(t.Context())
				var failed, good atomic.Int64
				done := make(chan struct{})
				go func() {
					defer close(done)
					replica.Follow(ctx, s, "a", time.Second, nil, func(_ []byte, err error) {
						if err == nil {
							good.Add(1)
							return
						}
						failed.Add(1)
						require.NotContains(t, err.Error(), "s3cret")
					})
				}()
				time.Sleep(10*time.Second + time.Millisecond)
				require.GreaterOrEqual(t, failed.Load(), int64(10))
				require.Zero(t, good.Load())
				s.on.Store(false)
				time.Sleep(10 * time.Second)
				require.Equal(t, int64(1), good.Load(), "the document has not changed since")
				cancel()
				<-done
			})
		})
	}
}

// A panic of the function that Follow calls is its caller's: Follow passes it on at once, whatever Watch does.
func TestFollowPassesOnThePanicOfItsFunction(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		require.PanicsWithValue(t, "mine", func() {
			replica.Follow(t.Context(), &wild{}, "a", time.Second, nil, func([]byte, error) { panic("mine") })
		})
	})
}

// hollow is an error that panics when its chain is walked, if it is a nil pointer.
type hollow struct{ cause error }

func (*hollow) Error() string   { return "hollow" }
func (h *hollow) Unwrap() error { return h.cause }

// broken is a store whose errors are hollow.
type broken struct{ memory }

func (*broken) Load(context.Context, string, string) ([]byte, string, error) {
	return nil, "", (*hollow)(nil)
}

// Follow hands on no error that panics when it is looked at.
func TestFollowHandsOnErrorsThatCanBeLookedAt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		told := 0
		replica.Follow(ctx, &broken{}, "a", time.Second, nil, func(_ []byte, err error) {
			told++
			require.NotErrorIs(t, err, store.ErrNotFound)
			require.ErrorContains(t, err, "the store")
		})
		require.GreaterOrEqual(t, told, 9)
	})
}
