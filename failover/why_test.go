package failover_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
)

const noProbe = "no probe is configured (ProbeInterval): fetches of keys and other reports alone show that a region has failed or " +
	"recovered, which can take half an hour"

// From the start to the return, Status says which reports moved the region, since when, and what would move it.
func TestStatusExplainsEveryMove(t *testing.T) {
	bubble(t, failover.Config{Automatic: true}, func(t *testing.T, c *failover.Controller, _ *journal) {
		start(t, c)
		says := func(why, next []string, regions ...string) {
			t.Helper()
			s := c.Status()
			require.Equal(t, why, s.Why)
			require.Equal(t, next, s.Next)
			for i, line := range regions {
				require.Equal(t, line, s.Regions[i].Why)
			}
		}
		stay := "away from us-east-1: if it becomes unhealthy, by 3 failures in a row of one reporter, or a monitor's verdict"
		says([]string{"us-east-1 is the first region of the provider"},
			[]string{stay + "; now to us-west-2, whose health is unknown", noProbe}, "no success yet", "no success yet")
		report(c, west, nil, 1)
		report(c, east, labeled("status 500"), 2)
		says([]string{"us-east-1 is the first region of the provider"},
			[]string{stay + "; so far report: 2 failures (status 500); now to us-west-2", noProbe},
			"no success yet; so far report: 2 failures (status 500)", "report: successes since 2000-01-01T00:00:00Z")
		report(c, east, labeled("status 500"), 1)
		leave := "away from us-west-2: if it becomes unhealthy, by 3 failures in a row of one reporter, or a monitor's verdict"
		failed := []string{
			"us-east-1 was left because it was unhealthy: report: 3 failures in a row (status 500), of requests that began from " +
				"2000-01-01T00:00:01Z to 2000-01-01T00:00:03Z",
			"us-west-2 was the first other region that was healthy",
		}
		says(failed, []string{
			"back to us-east-1: when it is healthy (3 successes in a row of one reporter of requests that began after " +
				"2000-01-01T00:00:03Z, of which there is none); not before its hold-down ends at 2000-01-01T00:05:03Z",
			leave + "; now there is no other region to move to (in hold-down: us-east-1)", noProbe,
		}, "report: 3 failures in a row (status 500), of requests that began from 2000-01-01T00:00:01Z to 2000-01-01T00:00:03Z; "+
			"unknown at 2000-01-01T00:05:03Z if nothing else fails; healthy after 3 successes in a row of one reporter of requests "+
			"that began after 2000-01-01T00:00:03Z, of which there is none")
		time.Sleep(holdDown)
		report(c, east, nil, 2)
		says(failed, []string{
			"back to us-east-1: when it is healthy (3 successes in a row of one reporter of requests that began after " +
				"2000-01-01T00:00:03Z, so far report: 2); it is not in hold-down",
			leave + "; now to us-east-1, whose health is unknown", noProbe,
		}, "it was unhealthy by report, whose last failure began at 2000-01-01T00:00:03Z; healthy after 3 successes in a row of one "+
			"reporter of requests that began after 2000-01-01T00:00:03Z, so far report: 2")
		report(c, east, nil, 1)
		says([]string{"us-east-1 is preferred to us-west-2, and was healthy again: report: successes since 2000-01-01T00:05:04Z"},
			[]string{stay + "; now to us-west-2", noProbe})
		require.NoError(t, c.Pin(t.Context(), west, "drill", 0))
		says([]string{"an operator pinned us-west-2"}, []string{"only an operator, or the end of the pin"})
		require.NoError(t, c.Unpin(t.Context()))
		require.Equal(t, "unpinned", c.Status().Cause, "it moves back at once")
		require.Equal(t, []string{
			"an operator ended the pin of us-west-2, and us-east-1 is preferred and healthy: report: successes since 2000-01-01T00:05:04Z",
		}, c.Status().Why)
	})
	manual := newController(t, failover.Config{})
	require.Equal(t, []string{"only a pin of an operator: Automatic is not set"}, manual.Status().Next)
	alone := newController(t, failover.Config{}, east)
	require.Equal(t, []string{"nothing: there is one region"}, alone.Status().Next)
}

// A region that is left while it recovers is left because of the failures that made it unhealthy.
func TestALateMoveNamesTheFailures(t *testing.T) {
	bubble(t, failover.Config{Automatic: true}, func(t *testing.T, c *failover.Controller, _ *journal) {
		start(t, c)
		report(c, east, nil, 1)
		require.NoError(t, c.Pin(t.Context(), west, "drill", 0))
		report(c, west, labeled("status 500"), 3)
		report(c, west, nil, 1) // it recovers, and is not healthy yet
		require.NoError(t, c.Unpin(t.Context()))
		require.Equal(t, east, c.Active())
		require.Contains(t, c.Status().Why[0], "report: 3 failures in a row (status 500)")
	})
}
