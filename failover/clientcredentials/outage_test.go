package clientcredentials_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/failover/clientcredentials"
)

const ms = time.Millisecond

// One region after the other is lost, and then both; callers hardly notice, until the last token has expired.
func TestOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := w.source(t, nil)
		w.set(east, hang)
		tokens, errs, took := crowd(t.Context(), s)
		require.Empty(t, errs)
		require.Len(t, tokens, 1, "one flight for all")
		require.Equal(t, 150*ms, took)
		e, o := w.asked()
		require.Equal(t, []int{1, 1}, []int{e, o})

		// When 80 % of its life has passed the token is replaced, while it serves. Now the west hangs.
		old := have(t, s, west, 0)
		w.set(east, reply{after: 50 * ms})
		w.set(west, hang)
		time.Sleep(48 * time.Minute)
		require.Same(t, old, have(t, s, west, 0))
		time.Sleep(time.Second)
		fresh := have(t, s, east, 0)
		e, o = w.asked()
		require.Equal(t, []int{1, 0}, []int{e, o})

		// All is dark: the token serves until it expires, and no caller waits for long.
		w.set(east, status(http.StatusServiceUnavailable))
		time.Sleep(47 * time.Minute)
		for time.Until(fresh.Expiry()) > time.Second {
			tok, err := s.Token(t.Context())
			require.NoError(t, err)
			require.Same(t, fresh, tok)
			time.Sleep(100 * ms)
		}
		e, o = w.asked()
		require.LessOrEqual(t, e, 20+10, "a cool-down of up to a minute, and the last seconds")
		require.LessOrEqual(t, o, 20+10)
		require.GreaterOrEqual(t, e, 10)
		time.Sleep(time.Until(fresh.Expiry()))
		_ = requireError(t, s, clientcredentials.ErrUnavailable)

		// And half a second after a region is back, there are tokens again.
		time.Sleep(10 * time.Minute)
		_ = requireError(t, s, clientcredentials.ErrUnavailable)
		w.set(east, reply{})
		began := time.Now()
		for {
			if _, err := s.Token(t.Context()); err == nil {
				break
			}
			time.Sleep(10 * ms)
		}
		require.LessOrEqual(t, time.Since(began), time.Second+10*ms)
	})
}

// Fifty callers, one request for each region at most, whatever the regions do.
func TestCrowd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		east, west reply
		asked      [2]int
		within     time.Duration
		err        error
	}{
		"healthy":             {asked: [2]int{1, 0}},
		"slow":                {east: reply{after: 140 * ms}, asked: [2]int{1, 0}, within: 140 * ms},
		"slower than hedge":   {east: reply{after: 200 * ms}, west: reply{after: 100 * ms}, asked: [2]int{1, 1}, within: 200 * ms},
		"hanging":             {east: hang, asked: [2]int{1, 1}, within: 150 * ms},
		"refused":             {east: refused, asked: [2]int{1, 1}},
		"503":                 {east: status(503), asked: [2]int{1, 1}},
		"500":                 {east: status(500), asked: [2]int{1, 1}},
		"429":                 {east: status(429), asked: [2]int{1, 1}},
		"408":                 {east: status(408), asked: [2]int{1, 1}},
		"404 of a gateway":    {east: reply{status: 404, media: "text/html", body: "<html>"}, asked: [2]int{1, 1}},
		"redirect":            {east: reply{status: 307, header: map[string]string{"Location": "https://evil.example.com/token"}}, asked: [2]int{1, 1}},
		"429, in OAuth's":     {east: reply{status: 429, body: `{"error":"invalid_request"}`}, asked: [2]int{1, 1}},
		"busy, in OAuth's":    {east: reply{status: 400, body: `{"error":"temporarily_unavailable"}`}, asked: [2]int{1, 1}},
		"both hang":           {east: hang, west: hang, asked: [2]int{1, 1}, within: 5150 * ms, err: clientcredentials.ErrUnavailable},
		"both 503":            {east: status(503), west: status(503), asked: [2]int{1, 1}, err: clientcredentials.ErrUnavailable},
		"wrong secret":        {east: verdict("invalid_client"), asked: [2]int{1, 0}, err: clientcredentials.ErrRejected},
		"wrong scope":         {east: reply{status: 400, body: `{"error":"invalid_scope"}`}, asked: [2]int{1, 0}, err: clientcredentials.ErrRejected},
		"401 without a word":  {east: reply{status: 401, media: "text/plain", body: "no"}, asked: [2]int{1, 0}, err: clientcredentials.ErrRejected},
		"403 of OAuth":        {east: reply{status: 403, body: `{"error":"unauthorized_client"}`}, asked: [2]int{1, 0}, err: clientcredentials.ErrRejected},
		"200 with an error":   {east: reply{body: `{"error":"invalid_client"}`}, asked: [2]int{1, 0}, err: clientcredentials.ErrRejected},
		"a late wrong secret": {east: reply{after: 200 * ms, status: 401, body: `{}`}, west: hang, asked: [2]int{1, 1}, within: 200 * ms, err: clientcredentials.ErrRejected},
		// The secret of the standby is wrong: that must not hurt a primary that is only slow, and is known when the primary is
		// lost.
		"standby's secret":      {east: reply{after: 300 * ms}, west: verdict("invalid_client"), asked: [2]int{1, 1}, within: 300 * ms},
		"standby's secret, 503": {east: reply{after: 300 * ms, status: 503}, west: verdict("invalid_client"), asked: [2]int{1, 1}, within: 300 * ms, err: clientcredentials.ErrRejected},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				s := w.source(t, nil)
				w.set(east, c.east)
				w.set(west, c.west)
				tokens, errs, took := crowd(t.Context(), s)
				e, o := w.asked()
				got := [2]int{e, o}
				require.Equal(t, c.asked, got)
				require.Equal(t, c.within, took)
				if c.err == nil {
					require.Empty(t, errs)
					require.Len(t, tokens, 1)
					return
				}
				require.Len(t, errs, 50)
				for _, err := range errs {
					require.ErrorIs(t, err, c.err)
				}
				_ = requireError(t, s, c.err) // and those who come at once after them cost nothing
				e, o = w.asked()
				require.Equal(t, []int{0, 0}, []int{e, o})
			})
		})
	}
}

