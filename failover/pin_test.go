package failover_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/store"
)

// fleet is some running Controllers that may only read, and an operator.
type fleet struct {
	*shelf
	operator *failover.Controller
	members  []*failover.Controller
	logs     []*journal
	writer   store.Trusted
	reader   store.Trusted
}

func newFleet(t *testing.T, size int, c failover.Config, regions ...string) *fleet {
	t.Helper()
	f := &fleet{shelf: newShelf()}
	f.writer, f.reader = operators(t, f.shelf)
	f.operator = newController(t, failover.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{f.writer}}}, regions...)
	for range size {
		l := &journal{}
		c.Replica.Stores, c.OnChange = []store.Trusted{f.reader}, l.add
		m := newController(t, c, regions...)
		start(t, m)
		f.members, f.logs = append(f.members, m), append(f.logs, l)
	}
	return f
}

// actives lists which regions the members take for active, within a second.
func (f *fleet) actives() (actives []string) {
	time.Sleep(time.Second)
	synctest.Wait()
	for _, m := range f.members {
		actives = append(actives, m.Active())
	}
	return actives
}

func TestAnOrderReachesTheFleet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2, failover.Config{Automatic: true})
		report(f.members[0], west, nil, 1)
		report(f.members[0], east, errDown, 3)
		require.Equal(t, []string{west, east}, f.actives(), "what one finds out itself moves itself")
		require.NoError(t, f.operator.Pin(t.Context(), west, "east burns", 0))
		require.Equal(t, []string{west, west}, f.actives())
		s := f.members[1].Status()
		require.True(t, s.Pinned)
		require.Equal(t, "east burns", s.Note)
		require.Equal(t, uint64(1), s.Replica.Epoch)
		report(f.members[1], west, errDown, 3)
		report(f.members[1], east, nil, 3)
		require.Equal(t, west, f.members[1].Active(), "a pin wins over all evidence")

		fresh := newController(t, failover.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{f.writer}}}) // knows nothing of the pin
		require.NoError(t, fresh.Unpin(t.Context()))
		require.Equal(t, west, fresh.Active(), "it learns of the pin before it ends it")
		require.Equal(t, []string{west, east}, f.actives(), "each by its own evidence")
		require.Equal(t, uint64(3), f.members[0].Status().Replica.Epoch, "it decided again, on top of what it had learned")
		require.Empty(t, f.members[0].Status().Note)
	})
}

func TestManualFleetStaysWhereThePinEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, failover.Config{})
		require.NoError(t, f.operator.Pin(t.Context(), west, "", 0))
		require.NoError(t, f.operator.Unpin(t.Context()))
		require.Equal(t, []string{west}, f.actives())
		late := newController(t, failover.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{f.reader}}})
		require.NoError(t, late.Load(t.Context()))
		require.Equal(t, west, late.Active())
		require.False(t, late.Status().Pinned)
	})
}

// A store that is dark, wiped, rolled back or written to by somebody else moves nobody and is reported.
func TestABadStoreMovesNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2, failover.Config{})
		stays := func(problem string) {
			t.Helper()
			require.Equal(t, []string{west, west}, f.actives())
			require.Equal(t, problem, f.members[0].Status().Replica.StoreProblem)
		}
		require.NoError(t, f.operator.Pin(t.Context(), east, "first", 0))
		old := f.copied()
		require.NoError(t, f.operator.Pin(t.Context(), west, "second", 0))
		good := f.copied()
		stays("")
		f.fail(errDown)
		stays("unavailable")
		f.fail(nil)
		stays("")
		f.replace(nil)
		stays("lost")
		f.replace(old)
		stays("rolled_back")
		time.Sleep(time.Minute)
		stays("rolled_back")
		f.replace(good)
		stays("")
		name := "regionjwt/failover/orders"
		for _, forged := range []string{"", "x", `{"version":1,"provider":"orders","region":"us-east-1","pinned":true,"at":"2099-01-01T00:00:00Z"}`} {
			f.replace(map[string]document{name: {Data: []byte(forged)}})
			stays("not_authentic")
		}
		elsewhere := newShelf() // or the members might find the store empty in between
		other, _ := operators(t, elsewhere)
		foreign := newController(t, failover.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{other}}})
		require.NoError(t, foreign.Pin(t.Context(), east, "mine now", 0))
		f.replace(elsewhere.copied())
		stays("not_authentic")
		err := f.operator.Pin(t.Context(), west, "", 0)
		require.ErrorIs(t, err, store.ErrNotShared)
		require.ErrorIs(t, err, store.ErrNotAuthentic)
		stays("not_authentic")
		scratch := newShelf() // a document that is not authentic is replaced by Save
		require.NoError(t, newController(t, failover.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{store.InsecureTrust(scratch)}}}).Pin(t.Context(), west, "third", 0))
		_, revision, err := f.writer.Load(t.Context(), name, "")
		require.ErrorIs(t, err, store.ErrNotAuthentic)
		_, err = f.writer.Save(t.Context(), name, scratch.copied()[name].Data, revision)
		require.NoError(t, err)
		stays("rolled_back")
		require.Len(t, f.members[0].Status().Conflicts, 2, "nobody said that it replaces the second")
		var kinds []string
		for _, e := range f.logs[0].all() {
			if e.kind == storeChanged {
				kinds = append(kinds, e.status.Replica.StoreProblem)
			}
		}
		require.Equal(t, "unavailable,,lost,rolled_back,,not_authentic,rolled_back", strings.Join(kinds, ","), "each once, when it begins or ends")
	})
}

