package failover_test

import (
	"context"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/issuer"
)

// A pin that expires is told apart from one that an operator ends, and neither is a recovery.
func TestTheEndOfAPinIsItsCause(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]struct {
		do                func(*failover.Controller) error
		cause, line, said string
	}{
		"expired": {
			func(*failover.Controller) error { time.Sleep(time.Hour); return nil }, "expired", "pin expired",
			"the pin of us-west-2 has expired, and us-east-1 is preferred and healthy: report: successes since 2000-01-01T00:00:00Z",
		},
		"unpinned": {
			func(c *failover.Controller) error { return c.Unpin(t.Context()) }, "unpinned", "region unpinned",
			"an operator ended the pin of us-west-2, and us-east-1 is preferred and healthy: report: successes since 2000-01-01T00:00:00Z",
		},
	} {
		for _, run := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				var out lines
				c := newController(t, failover.Config{Automatic: true, Logger: slog.New(&out)})
				if run {
					start(t, c)
				}
				report(c, east, nil, 1)
				require.NoError(t, c.Pin(t.Context(), west, "drill", time.Hour))
				require.NoError(t, end.do(c))
				report(c, west, nil, 1) // without Run, a report shows that the pin has ended
				synctest.Wait()
				s := c.Status()
				require.Equal(t, east, s.Active, name)
				require.Equal(t, end.cause, s.Cause)
				require.Equal(t, []string{end.said}, s.Why)
				require.Contains(t, out.written(), "INFO active region changed provider=orders region=us-east-1 from=us-west-2 cause="+
					end.cause+" pinned=false")
				require.Contains(t, out.written(), "INFO "+end.line+" provider=orders region=us-west-2")
			})
		}
	}
}

// What recovers long after a pin is a recovery, and the end of no pin is no cause.
func TestARecoveryAfterAPinIsARecovery(t *testing.T) {
	bubble(t, failover.Config{Automatic: true}, func(t *testing.T, c *failover.Controller, _ *journal) {
		start(t, c)
		require.NoError(t, c.Pin(t.Context(), west, "", 0))
		require.NoError(t, c.Unpin(t.Context()))
		require.Equal(t, west, c.Active(), "nothing is known of the preferred region")
		require.Equal(t, "unpinned", c.Status().Cause)
		time.Sleep(time.Hour)
		report(c, east, nil, 1)
		require.Equal(t, east, c.Active())
		require.Equal(t, "recovered", c.Status().Cause)
		require.NoError(t, c.Unpin(t.Context()))
		require.Equal(t, "recovered", c.Status().Cause, "nothing was pinned")
		require.NotEmpty(t, c.Status().Why)
	})
}

// A region that fails again soon after its return is held down longer. The status says so, and names one end at any time.
func TestALongerHoldDownIsExplained(t *testing.T) {
	silent := func(context.Context, issuer.Region) error { return failover.ErrInconclusive }
	config := failover.Config{Automatic: true, ProbeInterval: time.Hour, Probe: silent}
	bubble(t, config, func(t *testing.T, c *failover.Controller, _ *journal) {
		start(t, c)
		said := func() string {
			s := c.Status()
			all := slices.Concat(s.Why, s.Next)
			for _, r := range s.Regions {
				all = append(append(all, r.Why), r.Reports...)
			}
			return strings.Join(all, "\n")
		}
		ends := func() []string {
			t.Helper()
			found := regexp.MustCompile(`hold-down (?:ends at|until) ([0-9T:-]+Z)`).FindAllStringSubmatch(said(), -1)
			require.NotEmpty(t, found)
			var all []string
			for _, f := range found {
				all = append(all, f[1])
			}
			slices.Sort(all)
			return slices.Compact(all)
		}
		report(c, west, nil, 1)
		report(c, east, errDown, 3)
		require.NotContains(t, said(), "HoldDown")
		require.NotContains(t, said(), "no probe")
		time.Sleep(6 * time.Minute)
		report(c, east, nil, 3)
		require.Equal(t, east, c.Active())
		report(c, east, errDown, 3)
		require.Equal(t, west, c.Active())
		until := c.Status().Regions[0].HoldDownUntil
		require.GreaterOrEqual(t, time.Until(until), 2*holdDown-time.Minute)
		require.Contains(t, said(), "2 times HoldDown, because it failed again soon after its return at ")
		require.Equal(t, []string{until.UTC().Format(time.RFC3339)}, ends())
		time.Sleep(6 * time.Minute)
		report(c, east, nil, 3)
		require.Equal(t, west, c.Active())
		require.Contains(t, said(), "now to us-east-1, whose hold-down then ends")
		report(c, west, errDown, 3)
		require.Equal(t, east, c.Active(), "the longer hold-down ends early")

		report(c, east, errDown, 3)
		report(c, west, errDown, 3)
		s := c.Status()
		for _, r := range s.Regions {
			require.Equal(t, "unhealthy", r.Health)
		}
		require.NotContains(t, said(), "times HoldDown")
		for _, r := range s.Regions {
			if !r.HoldDownUntil.IsZero() {
				require.LessOrEqual(t, time.Until(r.HoldDownUntil), holdDown*11/10, "the longer time does not count now")
			}
		}
	})
}

// A region that is healthy and in no hold-down, and is not returned to, has a reason.
func TestAReturnThatWaitsIsExplained(t *testing.T) {
	bubble(t, failover.Config{Automatic: true}, func(t *testing.T, c *failover.Controller, _ *journal) {
		start(t, c)
		report(c, west, nil, 1)
		require.NoError(t, c.Pin(t.Context(), west, "", 0))
		report(c, east, nil, 1)
		c.Report(east, "keys", time.Time{}, errDown)
		require.NoError(t, c.Unpin(t.Context()))
		require.Equal(t, west, c.Active())
		until := time.Now().Add(holdDown).UTC().Format(time.RFC3339)
		require.Contains(t, c.Status().Next[0], "back to us-east-1: it is healthy; so far keys: 1 failure (other); not before "+until+
			", unless that reporter reports a success")
	})
}