// A flight asks a region once, however long it lasts.
func TestOncePerFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := w.source(t, nil)
		w.set(east, refused)
		w.set(west, hang)
		_, errs, took := crowd(t.Context(), s)
		require.Len(t, errs, 50)
		require.Equal(t, 5*time.Second, took)
		e, o := w.asked()
		require.Equal(t, []int{1, 1}, []int{e, o})
	})
}

// A refusal is remembered for ten seconds: then a secret that was put right works. It does not take a token away.
func TestVerdict(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := w.source(t, nil)
		w.set(east, verdict("invalid_client"))
		for range 100 {
			err := requireError(t, s, clientcredentials.ErrRejected)
			require.Equal(t, "clientcredentials: region us-east-1: rejected invalid_client", err.Error())
			time.Sleep(100 * ms)
		}
		e, o := w.asked()
		require.Equal(t, []int{1, 0}, []int{e, o})
		w.set(east, reply{})
		tok := have(t, s, east, 0)

		w.set(east, verdict("s3cret"))
		time.Sleep(50 * time.Minute)
		for time.Until(tok.Expiry()) > 0 {
			require.Same(t, tok, have(t, s, east, 0))
			time.Sleep(time.Second)
		}
		require.EqualError(t, requireError(t, s, clientcredentials.ErrRejected), "clientcredentials: region us-east-1: rejected other")
		e, o = w.asked()
		require.Zero(t, o)
		require.LessOrEqual(t, e, 62)

		// A region that is dark does not hide that the other one refuses, nor does it keep from being asked again.
		w.set(east, hang)
		w.set(west, verdict("invalid_client"))
		time.Sleep(time.Minute)
		_ = requireError(t, s, clientcredentials.ErrRejected)
		time.Sleep(2 * time.Second)
		w.set(east, refused)
		_ = requireError(t, s, clientcredentials.ErrRejected)
		e, o = w.asked()
		require.Equal(t, []int{2, 1}, []int{e, o}, "the west is remembered")
		w.set(east, reply{})
		time.Sleep(2 * time.Second)
		have(t, s, east, 0)
	})
}

// A caller that gives up gives up alone, and at once.
func TestCallerGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := w.source(t, func(c *setup) { c.Hedge = -1 })
		w.set(east, reply{after: 3 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err := s.Token(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(began))
		tok := have(t, s, east, 2*time.Second)
		require.Equal(t, time.Hour, tok.Expiry().Sub(began), "counted from when it was asked for")
		e, o := w.asked()
		require.Equal(t, []int{1, 0}, []int{e, o}, "the flight went on without the first one")
		have(t, s, east, 0)
	})
}

