package failover_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
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

// classed is an error with a class of its own.
type classed string

func (c classed) Error() string { return "s3cret" }
func (c classed) Class() string { return string(c) }

// An event and its log line name the source, the class of the error and the number of failures, and no text of the error.
func TestEventsNameSourceErrorAndCount(t *testing.T) {
	var out bytes.Buffer
	config := failover.Config{Automatic: true, Logger: slog.New(slog.NewTextHandler(&out, nil))}
	bubble(t, config, func(t *testing.T, c *failover.Controller, l *journal) {
		start(t, c)
		report(c, west, nil, 1)
		report(c, east, nil, 1)
		for _, err := range []error{errors.New("s3cret"), context.DeadlineExceeded, classed("status 503")} {
			c.Observe(failover.Evidence{Region: east, Source: "token", Began: time.Now(), Err: err})
			time.Sleep(time.Second)
		}
		time.Sleep(failover.DefaultMinHold)
		for range 3 {
			c.Observe(failover.Evidence{Region: east, Source: "keys", Began: time.Now()})
			time.Sleep(time.Second)
		}
		type told struct {
			kind             failover.Kind
			region           string
			health           failover.Health
			source, class    string
			failures, unused int
		}
		var all []told
		for _, e := range l.all()[2:] {
			i := map[string]int{east: 0, west: 1}[e.Region]
			all = append(all, told{e.Kind, e.Region, e.State.Regions[i].Health, e.Source, e.Class, e.Failures, 0})
		}
		require.Equal(t, []told{
			{failover.HealthChanged, east, failover.Unhealthy, "token", "status 503", 3, 0},
			{failover.Moved, west, failover.Healthy, "token", "status 503", 3, 0},
			{failover.HealthChanged, east, failover.Unknown, "token", "", 0, 0},
			{failover.HealthChanged, east, failover.Healthy, "keys", "", 0, 0},
			{failover.Moved, east, failover.Healthy, "keys", "", 0, 0},
		}, all)
		require.Equal(t, "report", l.all()[0].Source)
	})
	t.Cleanup(func() {
		require.Contains(t, out.String(), `event=health_changed authority=orders region=us-east-1`)
		require.Contains(t, out.String(), `health=unhealthy source=token error="status 503" failures=3`)
		require.NotContains(t, out.String(), "s3cret")
	})
}

// A class is always a label.
func TestClassesAreLabels(t *testing.T) {
	t.Parallel()
	dns := &net.DNSError{Err: "s3cret", Name: "s3cret.example", IsNotFound: true}
	for _, c := range []struct {
		want, class string
		err         error
	}{
		{"dns", "", dns},
		{"dns", "", fmt.Errorf("s3cret: %w", dns)},
		{"timeout", "", context.DeadlineExceeded},
		{"network", "", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}},
		{"other", "", errors.New("s3cret")},
		{"status 503", "status 503", errors.New("s3cret")},
		{"other", "S3CRET", errors.New("s3cret")},
		{"other", strings.Repeat("x", 41), errors.New("s3cret")},
		{"other", "", classed("a\nb")},
		{"no_usable_key", "", fmt.Errorf("s3cret: %w", classed("no_usable_key"))},
	} {
		var l journal
		f := newController(t, failover.Config{FailAfter: 1, OnEvent: l.add})
		f.Observe(failover.Evidence{Region: east, Class: c.class, Err: c.err})
		require.Equal(t, c.want, l.all()[0].Class, "%q %v", c.class, c.err)
	}
}

// replies answers requests of a probe.
type replies func(*http.Request) (*http.Response, error)

func (r replies) RoundTrip(req *http.Request) (*http.Response, error) { return r(req) }

// The probe takes no answer below 500 for a failure of the region, nor 503 with Retry-After.
func TestHTTPProbeTellsFailuresFromAnswers(t *testing.T) {
	t.Parallel()
	region := authority(east).Regions[0]
	probe := func(status int, retryAfter string, err error) error {
		p := failover.HTTPProbe(&http.Client{Transport: replies(func(req *http.Request) (*http.Response, error) {
			if err != nil {
				return nil, err
			}
			h := http.Header{}
			if retryAfter != "" {
				h.Set("Retry-After", retryAfter)
			}
			return &http.Response{StatusCode: status, Header: h, Body: http.NoBody, Request: req}, nil
		})})
		return p(t.Context(), region)
	}
	require.NoError(t, probe(200, "", nil))
	for _, status := range []int{201, 204, 302, 400, 401, 403, 404, 408, 418, 429, 499} {
		require.ErrorIs(t, probe(status, "", nil), failover.ErrNoEvidence, "status %d", status)
	}
	for _, status := range []int{500, 502, 503, 504, 599} {
		err := probe(status, "", nil)
		require.NotErrorIs(t, err, failover.ErrNoEvidence)
		require.EqualError(t, err, fmt.Sprintf("failover: probe: status %d", status))
		require.ErrorIs(t, probe(status, "30", nil), failover.ErrNoEvidence, "%d with Retry-After", status)
		require.NotErrorIs(t, probe(status, "soon", nil), failover.ErrNoEvidence)
	}
	err := probe(0, "", errors.New("s3cret"))
	require.EqualError(t, err, "failover: probe: network")
	require.ErrorIs(t, failover.HTTPProbe(nil)(t.Context(), issuer.Region{}), failover.ErrNoEvidence)
	gone, leave := context.WithCancel(t.Context())
	leave()
	require.ErrorIs(t, failover.HTTPProbe(nil)(gone, region), context.Canceled)
}

