package failover

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// say is the text of what a history says, apart from its epoch.
func (h *history) say() string {
	var text []string
	for _, p := range h.heads {
		text = append(text, p.id)
	}
	for id, n := range h.ancestors {
		text = append(text, fmt.Sprint(id, n))
	}
	slices.Sort(text)
	return fmt.Sprint(text, h.floor)
}

// merged merges histories in an order.
func merged(all []*history, order []int) *history {
	h := noPins
	for _, i := range order {
		h, _ = h.Merge(all[i], time.Time{})
	}
	return h
}

// Random histories of several operators, with documents that are replayed and clocks that differ by days: whatever the order
// in which documents are merged, the result is the same; a merge that is repeated changes nothing; and a pin whose writer
// knew another pin is never outlived by that one. PIN_HISTORIES says how many histories are played.
func TestHistoriesOfPins(t *testing.T) {
	t.Parallel()
	histories := 300
	if n, err := strconv.Atoi(os.Getenv("PIN_HISTORIES")); err == nil {
		histories = n
	}
	conflicts := 0
	for seed := range uint64(histories) {
		r := rand.New(rand.NewPCG(seed, 21))
		writers := make([]*history, 1+r.IntN(4))
		for i := range writers {
			writers[i] = noPins
		}
		documents := []*history{noPins}
		knew := map[string]map[string]bool{} // by the ID of a pin: those that its writer knew, directly or not
		steps := 3 + r.IntN(12)
		if r.IntN(40) == 0 {
			steps = 2 * maxAncestors // so that something is cut off
		}
		for range steps {
			i := r.IntN(len(writers))
			if r.IntN(3) > 0 { // it reads some document, perhaps an old one
				writers[i], _ = writers[i].Merge(documents[r.IntN(len(documents))], time.Time{})
			}
			if r.IntN(2) == 0 {
				before := writers[i].heads
				at := time.Unix(1e9+int64(r.IntN(1e6)), 0)
				writers[i] = writers[i].add(pin{Region: fmt.Sprint(r.IntN(3)), Pinned: r.IntN(3) > 0, At: at, Expires: at.Add(time.Hour)})
				known := map[string]bool{}
				for _, p := range before {
					known[p.id] = true
					for id := range knew[p.id] {
						known[id] = true
					}
				}
				knew[writers[i].heads[0].id] = known
				documents = append(documents, writers[i])
			}
		}
		all := writers
		for range 3 {
			all = append(all, documents[r.IntN(len(documents))])
		}
		one := merged(all, r.Perm(len(all)))
		for range 4 {
			require.Equal(t, one.say(), merged(all, r.Perm(len(all))).say(), "seed %d", seed)
		}
		for _, h := range all {
			again, grew := one.Merge(h, time.Time{})
			require.False(t, grew, "seed %d", seed)
			require.Same(t, one, again)
		}
		for _, p := range one.heads {
			for _, q := range one.heads {
				require.False(t, knew[p.id][q.id], "seed %d: a pin outlives one whose writer knew it", seed)
			}
		}
		if len(one.heads) > 1 {
			conflicts++
		}
		next := one.add(pin{Region: "0", Pinned: true})
		for _, h := range documents {
			next, _ = next.Merge(h, time.Time{})
		}
		require.Len(t, next.heads, 1, "seed %d: the next pin ends every conflict, whatever is replayed", seed)
	}
	t.Logf("%d histories, %d of them with a conflict", histories, conflicts)
	require.Greater(t, conflicts, histories/10)
}

// Of two pins in conflict the later one counts, and one that pins a region before the end of another. Clocks count as at most
// a minute ahead: beyond that, which of two is further ahead decides nothing.
func TestTheOneOfSeveralPinsThatCounts(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	at := func(region string, since time.Duration, pinned bool) *history {
		return noPins.add(pin{Region: region, Pinned: pinned, At: now.Add(since), Expires: now.Add(since + 10*time.Hour)})
	}
	both, _ := at("early", 0, true).Merge(at("late", time.Second, true), now)
	require.Equal(t, "late", both.inEffect(now).Region)
	both, _ = both.Merge(at("unpinned", time.Minute, false), now)
	require.Equal(t, "late", both.inEffect(now).Region)
	require.Equal(t, "unpinned", both.inEffect(now.Add(11*time.Hour)).Region, "when the pins have expired")
	further := 0
	for i := range 64 {
		both, _ = at(fmt.Sprint(i), 2*time.Hour, true).Merge(at("further", 3*time.Hour, true), now)
		if both.inEffect(now).Region == "further" {
			further++
		}
	}
	require.Positive(t, further)
	require.Less(t, further, 64)
}
