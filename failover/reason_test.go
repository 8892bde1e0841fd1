package failover_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/store"
)

// lines keeps what is logged.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (*lines) Enabled(context.Context, slog.Level) bool { return true }
func (l *lines) WithAttrs([]slog.Attr) slog.Handler     { return l }
func (l *lines) WithGroup(string) slog.Handler          { return l }
func (l *lines) Handle(_ context.Context, r slog.Record) error {
	line := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, line)
	return nil
}

func (l *lines) written() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

// A log line names the reporter, the label of the failure and the number of failures, and no text of the error.
func TestLogLinesNameReporterFailureAndCount(t *testing.T) {
	var out lines
	bubble(t, failover.Config{Automatic: true, Logger: slog.New(&out)}, func(t *testing.T, c *failover.Controller, _ *journal) {
		start(t, c)
		report(c, west, nil, 1)
		report(c, east, nil, 1)
		for _, err := range []error{errors.New("s3cret"), context.DeadlineExceeded, labeled("status 503")} {
			observe(c, outcome{region: east, reporter: "token", started: time.Now(), err: err})
			time.Sleep(time.Second)
		}
		require.Contains(t, c.Status().Regions[0].Reports[1], "token: unhealthy, 3 failures in a row (status 503), last 2000-01-01T00:0")
		time.Sleep(holdDown)
		for range 3 {
			observe(c, outcome{region: east, reporter: "keys", started: time.Now()})
			time.Sleep(time.Second)
		}
		require.NoError(t, c.Pin(t.Context(), east, "s3cret", 0))
		observe(c, outcome{region: west, reporter: "token", started: time.Now(), err: labeled("status 503")})
		observe(c, outcome{region: west, reporter: "token", started: time.Now()})
		require.NoError(t, c.Pin(t.Context(), east, "again", 0))
		require.NoError(t, c.Unpin(t.Context()))
		const changed = "region health changed provider=orders region="
		require.Equal(t, []string{
			"INFO " + changed + "us-west-2 health=healthy reporter=report",
			"INFO " + changed + "us-east-1 health=healthy reporter=report",
			"WARN " + changed + "us-east-1 health=unhealthy reporter=token failure=status 503 failures=3",
			"WARN active region changed provider=orders region=us-west-2 from=us-east-1 cause=failed " +
				"reporter=token failure=status 503 failures=3 pinned=false",
			"INFO " + changed + "us-east-1 health=unknown reporter=token",
			"INFO " + changed + "us-east-1 health=healthy reporter=keys",
			"INFO active region changed provider=orders region=us-east-1 from=us-west-2 cause=recovered " +
				"reporter=keys pinned=false",
			"INFO region pinned provider=orders region=us-east-1",
			"INFO region pinned provider=orders region=us-east-1",
			"INFO region unpinned provider=orders region=us-east-1",
		}, out.written())
	})
}

// A failure is always a label.
func TestFailuresAreLabels(t *testing.T) {
	t.Parallel()
	dns := &net.DNSError{Err: "s3cret", Name: "s3cret.example", IsNotFound: true}
	for _, c := range []struct {
		want string
		err  error
	}{
		{"dns", dns},
		{"dns", fmt.Errorf("s3cret: %w", dns)},
		{"timeout", context.DeadlineExceeded},
		{"network", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}},
		{"other", errors.New("s3cret")},
		{"status 503", labeled("status 503")},
		{"other", labeled("S3CRET")},
		{"other", labeled(strings.Repeat("x", 41))},
		{"other", labeled("a\nb")},
		{"no_usable_key", fmt.Errorf("s3cret: %w", labeled("no_usable_key"))},
	} {
		f := newController(t, failover.Config{Threshold: 1})
		f.Report(east, "", time.Time{}, c.err)
		require.Contains(t, f.Status().Regions[0].Reports[0], "unhealthy, 1 failure in a row ("+c.want+"), last ", "%v", c.err)
	}
}

// What proves nothing changes nothing.
func TestWhatProvesNothingChangesNothing(t *testing.T) {
	bubble(t, failover.Config{Automatic: true}, func(t *testing.T, c *failover.Controller, _ *journal) {
		report(c, east, errDown, 2)
		before := c.Status()
		report(c, east, fmt.Errorf("wrapped: %w", failover.ErrInconclusive), 9)
		report(c, east, fmt.Errorf("wrapped: %w", context.Canceled), 9)
		require.Equal(t, before, c.Status())
	})
}

