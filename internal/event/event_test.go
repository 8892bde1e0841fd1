package event_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/event"
)

// Each call begins where the one before ended, no two run at once, and the last one has the last state.
func TestCallsFormAChain(t *testing.T) {
	t.Parallel()
	var n event.Notifier[int64]
	var state atomic.Int64
	var inside atomic.Int32
	last := int64(0)
	changed := func(before, after int64) {
		if inside.Add(1) != 1 {
			t.Error("two calls at once")
		}
		if before != last {
			t.Errorf("the call before ended at %d, this one begins at %d", last, before)
		}
		last = after
		inside.Add(-1)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				state.Add(1)
				n.Notify(state.Load, changed)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 8000, last)
}

// A callback that does not return stops no caller, and learns of what happened meanwhile in one call.
func TestASlowCallbackHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n event.Notifier[int64]
		n.Start(1)
		var state atomic.Int64
		release := make(chan struct{})
		var calls [][2]int64
		notify := func(s int64) {
			state.Store(s)
			n.Notify(state.Load, func(before, after int64) {
				calls = append(calls, [2]int64{before, after})
				<-release
			})
		}
		go notify(2)
		synctest.Wait()
		notify(3)
		notify(4)
		close(release)
		synctest.Wait()
		require.Equal(t, [][2]int64{{1, 2}, {2, 4}}, calls)
	})
}

// A callback may cause a change.
func TestACallbackMayCauseAChange(t *testing.T) {
	t.Parallel()
	var n event.Notifier[int64]
	var state atomic.Int64
	var seen []int64
	var changed func(before, after int64)
	changed = func(_, after int64) {
		seen = append(seen, after)
		if after < 3 {
			state.Add(1)
			n.Notify(state.Load, changed)
		}
	}
	state.Store(1)
	n.Notify(state.Load, changed)
	require.Equal(t, []int64{1, 2, 3}, seen)
}