// A store that was wiped takes an order of somebody who knows of none before.
func TestANewOrderCountsAfterAWipe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, failover.Config{})
		for range 3 {
			require.NoError(t, f.operator.Pin(t.Context(), west, "", 0))
		}
		require.Equal(t, []string{west}, f.actives())
		f.replace(nil)
		fresh := newController(t, failover.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{f.writer}}})
		require.NoError(t, fresh.Pin(t.Context(), east, "", 0))
		require.Equal(t, []string{east}, f.actives())
	})
}

func TestAnOrderWithoutItsStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, failover.Config{})
		require.Equal(t, []string{east}, f.actives())
		f.fail(errDown)
		err := f.operator.Pin(t.Context(), west, "", 0)
		require.ErrorIs(t, err, store.ErrNotShared)
		require.ErrorContains(t, err, "failover: the pin is in effect here")
		err = f.operator.Unpin(t.Context())
		require.ErrorContains(t, err, "failover: the end of the pin is in effect here")
		f.fail(nil)
	})
}

// A process that cannot write to its stores pins nothing and ends no pin, not even for itself: the error says who can.
func TestAReaderPinsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, failover.Config{})
		public, private, err := ed25519.GenerateKey(nil)
		require.NoError(t, err)
		elsewhere := store.Signed(f.shelf, "test", private, store.PublicKey{Key: public, Documents: []string{"others"}})
		other := newController(t, failover.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{elsewhere}}})
		for _, pinned := range []bool{false, true} {
			if pinned {
				require.NoError(t, f.operator.Pin(t.Context(), west, "drill", 0))
			}
			f.actives()
			for who, c := range map[string]*failover.Controller{"no private key": f.members[0], "the key is for other documents": other} {
				before := c.Status()
				for _, err := range []error{c.Pin(t.Context(), north, "", 0), c.Pin(t.Context(), west, "", 0), c.Unpin(t.Context())} {
					require.Error(t, err)
					require.NotErrorIs(t, err, store.ErrNotShared)
				}
				err := c.Unpin(t.Context())
				require.ErrorContains(t, err, "nothing was changed")
				require.ErrorContains(t, err, who)
				require.ErrorContains(t, err, "regionjwt unpin")
				time.Sleep(10 * time.Second)
				synctest.Wait()
				after := c.Status()
				before.Replica, after.Replica = withoutTimes(before.Replica), withoutTimes(after.Replica)
				require.Equal(t, before, after, "it leaves no trace")
			}
		}
		require.Empty(t, f.members[0].Status().Replica.StoreProblem)
		require.NoError(t, f.operator.Unpin(t.Context()))
		f.actives()
		require.Empty(t, f.members[0].Status().Conflicts)
		require.Empty(t, f.members[0].Status().Replica.StoreProblem)
	})
}

// withoutTimes is a state without when stores have answered.
func withoutTimes(s store.ReplicaStatus) store.ReplicaStatus {
	s.Confirmed, s.Stores = time.Time{}, slices.Clone(s.Stores)
	for i := range s.Stores {
		s.Stores[i].Confirmed = time.Time{}
	}
	return s
}

// What is not a pin of this provider changes nothing.
func TestPinsThatAreNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 0, failover.Config{})
		require.ErrorContains(t, f.operator.Pin(t.Context(), "nowhere", "", 0), `provider "orders" has no region "nowhere"`)
		require.Error(t, f.operator.Pin(t.Context(), west, "two\nlines", 0))
		require.Error(t, f.operator.Pin(t.Context(), west, strings.Repeat("x", 257), 0))
		require.Zero(t, f.operator.Status().Replica.Epoch)
	})
}

