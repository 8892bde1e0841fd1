package signal_test

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/signal"
)

func TestSignal(t *testing.T) {
	t.Parallel()
	var s signal.Signal
	s.Send() // nobody waits
	ch := s.Changed()
	require.Equal(t, ch, s.Changed())
	calls := 0
	stop := signal.Then(ch, func() { calls++ })
	require.NotNil(t, stop)
	other := signal.Then(ch, func() { calls += 100 })
	other()
	other()
	s.Send()
	<-ch
	require.Equal(t, 1, calls)
	s.Send()
	stop()
	require.Equal(t, 1, calls)
	require.Nil(t, signal.Then(ch, func() { calls++ }), "it is closed")
	require.Nil(t, signal.Then(make(chan struct{}), func() { calls++ }), "it is of no Signal")
	require.Nil(t, signal.Then(nil, func() { calls++ }))
	require.NotEqual(t, ch, s.Changed())
}

// A function may take the next channel, and register for it.
func TestSignalFromAFunction(t *testing.T) {
	t.Parallel()
	var s signal.Signal
	calls := 0
	var again func()
	again = func() { calls++; signal.Then(s.Changed(), again) }
	signal.Then(s.Changed(), again)
	for range 5 {
		s.Send()
	}
	require.Equal(t, 5, calls)
}

// A Signal that nobody uses anymore is forgotten.
func TestSignalsAreForgotten(t *testing.T) {
	t.Parallel()
	ch := new(signal.Signal).Changed()
	require.Eventually(t, func() bool {
		runtime.GC()
		return signal.Then(ch, func() {}) == nil
	}, 10*time.Second, time.Millisecond)
}

func TestSignalInParallel(t *testing.T) {
	t.Parallel()
	var s signal.Signal
	var called atomic.Int64
	done := make(chan int)
	for range 4 {
		go func() {
			n := 0
			for range 1000 {
				if ch := s.Changed(); signal.Then(ch, func() { called.Add(1) }) != nil {
					n++
				}
				s.Send()
			}
			done <- n
		}()
	}
	registered := 0
	for range 4 {
		registered += <-done
	}
	s.Send()
	require.EqualValues(t, registered, called.Load(), "each function is called once")
}
