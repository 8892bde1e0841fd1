package jwks_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
)

// The first URL hangs at a start, the second one answers, and then the snapshot is there. It does not bring back, in the name of
// the first URL, a key that was removed since.
func TestSnapshotAfterAnAnswerOfAnotherURL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n, on := newServers(), &shelf{}
		a, b := n.at(regionA), n.at(regionB)
		a.list("old")
		b.list("old")
		p := pool("p", []string{regionA, regionB})
		require.Equal(t, 200, ask(t.Context(), newCache(t, n, jwks.Config{Snapshots: on}, p), "p", "old"))
		synctest.Wait()
		require.Equal(t, 1, on.saves())
		time.Sleep(time.Minute)
		a.set(func(s *server) { s.hangs = true })
		b.list("new")
		on.set(func(s *shelf) { s.delay = 300 * time.Millisecond })
		c := newCache(t, n, jwks.Config{Snapshots: on}, p)
		require.Equal(t, 200, ask(t.Context(), c, "p", "new"))
		time.Sleep(time.Second)
		require.Empty(t, look(t, c, "old", "ES256").Keys)
	})
}

// holding is a log handler that does not return from a line about a snapshot until it is released.
type holding struct {
	slog.Handler
	release chan struct{}
}

func (h holding) Enabled(context.Context, slog.Level) bool { return true }

func (h holding) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "snapshot") {
		<-h.release
	}
	return nil
}

// A log handler that blocks does not keep a round from its end, and so not the keys from being fetched.
func TestALogHandlerHoldsUpNoRound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, on := newServers(), &shelf{err: errors.New("down")}
		a := n.at(regionA)
		a.list("one")
		a.set(refuse)
		release := make(chan struct{})
		log := slog.New(holding{slog.DiscardHandler, release})
		c := newCache(t, n, jwks.Config{Snapshots: on, Logger: log}, pool("p", []string{regionA}))
		require.Equal(t, 503, ask(t.Context(), c, "p", "one"))
		a.set(heal)
		time.Sleep(time.Minute)
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		close(release)
		time.Sleep(time.Minute)
	})
}