// What is no evidence changes nothing.
func TestNoEvidenceChangesNothing(t *testing.T) {
	bubble(t, failover.Config{Automatic: true}, func(t *testing.T, c *failover.Controller, _ *journal) {
		report(c, east, errDown, 2)
		before := c.State()
		report(c, east, fmt.Errorf("wrapped: %w", failover.ErrNoEvidence), 9)
		report(c, east, fmt.Errorf("wrapped: %w", context.Canceled), 9)
		require.Equal(t, before, c.State())
	})
}

// began is an error that says when its request began.
type began struct {
	error
	at time.Time
}

func (b began) Began() time.Time { return b.at }

// Report believes an error that says when its request began: a late failure is none.
func TestReportOfALateFailure(t *testing.T) {
	bubble(t, failover.Config{Automatic: true}, func(t *testing.T, c *failover.Controller, _ *journal) {
		at := time.Now()
		time.Sleep(time.Second)
		report(c, east, nil, 1)
		for i := range 5 {
			c.Report(east, fmt.Errorf("wrapped: %w", began{errDown, at.Add(time.Duration(i))}))
			time.Sleep(time.Second)
		}
		require.Equal(t, failover.Healthy, c.State().Regions[0].Health)
	})
}

// A log handler, a probe, a store and a callback that panic end nothing: the rest goes on, and the log says so.
func TestCodeOfOthersThatPanicsEndsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		var events atomic.Int32
		c := newController(t, failover.Config{
			Automatic: true, Logger: slog.New(slog.NewTextHandler(&out, nil)), Store: panicky{}, LocalCopy: panicky{},
			Probe:   func(context.Context, issuer.Region) error { panic("s3cret") },
			OnEvent: func(failover.Event) { events.Add(1); panic("s3cret") },
		})
		start(t, c)
		report(c, west, nil, 1)
		report(c, east, errDown, 3)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, west, c.Active())
		require.Equal(t, failover.Unreachable, c.State().Trouble)
		for _, r := range c.State().Regions {
			for _, s := range r.Sources {
				require.NotEqual(t, "probe", s.Source, "a probe that panics says nothing about the region")
			}
		}
		require.Positive(t, events.Load())
		for _, what := range []string{"Probe", "OnEvent", "LocalCopy"} {
			require.Contains(t, out.String(), what+" panicked")
		}
		require.NotContains(t, out.String(), "s3cret")
	})
	loud := newController(t, failover.Config{FailAfter: 1, Automatic: true, Logger: slog.New(panickyHandler{slog.DiscardHandler})})
	loud.Report(east, errDown)
	require.Equal(t, west, loud.Active())
}

// A region may have failed long before there was another one to move to. The move names the source that says so by then, and how
// many failures it has counted, not the one that said so first and is well again.
func TestALateMoveNamesWhatKeepsTheRegionUnhealthy(t *testing.T) {
	bubble(t, failover.Config{Automatic: true}, func(t *testing.T, c *failover.Controller, l *journal) {
		say := func(region, source, class string, n int) {
			for range n {
				e := failover.Evidence{Region: region, Source: source, Began: time.Now(), Class: class}
				if class != "" {
					e.Err = errDown
				}
				c.Observe(e)
				time.Sleep(2 * time.Second)
			}
		}
		say(west, "keys", "dns", 3)
		say(east, "token", "status 500", 3)
		say(east, "keys", "timeout", 7)
		say(east, "token", "", 3)
		require.Equal(t, failover.Unhealthy, c.State().Regions[0].Health)
		require.Equal(t, east, c.Active(), "there is nowhere to go")
		say(west, "keys", "", 3)
		require.Equal(t, west, c.Active())
		events := l.all()
		last := events[len(events)-1]
		require.Equal(t, failover.Moved, last.Kind)
		require.Equal(t, failover.CauseFailed, last.Cause)
		require.Equal(t, "keys", last.Source)
		require.Equal(t, "timeout", last.Class)
		require.Equal(t, 7, last.Failures)
	})
}

// scopeless is a store that panics when it is asked whose documents it believes.
type scopeless struct{ authentic }

type authentic = store.Trusted

func (scopeless) Scope() store.Scope { panic("s3cret") }

// Where a store panics, an operator gets an error, and the order counts in this process.
func TestAStoreThatPanicsEndsNoOrder(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]failover.Config{
		"Store": {Store: panicky{}}, "LocalCopy": {LocalCopy: panicky{}}, "both": {Store: panicky{}, LocalCopy: panicky{}},
		"Scope": {Store: scopeless{store.Dir(t.TempDir() + "/a")}, LocalCopy: store.Dir(t.TempDir() + "/b")},
	} {
		c := newController(t, config)
		activated, loaded := c.Activate(t.Context(), west, ""), c.Load(t.Context())
		require.Equal(t, west, c.Active(), name)
		if _, breaks := config.Store.(panicky); breaks {
			require.ErrorIs(t, activated, failover.ErrNotShared, name)
			require.ErrorContains(t, loaded, "Store panicked", name)
			require.ErrorIs(t, c.Resume(t.Context()), failover.ErrNotShared, name)
			continue
		}
		require.NoError(t, errors.Join(activated, loaded, c.Resume(t.Context())), name)
	}
}
