package dpop_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/middleware/dpop"
	"github.com/regionjwt/regionjwt/verifier"
)

// fill records proofs of one key until there is no room, and returns how many.
func fill(t *testing.T, r dpop.Replay, holder string, until time.Time) int {
	t.Helper()
	for n := 0; ; n++ {
		seen, err := r(t.Context(), fmt.Sprint(holder, ".", n), until)
		if err != nil {
			require.ErrorIs(t, err, dpop.ErrFull)
			return n
		}
		require.False(t, seen)
	}
}

func TestOneKeyDoesNotFillTheMemory(t *testing.T) {
	t.Parallel()
	const most = 4096
	now := issued
	until := issued.Add(time.Minute)
	r, entries := dpop.NewMemory(most, func() time.Time { return now })
	one := fill(t, r, "one", until)
	require.InDelta(t, most*0.1716, one, 2, "a sixth")
	for i := range 98 {
		require.Positive(t, fill(t, r, fmt.Sprint("bot", i), until))
		require.Greater(t, most-entries(), most*4/(i+6)-2, "the room that %d keys leave", i+2)
	}
	for i := range 50 {
		seen, err := r(t.Context(), fmt.Sprint("guest", i, ".x"), until)
		require.NoError(t, err, "one that asks for little")
		require.False(t, seen)
	}
	for i := range one {
		seen, err := r(t.Context(), fmt.Sprint("one.", i), until)
		require.NoError(t, err)
		require.True(t, seen, "nothing is forgotten before its time")
	}
	for i := range most {
		fill(t, r, fmt.Sprint("more", i), until)
	}
	require.Equal(t, most, entries())
	_, err := r(t.Context(), "late.x", until)
	require.ErrorIs(t, err, dpop.ErrFull)
	now = until
	_, err = r(t.Context(), "late.x", until)
	require.ErrorIs(t, err, dpop.ErrFull, "they count up to their time")
	now = until.Add(1)
	until = now.Add(time.Minute)
	seen, err := r(t.Context(), "late.x", until)
	require.NoError(t, err, "and no longer")
	require.False(t, seen)
	for i := range most {
		_, _ = r(t.Context(), fmt.Sprint("late.", i), until)
	}
	require.LessOrEqual(t, entries(), one+1, "expired entries are dropped by later calls")
}

// More than a thousand keys are needed to fill the memory of a process.
func TestKeysThatFillTheDefault(t *testing.T) {
	t.Parallel()
	r, entries := dpop.NewMemory(dpop.MaxProofs, func() time.Time { return issued })
	n := 0
	for fill(t, r, fmt.Sprint(n), issued) > 0 {
		n++
	}
	require.Equal(t, dpop.MaxProofs, entries())
	require.Greater(t, n, 1000)
}

// The memory agrees with one that is simple and has no bound.
func TestMemoryAgreesWithASimpleOne(t *testing.T) {
	t.Parallel()
	now := issued
	r, entries := dpop.NewMemory(1<<12, func() time.Time { return now })
	simple := map[string]time.Time{}
	dice := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		now = now.Add(time.Duration(dice.IntN(100)) * time.Millisecond)
		id := fmt.Sprint(dice.IntN(20), ".", dice.IntN(100))
		until := now.Add(time.Duration(dice.IntN(60_000)) * time.Millisecond)
		known, was := simple[id]
		seen, err := r(t.Context(), id, until)
		require.NoError(t, err)
		require.Equal(t, was && !known.Before(now), seen)
		if !seen {
			simple[id] = until
		}
	}
	require.Positive(t, entries())
}

// More entries expire at once than one call drops: those that are still there do not count any more.
func TestExpiredEntriesDoNotCount(t *testing.T) {
	t.Parallel()
	now := issued
	r, entries := dpop.NewMemory(4096, func() time.Time { return now })
	for i := range 500 {
		_, err := r(t.Context(), fmt.Sprint("one.", i), now.Add(time.Duration(i)))
		require.NoError(t, err)
	}
	now = now.Add(time.Second)
	seen, err := r(t.Context(), "one.499", now)
	require.NoError(t, err)
	require.False(t, seen)
	require.Greater(t, entries(), 400)
	seen, err = r(t.Context(), "one.499", now)
	require.NoError(t, err)
	require.True(t, seen)
}

func TestMemoryIsSafe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, entries := dpop.NewMemory(1<<14, time.Now)
		var fresh [500]atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for i := range fresh {
					seen, err := r(t.Context(), fmt.Sprint(i%7, ".", i), time.Now().Add(time.Minute))
					if err != nil {
						t.Error(err)
					}
					if !seen {
						fresh[i].Add(1)
					}
				}
			})
		}
		wg.Wait()
		for i := range fresh {
			require.EqualValues(t, 1, fresh[i].Load())
		}
		require.Equal(t, 500, entries())
		time.Sleep(time.Minute + 1)
		for range 8 {
			_, err := r(t.Context(), "x.y", time.Now())
			require.NoError(t, err)
		}
		require.Equal(t, 1, entries())
	})
}

func TestAFullMemoryRejects(t *testing.T) {
	t.Parallel()
	s := signerFor(t, "ES256")
	c := newCheckerAt(t, dpop.Config{}, 64, func() time.Time { return issued })
	first := s.proof(t, nil, nil)
	require.NoError(t, dpop.CheckPresentation(t.Context(), c, s.request(first)))
	var err error
	for i := 0; err == nil; i++ {
		require.Less(t, i, 64)
		err = dpop.CheckPresentation(t.Context(), c, s.request(s.proof(t, nil, members{"jti": fmt.Sprint(i)})))
	}
	requireRejected(t, err, verifier.ReasonProofUnavailable, dpop.ErrFull)
	requireRejected(t, dpop.CheckPresentation(t.Context(), c, s.request(first)), verifier.ReasonProofFailed, dpop.ErrUsed)
	other := signerFor(t, "EdDSA")
	require.NoError(t, dpop.CheckPresentation(t.Context(), c, other.request(other.proof(t, nil, nil))), "there is room for others")
}

// A proof takes as much memory as the documentation of Config.Replay says, if each has a key of its own.
func TestRoomForOneProof(t *testing.T) {
	const n = 50_000
	r, entries := dpop.NewMemory(1<<20, time.Now)
	until := time.Now().Add(time.Hour)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range n {
		_, err := r(t.Context(), fmt.Sprintf("%022d.%043d", i, i), until)
		require.NoError(t, err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	require.Equal(t, n, entries())
	each := float64(after.HeapAlloc-before.HeapAlloc) / n
	t.Log("bytes for each:", each)
	require.Less(t, each, 260.0)
}