// With a copy, a pin outlives a restart while the store is dark; the copy is written again after it could not be.
func TestThePinOutlivesARestart(t *testing.T) {
	t.Parallel()
	dir := store.Dir(filepath.Join(t.TempDir(), "copy"))
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 0, failover.Config{})
		local := newShelf()
		sealed, _ := operators(t, local)
		local.fail(errDown)
		config := failover.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{f.reader}, LocalCopy: sealed}}
		first := newController(t, config)
		stop := start(t, first)
		require.NoError(t, f.operator.Pin(t.Context(), west, "kept", 0))
		time.Sleep(time.Second)
		require.Equal(t, west, first.Active())
		local.fail(nil)
		time.Sleep(10 * time.Second)
		stop()
		f.fail(errDown)
		again := newController(t, config)
		require.Equal(t, "none", again.Status().Replica.Origin)
		require.ErrorIs(t, again.Load(t.Context()), errDown)
		require.Equal(t, west, again.Active())
		require.Equal(t, "local copy", again.Status().Replica.Origin)
		require.Equal(t, "kept", again.Status().Note)
	})
	alone := newController(t, failover.Config{Replica: store.ReplicaConfig{LocalCopy: dir}})
	require.NoError(t, alone.Load(t.Context()))
	require.NoError(t, alone.Pin(t.Context(), west, "", 0))
	other := newController(t, failover.Config{Replica: store.ReplicaConfig{LocalCopy: dir}})
	require.NoError(t, other.Load(t.Context()))
	require.Equal(t, west, other.Active())
}

// However many operators speak at once, with whatever clocks, all end where the store does.
func TestManyOperators(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 3, failover.Config{}, east, west, north)
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), 7))
				c := newController(t, failover.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{f.writer}}}, east, west, north)
				for n := range 25 {
					err := c.Pin(t.Context(), []string{east, west, north}[r.IntN(3)], fmt.Sprint(i, n), 0)
					if err != nil {
						require.ErrorIs(t, err, store.ErrConflict)
					}
					time.Sleep(time.Duration(r.IntN(30)) * time.Millisecond)
				}
			})
		}
		wg.Wait()
		last := newController(t, failover.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{f.writer}}}, east, west, north)
		require.NoError(t, last.Load(t.Context()))
		for i, active := range f.actives() {
			require.Equal(t, last.Active(), active)
			require.Equal(t, last.Status().Note, f.members[i].Status().Note)
		}
		require.GreaterOrEqual(t, last.Status().Replica.Epoch, uint64(90), "none is lost")
	})
}

// A document that is not one of pins of this provider is rejected, even if its signature is good.
func TestDocumentsAreReadStrictly(t *testing.T) {
	t.Parallel()
	good := string(failover.PinDocument(2, time.Now().UTC().Truncate(time.Second), east, west))
	read := func(text string) (*failover.Controller, string) {
		s := newShelf()
		writer, reader := operators(t, s)
		_, err := writer.Save(t.Context(), "regionjwt/failover/orders", []byte(text), "")
		require.NoError(t, err)
		c := newController(t, failover.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{reader}}})
		_ = c.Load(t.Context())
		return c, c.Status().Replica.StoreProblem
	}
	c, problem := read(good)
	require.Empty(t, problem)
	require.Equal(t, west, c.Active())
	at, expires := c.Status().Since.Format(time.RFC3339), c.Status().Expires.Format(time.RFC3339)
	for _, change := range [][2]string{
		{`"version":1,"provider":"orders"`, `"version":1,"provider":"others"`},
		{`"n":2,"provider":"orders"`, `"n":2,"provider":"others"`},
		{`"us-west-2"`, `"eu-west-9"`},
		{`"version":1`, `"version":0`},
		{`"version":1`, `"version":2`},
		{`"pinned"`, `"Pinned"`},
		{`"epoch":2`, `"epoch":-1`},
		{`"epoch":2`, `"epoch":1`},
		{`"epoch":2`, `"epoch":2,"epoch":3`},
		{`"n":2`, `"n":0`},
		{`"n":2`, `"n":3`},
		{`"floor":0`, `"floor":3`},
		{`"floor":0`, `"floor":0,"new":1`},
		{`"pinned":true`, `"pinned":true,"new":1`},
		{`"heads":[`, `"heads":[null,`},
		{`"ancestors":{"`, `"ancestors":{"x`},
		{`"parents":[`, `"parents":["~",`},
		{at, `0001-01-01T00:00:00Z`},
		{expires, c.Status().Since.Add(31 * 24 * time.Hour).Format(time.RFC3339)},
		{expires, c.Status().Since.Add(-time.Second).Format(time.RFC3339)},
		{`"note":""`, `"note":"a\u202eb"`},
		{`"note":""`, `"note":"` + strings.Repeat("x", 20_000) + `"`},
	} {
		require.Contains(t, good, change[0])
		c, problem := read(strings.Replace(good, change[0], change[1], 1))
		require.Equal(t, "malformed", problem, "%v", change)
		require.Equal(t, east, c.Active())
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	cause := fmt.Errorf("the end")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	require.ErrorIs(t, newController(t, failover.Config{}).Run(ctx), cause)
}
