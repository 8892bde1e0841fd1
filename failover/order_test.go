package failover_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
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

func newFleet(t *testing.T, size int, c failover.Config) *fleet {
	t.Helper()
	f := &fleet{shelf: newShelf()}
	f.writer, f.reader = operators(t, f.shelf)
	f.operator = newController(t, failover.Config{Store: f.writer})
	for range size {
		l := &journal{}
		c.Store, c.OnEvent = f.reader, l.add
		m := newController(t, c)
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
		require.NoError(t, f.operator.Activate(t.Context(), west, "east burns"))
		require.Equal(t, []string{west, west}, f.actives())
		s := f.members[1].State()
		require.True(t, s.Manual)
		require.Equal(t, "east burns", s.Reason)
		require.Equal(t, uint64(1), s.OrderEpoch)
		report(f.members[1], west, errDown, 3)
		report(f.members[1], east, nil, 3)
		require.Equal(t, west, f.members[1].Active(), "a pin wins over all evidence")

		fresh := newController(t, failover.Config{Store: f.writer}) // knows nothing of the pin
		require.NoError(t, fresh.Resume(t.Context()))
		require.Equal(t, west, fresh.Active(), "it learns of the pin before it ends it")
		require.Equal(t, []string{west, east}, f.actives(), "each by its own evidence")
		require.Equal(t, uint64(2), f.members[0].State().OrderEpoch)
		require.Empty(t, f.members[0].State().Reason)
	})
}

func TestManualFleetStaysWhereThePinEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, failover.Config{})
		require.NoError(t, f.operator.Activate(t.Context(), west, ""))
		require.NoError(t, f.operator.Resume(t.Context()))
		require.Equal(t, []string{west}, f.actives())
		late := newController(t, failover.Config{Store: f.reader})
		require.NoError(t, late.Load(t.Context()))
		require.Equal(t, west, late.Active())
		require.False(t, late.State().Manual)
	})
}

// A store that is dark, wiped, rolled back or written to by somebody else moves nobody and is reported.
func TestABadStoreMovesNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2, failover.Config{})
		stays := func(trouble failover.Trouble) {
			t.Helper()
			require.Equal(t, []string{west, west}, f.actives())
			require.Equal(t, trouble, f.members[0].State().Trouble)
		}
		require.NoError(t, f.operator.Activate(t.Context(), east, "first"))
		old := f.copied()
		require.NoError(t, f.operator.Activate(t.Context(), west, "second"))
		good := f.copied()
		stays("")
		f.fail(errDown)
		stays(failover.Unreachable)
		f.fail(nil)
		stays("")
		f.replace(nil)
		stays(failover.Wiped)
		f.replace(old)
		stays(failover.Behind)
		time.Sleep(time.Minute)
		stays(failover.Behind)
		f.replace(good)
		stays("")
		name := "regionjwt/failover/orders"
		for _, forged := range []string{"", "x", `{"version":1,"authority":"orders","region":"us-east-1","pinned":true,"at":"2099-01-01T00:00:00Z"}`} {
			f.replace(map[string]store.Document{name: {Data: []byte(forged)}})
			stays(failover.NotAuthentic)
		}
		elsewhere := newShelf() // or the members might find the store empty in between
		other, _ := operators(t, elsewhere)
		stranger := newController(t, failover.Config{Store: other})
		require.NoError(t, stranger.Activate(t.Context(), east, "mine now"))
		f.replace(elsewhere.copied())
		stays(failover.NotAuthentic)
		require.ErrorIs(t, f.operator.Activate(t.Context(), west, ""), failover.ErrUnreadable)
		determined := newController(t, failover.Config{Store: f.writer, AllowOverwrite: true})
		require.NoError(t, determined.Activate(t.Context(), west, "third"))
		stays("")
		var kinds []string
		for _, e := range f.logs[0].all() {
			if e.Kind == failover.StoreChanged {
				kinds = append(kinds, string(e.State.Trouble))
			}
		}
		require.Equal(t, "unreachable,,wiped,behind,,not_authentic,", strings.Join(kinds, ","), "each once, when it begins or ends")
	})
}

// A store that was wiped takes an order of somebody who knows of none before.
func TestANewOrderCountsAfterAWipe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, failover.Config{})
		for range 3 {
			require.NoError(t, f.operator.Activate(t.Context(), west, ""))
		}
		require.Equal(t, []string{west}, f.actives())
		f.replace(nil)
		fresh := newController(t, failover.Config{Store: f.writer})
		require.NoError(t, fresh.Activate(t.Context(), east, ""))
		require.Equal(t, []string{east}, f.actives())
	})
}

func TestAnOrderWithoutItsStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, failover.Config{})
		require.Equal(t, []string{east}, f.actives())
		err := f.members[0].Activate(t.Context(), west, "")
		require.ErrorIs(t, err, failover.ErrNotShared)
		require.ErrorIs(t, err, store.ErrNoPrivateKey)
		require.Equal(t, []string{west}, f.actives(), "it counts here all the same")
		require.ErrorIs(t, f.operator.Activate(t.Context(), "nowhere", ""), failover.ErrNoRegion)
		require.Error(t, f.operator.Activate(t.Context(), west, "two\nlines"))
		require.Error(t, f.operator.Activate(t.Context(), west, strings.Repeat("x", 257)))
		require.Zero(t, f.operator.State().OrderEpoch)
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
		config := failover.Config{Store: f.reader, LocalCopy: sealed}
		first := newController(t, config)
		stop := start(t, first)
		require.NoError(t, f.operator.Activate(t.Context(), west, "kept"))
		time.Sleep(time.Second)
		require.Equal(t, west, first.Active())
		local.fail(nil)
		time.Sleep(10 * time.Second)
		stop()
		f.fail(errDown)
		again := newController(t, config)
		require.False(t, again.State().OrderKnown)
		require.ErrorIs(t, again.Load(t.Context()), errDown)
		require.Equal(t, west, again.Active())
		require.True(t, again.State().OrderKnown)
		require.Equal(t, "kept", again.State().Reason)
	})
	alone := newController(t, failover.Config{LocalCopy: dir})
	require.NoError(t, alone.Load(t.Context()))
	require.NoError(t, alone.Activate(t.Context(), west, ""))
	other := newController(t, failover.Config{LocalCopy: dir})
	require.NoError(t, other.Load(t.Context()))
	require.Equal(t, west, other.Active())
}

// However many operators speak at once, with whatever clocks, all end where the store does.
func TestManyOperators(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 3, failover.Config{Provider: authority(east, west, north)})
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), 7))
				c := newController(t, failover.Config{Provider: authority(east, west, north), Store: f.writer})
				for n := range 25 {
					err := c.Activate(t.Context(), []string{east, west, north}[r.IntN(3)], fmt.Sprint(i, n))
					if err != nil {
						require.ErrorIs(t, err, store.ErrConflict)
					}
					time.Sleep(time.Duration(r.IntN(30)) * time.Millisecond)
				}
			})
		}
		wg.Wait()
		last := newController(t, failover.Config{Provider: authority(east, west, north), Store: f.writer})
		require.NoError(t, last.Load(t.Context()))
		for i, active := range f.actives() {
			require.Equal(t, last.Active(), active)
			require.Equal(t, last.State().Reason, f.members[i].State().Reason)
		}
		require.GreaterOrEqual(t, last.State().OrderEpoch, uint64(90), "none is lost")
	})
}

// What is not an order for this authority is none, whoever signed it.
func TestDocumentsAreReadStrictly(t *testing.T) {
	t.Parallel()
	good := `{"version":1,"authority":"orders","region":"us-west-2","pinned":true,"at":"2026-01-01T00:00:00Z","epoch":1,"reason":"","left":{}}`
	read := func(text string) (*failover.Controller, failover.Trouble) {
		s := newShelf()
		writer, reader := operators(t, s)
		_, err := writer.Save(t.Context(), "regionjwt/failover/orders", []byte(text), "")
		require.NoError(t, err)
		c := newController(t, failover.Config{Store: reader})
		require.NoError(t, c.Load(t.Context()))
		return c, c.State().Trouble
	}
	c, trouble := read(good)
	require.Empty(t, trouble)
	require.Equal(t, west, c.Active())
	for _, change := range [][2]string{
		{`"orders"`, `"others"`},
		{`"us-west-2"`, `"eu-west-9"`},
		{`"version":1`, `"version":0`},
		{`"version":1`, `"version":2`},
		{`"pinned"`, `"Pinned"`},
		{`"epoch":1`, `"epoch":-1`},
		{`"epoch":1`, `"epoch":1,"epoch":2`},
		{`"left":{}`, `"left":{"eu-west-9":"2026-01-01T00:00:00Z"}`},
		{`"left":{}`, `"left":{},"new":1`},
		{`2026-01-01T00:00:00Z`, `0001-01-01T00:00:00Z`},
		{`"reason":""`, `"reason":"a\u202eb"`},
		{`"reason":""`, `"reason":"` + strings.Repeat("x", 20_000) + `"`},
	} {
		c, trouble := read(strings.Replace(good, change[0], change[1], 1))
		require.Equal(t, failover.Malformed, trouble, "%v", change)
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
