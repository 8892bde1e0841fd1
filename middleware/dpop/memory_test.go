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

// Ten thousand honest clients use their keys every ten seconds, beside a thousand keys that use as many proofs as they can. No
// proof of a client is rejected, and none is accepted twice, of whatever key.
func TestHonestClientsFitBesideHostileKeys(t *testing.T) {
	t.Parallel()
	const honest, hostile, seconds = 10_000, 1_000, 180
	now := issued
	r, entries := dpop.NewMemory(dpop.MaxProofs, func() time.Time { return now })
	rejected, recorded := 0, 0
	record := func(id string) bool {
		seen, err := r(t.Context(), id, now.Add(90*time.Second))
		if seen {
			t.Fatalf("%s is new", id)
		}
		return err == nil
	}
	for second := range seconds {
		for n := range honest / 10 {
			client := n*10 + second%10
			if !record(fmt.Sprint("client", client, ".", second)) {
				rejected++
			}
			recorded++
		}
		for n := range 4 * hostile { // four of each key in a second: 360 within their time, thrice the room
			record(fmt.Sprint("bot", n%hostile, ".", second, "-", n))
		}
		if second%10 == 0 { // captured proofs of all kinds, from now and from before
			for _, from := range []int{second, max(second-50, 0), max(second-89, 0)} {
				for n := range 50 {
					until := issued.Add(time.Duration(from) * time.Second).Add(90 * time.Second)
					for _, id := range []string{
						fmt.Sprint("client", n*10+from%10, ".", from), fmt.Sprint("bot", n, ".", from, "-", n),
					} {
						if seen, err := r(t.Context(), id, until); !seen && err == nil {
							t.Fatalf("%s is accepted twice", id)
						}
					}
				}
			}
		}
		now = now.Add(time.Second)
	}
	t.Logf("%d clients, %d hostile keys: %d proofs of clients, %d rejected", honest, hostile, recorded, rejected)
	require.Zero(t, rejected)
	require.Equal(t, dpop.MaxProofs, entries())
}

// One key may use all of the room, and gives it up to others; as many keys as there are places are needed to fill it.
func TestAKeyGivesUpWhatOthersNeed(t *testing.T) {
	t.Parallel()
	const most = 256
	r, entries := dpop.NewMemory(most, func() time.Time { return issued })
	use := func(id string, until time.Duration) error {
		seen, err := r(t.Context(), id, issued.Add(until))
		require.False(t, seen)
		return err
	}
	for i := range 2 * most {
		require.NoError(t, use(fmt.Sprint("one.", i), time.Duration(i+1)*time.Second), "the oldest gives way")
	}
	require.Equal(t, most, entries())
	require.ErrorIs(t, use("one.0", time.Second), dpop.ErrFloor, "it may be one that was used")
	require.ErrorIs(t, use("one.new", most*time.Second), dpop.ErrFloor)
	for i := range most - 1 {
		require.NoError(t, use(fmt.Sprint("other", i, ".x"), time.Minute))
	}
	require.ErrorIs(t, use("last.x", time.Minute), dpop.ErrFull, "each has one, and keeps it")
	seen, err := r(t.Context(), fmt.Sprint("one.", 2*most-1), issued.Add(2*most*time.Second))
	require.NoError(t, err)
	require.True(t, seen, "it kept the latest")
	require.Equal(t, most, entries())
}

// Whatever is recorded in a memory that is too small, no id is accepted twice before its time.
func TestASmallMemoryAcceptsNothingTwice(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		dice := rand.New(rand.NewPCG(seed, 9449))
		now := issued
		r, entries := dpop.NewMemory(1+dice.IntN(40), func() time.Time { return now })
		used := map[string]time.Time{} // what was accepted, until when
		accepted := 0
		for range 20_000 {
			now = now.Add(time.Duration(dice.IntN(200)) * time.Millisecond)
			key, n := dice.IntN(8), dice.IntN(60)
			id := fmt.Sprint(key, ".", n)
			until := now.Truncate(time.Second).Add(time.Duration(dice.IntN(20)) * time.Second)
			if before, is := used[id]; is && !before.Before(now) {
				until = before // the same proof
			}
			seen, err := r(t.Context(), id, until)
			if !seen && err == nil {
				accepted++
				before, is := used[id]
				require.False(t, is && !before.Before(now), "%s is accepted twice", id)
				used[id] = until
			}
			require.GreaterOrEqual(t, entries(), 0)
		}
		require.Greater(t, accepted, 100)
	}
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
	require.Less(t, each, 300.0)
}
