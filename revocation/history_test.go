package revocation_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
)

// Whatever befalls the store, no List forgets a rule that it knows and that nobody has removed; and when the store is well
// again, all come to know the same.
func TestNothingKnownIsLost(t *testing.T) {
	t.Parallel()
	histories := uint64(60)
	if testing.Short() {
		histories = 6
	}
	for seed := range histories {
		synctest.Test(t, func(t *testing.T) { history(t, rand.New(rand.NewPCG(seed, 9)), seed%6 == 0) })
	}
}

// history keeps the local copies in memory, or on disk, which takes most of the time.
func history(t *testing.T, r *rand.Rand, onDisk bool) {
	m := &memory{}
	ctx, cancel := context.WithCancel(t.Context())
	defer func() { cancel(); synctest.Wait() }()
	lists := make([]*revocation.List, 4)
	copies := make([]store.Trusted, len(lists))
	for i := range copies {
		copies[i] = &memory{}
		if onDisk {
			copies[i] = store.Dir(filepath.Join(t.TempDir(), "copy"))
		}
	}
	stops := make([]context.CancelFunc, len(lists))
	start := func(i int) {
		l, err := revocation.New(revocation.Config{Replica: store.ReplicaConfig{Store: m, LocalCopy: copies[i]}})
		require.NoError(t, err)
		var own context.Context
		own, stops[i] = context.WithCancel(ctx)
		go func() { _ = l.Run(own) }()
		synctest.Wait()
		lists[i] = l
	}
	for i := range lists {
		start(i)
	}
	removed := map[string]time.Time{}                 // when anybody last did
	known := make([]map[string]time.Time, len(lists)) // by each list: when it was added
	look := func() {
		synctest.Wait()
		for i, l := range lists {
			now := map[string]time.Time{}
			for _, e := range l.Rules() {
				now[e.ID()] = e.Created
			}
			for id, added := range known[i] {
				_, still := now[id]
				require.True(t, still || removed[id].After(added), "list %d forgot %s", i, id)
			}
			known[i] = now
		}
	}
	for range 60 {
		l := lists[r.IntN(len(lists))]
		time.Sleep(time.Millisecond) // of two words on a rule the later counts
		look()
		switch r.IntN(8) {
		case 0, 1, 2:
			_, err := l.Add(ctx, revocation.Rule{Provider: "*", Subject: fmt.Sprint(r.IntN(30))})
			require.True(t, err == nil || errors.Is(err, store.ErrNotShared), "%v", err)
		case 3:
			if rules := l.Rules(); len(rules) > 0 {
				id := rules[r.IntN(len(rules))].ID()
				removed[id] = time.Now()
				_ = l.Remove(ctx, id)
			}
		case 4:
			m.lose(r)
		case 5:
			m.set(r.IntN(2) == 0)
		case 6: // a process starts again, perhaps while the store is down
			i := r.IntN(len(lists))
			stops[i]()
			synctest.Wait()
			start(i)
		case 7:
			time.Sleep(time.Duration(r.IntN(1500)) * time.Millisecond)
		}
		look()
	}
	// Each says something once the store is well; then all agree.
	m.set(false)
	for i, l := range lists {
		_, err := l.Add(ctx, revocation.Rule{Provider: "*", KeyID: fmt.Sprint("last", i)})
		require.NoError(t, err)
	}
	time.Sleep(time.Second)
	look()
	for _, l := range lists[1:] {
		require.Equal(t, lists[0].Rules(), l.Rules())
		require.Empty(t, l.Status().Replica.StoreProblem)
	}
}