// The hedge is for callers who wait: a refresh in the background asks one region only, unless somebody begins to wait.
func TestHedge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := w.source(t, nil)
		w.set(east, reply{life: 10})
		have(t, s, east, 0)
		w.set(east, hang)
		time.Sleep(8 * time.Second)
		have(t, s, east, 0) // it starts the refresh
		time.Sleep(500 * ms)
		have(t, s, east, 0)
		e, o := w.asked()
		require.Equal(t, []int{2, 0}, []int{e, o})
		time.Sleep(500 * ms)
		have(t, s, west, 0) // within a second of the end one waits, but the silence so far counts
		e, o = w.asked()
		require.Equal(t, []int{0, 1}, []int{e, o})
	})
}

// If the Controller moves to another region, a token of that replaces the one in use, which serves meanwhile; and the
// Controller is told how requests ended.
func TestFailover(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var ctl *failover.Controller
		w := newWorld()
		s := w.source(t, func(c *setup) { ctl = c.follow(t, west) })
		have(t, s, west, 0)
		w.set(east, reply{after: time.Second})
		prefer(t, ctl, east)
		for range 10 {
			have(t, s, west, 0)
			time.Sleep(99 * ms)
		}
		time.Sleep(20 * ms)
		have(t, s, east, 0)
		e, o := w.asked()
		require.Equal(t, []int{1, 1}, []int{e, o})

		// The active region does not answer: the token of the other one serves, and no more of those are fetched.
		w.set(west, hang)
		prefer(t, ctl, west)
		for range 60 {
			have(t, s, east, 0)
			time.Sleep(time.Second)
		}
		e, o = w.asked()
		require.Zero(t, e)
		require.LessOrEqual(t, o, 4)
		require.Equal(t, []string{fmt.Sprintf("token: healthy, %d failures in a row (timeout)", o)}, reports(ctl, west))
		prefer(t, ctl, east)
		have(t, s, east, 0)
		w.set(east, verdict("invalid_client"))
		time.Sleep(time.Hour)
		_ = requireError(t, s, clientcredentials.ErrRejected)
		synctest.Wait()
		require.Equal(t, []string{"token: healthy"}, reports(ctl, east), "it works, even if it rejects the client")
	})
}

// A request is reported with the time at which it began, so that the Controller can tell that it is late.
func TestReportsTellWhenTheRequestBegan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var ctl *failover.Controller
		w := newWorld()
		w.set(east, hang)
		s := w.source(t, func(c *setup) { ctl = c.follow(t, east) })
		have(t, s, west, 150*ms)
		time.Sleep(time.Second)
		ctl.Report(east, "token", time.Now(), nil)
		time.Sleep(time.Minute)
		require.Equal(t, []string{"token: healthy"}, reports(ctl, east))
	})
}

// call is one of OnRequest.
type call struct {
	region, failure string
	took            time.Duration
}

// A region that was asked first, and answers after the hedge, is not lost: its token is taken, and it counts as alive.
func TestLateAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var calls []call
		w := newWorld()
		s := w.source(t, func(c *setup) {
			c.OnRequest = func(region, failure string, took time.Duration) {
				mu.Lock()
				defer mu.Unlock()
				calls = append(calls, call{region, failure, took})
			}
		})
		w.set(east, reply{after: 400 * ms})
		have(t, s, west, 150*ms)
		time.Sleep(time.Second)
		have(t, s, east, 0)
		mu.Lock()
		defer mu.Unlock()
		require.Equal(t, []call{{west, "", 0}, {east, "", 400 * ms}}, calls)
	})
}

// A late refusal ends the request that was sent meanwhile, which then says nothing of its region.
func TestLateVerdict(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var calls []call
		w := newWorld()
		s := w.source(t, func(c *setup) {
			c.OnRequest = func(region, failure string, took time.Duration) {
				mu.Lock()
				defer mu.Unlock()
				calls = append(calls, call{region, failure, took})
			}
		})
		w.set(east, reply{after: 400 * ms, status: http.StatusBadRequest, body: "{}"})
		w.set(west, hang)
		_ = requireError(t, s, clientcredentials.ErrRejected)
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		require.Equal(t, []call{{east, "rejected other", 400 * ms}}, calls)
	})
}