// A failure that is reported late, after a success that began later, is none.
func TestReportOfALateFailure(t *testing.T) {
	bubble(t, failover.Config{Automatic: true}, func(t *testing.T, c *failover.Controller, _ *journal) {
		at := time.Now()
		time.Sleep(time.Second)
		report(c, east, nil, 1)
		for i := range 5 {
			c.Report(east, "", at.Add(time.Duration(i)), errDown)
			time.Sleep(time.Second)
		}
		require.Equal(t, "healthy", c.Status().Regions[0].Health)
	})
}

// A log handler, a probe, a store and a callback that panic end nothing: the rest goes on, and the log says so.
func TestCodeOfOthersThatPanicsEndsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		var changes atomic.Int32
		c := newController(t, failover.Config{
			Automatic: true, Logger: slog.New(slog.NewTextHandler(&out, nil)),
			Replica:       store.ReplicaConfig{Stores: []store.Trusted{wild()}, LocalCopy: wild()},
			ProbeInterval: 10 * time.Second,
			Probe:         func(context.Context, issuer.Region) error { panic("s3cret") },
			OnChange:      func(_, _ failover.Status) { changes.Add(1); panic("s3cret") },
		})
		start(t, c)
		report(c, west, nil, 1)
		report(c, east, errDown, 3)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, west, c.Active())
		require.Equal(t, "unavailable", c.Status().Replica.StoreProblem)
		for _, r := range c.Status().Regions {
			for _, line := range r.Reports {
				require.NotContains(t, line, "probe: ", "a probe that panics says nothing about the region")
			}
		}
		require.Positive(t, changes.Load())
		for _, what := range []string{"Probe", "OnChange", "Replica.LocalCopy"} {
			require.Contains(t, out.String(), what+" panicked")
		}
		require.NotContains(t, out.String(), "s3cret")
	})
	loud := newController(t, failover.Config{Threshold: 1, Automatic: true, Logger: slog.New(panickyHandler{slog.DiscardHandler})})
	loud.Report(east, "", time.Time{}, errDown)
	require.Equal(t, west, loud.Active())
}

// A region may have failed long before there was another one to move to. The log then names the reporter that keeps the region
// unhealthy, and how many failures it has counted, not the one that was first and has recovered.
func TestALateMoveNamesWhatKeepsTheRegionUnhealthy(t *testing.T) {
	var out lines
	bubble(t, failover.Config{Automatic: true, Logger: slog.New(&out)}, func(t *testing.T, c *failover.Controller, _ *journal) {
		say := func(region, reporter, failure string, n int) {
			for range n {
				o := outcome{region: region, reporter: reporter, started: time.Now()}
				if failure != "" {
					o.err = labeled(failure)
				}
				observe(c, o)
				time.Sleep(2 * time.Second)
			}
		}
		say(west, "keys", "dns", 3)
		say(east, "token", "status 500", 3)
		say(east, "keys", "timeout", 7)
		say(east, "token", "", 3)
		require.Equal(t, "unhealthy", c.Status().Regions[0].Health)
		require.Equal(t, east, c.Active(), "there is no other region to move to")
		say(west, "keys", "", 3)
		require.Equal(t, west, c.Active())
		all := out.written()
		require.Equal(t, "WARN active region changed provider=orders region=us-west-2 from=us-east-1 cause=failed "+
			"reporter=keys failure=timeout failures=7 pinned=false", all[len(all)-1])
	})
}

// wild is a trusted store that panics.
func wild() store.Trusted { return store.InsecureTrust(panicky{}) }

// If a store panics, an operator gets an error, and the pin is in effect in this process.
func TestAStoreThatPanicsEndsNoPin(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]store.ReplicaConfig{
		"Store": {Stores: []store.Trusted{wild()}}, "LocalCopy": {LocalCopy: wild()},
		"both": {Stores: []store.Trusted{wild()}, LocalCopy: wild()},
	} {
		c := newController(t, failover.Config{Replica: r})
		pinned, loaded := c.Pin(t.Context(), west, "", 0), c.Load(t.Context())
		require.Equal(t, west, c.Active(), name)
		if len(r.Stores) > 0 {
			require.ErrorIs(t, pinned, store.ErrNotShared, name)
			require.ErrorContains(t, loaded, "Replica.Stores[0] panicked", name)
			require.ErrorIs(t, c.Unpin(t.Context()), store.ErrNotShared, name)
			continue
		}
		require.ErrorContains(t, pinned, "not in the local copy", name)
		require.NoError(t, loaded, name)
		require.ErrorContains(t, c.Unpin(t.Context()), "not in the local copy", name)
		require.Equal(t, "unavailable", c.Status().Replica.LocalProblem, name)
	}
}
