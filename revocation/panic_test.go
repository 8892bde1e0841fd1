package revocation_test

import (
	"bytes"
	"context"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
)

// endings are the ways in which code of others does not return.
var endings = map[string]func(){
	"panic":  func() { panic("s3cret") },
	"Goexit": runtime.Goexit,
}

// wild is a store whose calls end in their own way while on is set.
type wild struct {
	memory
	on     atomic.Bool
	end    func()
	called atomic.Int64
}

func (w *wild) may() {
	w.called.Add(1)
	if w.on.Load() {
		w.end()
	}
}

func (w *wild) Load(ctx context.Context, name, ifNot string) ([]byte, string, error) {
	w.may()
	return w.memory.Load(ctx, name, ifNot)
}

func (w *wild) Save(ctx context.Context, name string, data []byte, ifRevision string) (string, error) {
	w.may()
	return w.memory.Save(ctx, name, data, ifRevision)
}

// journal is a log in memory.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

// A store or a local copy that panics is one that does not answer: nothing is forgotten, and it is asked again.
func TestAPanicOfAStoreIsAFailureOfIt(t *testing.T) {
	t.Parallel()
	for ending, end := range endings {
		t.Run(ending, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				shared, copied, out := &wild{end: end}, &wild{end: end}, &journal{}
				l := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{shared}, LocalCopy: copied}, Logger: slog.New(slog.NewTextHandler(out, nil))})
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- l.Run(ctx) }()
				_, err := l.Add(t.Context(), subjectRule(1))
				require.NoError(t, err)
				time.Sleep(time.Second)
				shared.on.Store(true)
				copied.on.Store(true)
				time.Sleep(time.Minute)
				require.Equal(t, "unavailable", l.Status().Replica.StoreProblem)
				_, err = l.Add(t.Context(), subjectRule(2))
				require.ErrorIs(t, err, store.ErrNotShared)
				require.ErrorIs(t, err, revocation.ErrNotSaved)
				require.NotContains(t, err.Error(), "s3cret")
				require.Error(t, l.Load(t.Context()))
				time.Sleep(time.Minute)
				require.Equal(t, "unavailable", l.Status().Replica.LocalProblem)
				require.Len(t, l.Rules(), 2)
				shared.on.Store(false)
				copied.on.Store(false)
				time.Sleep(time.Second)
				require.Empty(t, l.Status().Replica.LocalProblem)
				_, err = l.Add(t.Context(), subjectRule(3))
				require.NoError(t, err)
				time.Sleep(time.Second)
				require.Empty(t, l.Status().Replica.StoreProblem)
				cancel()
				require.ErrorIs(t, <-done, context.Canceled)
				require.NotContains(t, out.String(), "s3cret")
			})
		})
	}
}

// OnChange and the log handler may panic or end their goroutine; later changes are reported nevertheless.
func TestCallbacksThatPanic(t *testing.T) {
	t.Parallel()
	for ending, end := range endings {
		var changes, logged atomic.Int64
		l := newList(t, revocation.Config{OnChange: func(_, _ revocation.Status) { changes.Add(1); end() }, Logger: slog.New(angryLog{func() { logged.Add(1); end() }})})
		for i := range 5 {
			changed := l.Changed()
			_, err := l.Add(t.Context(), subjectRule(i))
			require.NoError(t, err, ending)
			<-changed
		}
		require.EqualValues(t, 5, changes.Load(), ending)
		require.GreaterOrEqual(t, logged.Load(), int64(5), ending)
	}
}

// angryLog is a log handler that ends in its own way.
type angryLog struct{ end func() }

func (angryLog) Enabled(context.Context, slog.Level) bool { return true }

func (h angryLog) Handle(context.Context, slog.Record) error {
	h.end()
	return nil
}
func (h angryLog) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h angryLog) WithGroup(string) slog.Handler      { return h }

// hollow is an error that panics when its chain is walked, if it is a nil pointer.
type hollow struct{ cause error }

func (*hollow) Error() string   { return "hollow" }
func (h *hollow) Unwrap() error { return h.cause }

// broken is a store whose errors are hollow.
type broken struct{ memory }

func (*broken) Load(context.Context, string, string) ([]byte, string, error) {
	return nil, "", (*hollow)(nil)
}

func (*broken) Save(context.Context, string, []byte, string) (string, error) {
	return "", (*hollow)(nil)
}

// A store or a local copy whose error panics when it is looked at does not answer, and ends nothing.
func TestErrorsOfAStoreThatPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{&broken{}}, LocalCopy: &broken{}}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		time.Sleep(time.Minute)
		require.Equal(t, "unavailable", l.Status().Replica.StoreProblem)
		require.Equal(t, "unavailable", l.Status().Replica.LocalProblem)
		_, err := l.Add(t.Context(), subjectRule(1))
		require.ErrorIs(t, err, store.ErrNotShared)
		require.ErrorIs(t, err, revocation.ErrNotSaved)
		require.Len(t, l.Rules(), 1)
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
	})
}
