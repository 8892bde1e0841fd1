package clientcredentials_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover/clientcredentials"
)

// A region that was lost rests longer and longer, as long as a token serves, and is asked first again when it is back.
func TestCoolDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.set(east, status(503))
		w.set(west, reply{life: 1}) // a new token every 0.8 s
		s := w.source(t, nil)
		began := time.Now()
		var at []time.Duration
		for time.Since(began) < 4*time.Minute {
			_, err := s.Token(t.Context())
			require.NoError(t, err)
			synctest.Wait()
			if e, _ := w.asked(); e > 0 {
				at = append(at, time.Since(began))
			}
			time.Sleep(50 * ms)
		}
		require.Len(t, at, 7)
		for i, rest := range []float64{5, 10, 20, 40, 60, 60} {
			require.InDelta(t, rest, (at[i+1] - at[i]).Seconds(), rest/10+1)
		}
		w.set(east, reply{life: 1})
		time.Sleep(70 * time.Second)
		have(t, s, east, 0)
		e, o := w.asked()
		require.Equal(t, []int{1, 0}, []int{e, o})
		w.set(east, status(503)) // a new outage
		time.Sleep(time.Second)
		have(t, s, west, 0)
		w.set(east, reply{life: 1})
		time.Sleep(6 * time.Second)
		have(t, s, east, 0)
	})
}

// A region that rests is asked as soon as the token in memory is about to expire, even by a flight that began before.
func TestRestEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := w.source(t, func(c *setup) { c.follow(t, west) })
		w.set(west, status(503))
		w.set(east, reply{life: 20})
		for tries := 0; tries < 5; time.Sleep(100 * ms) { // the west rests for about 40 s after the fifth
			have(t, s, east, 0)
			synctest.Wait()
			_, o := w.asked()
			tries += o
		}
		w.set(west, reply{})
		w.set(east, hang)
		for e := 0; e == 0; time.Sleep(100 * ms) {
			have(t, s, east, 0)
			synctest.Wait()
			e, _ = w.asked()
		}
		tok := have(t, s, east, 0)
		s.Invalidate(tok) // so that callers begin to wait before the token is about to expire
		require.Same(t, tok, have(t, s, east, time.Second))
		time.Sleep(time.Until(tok.Expiry()) - 2*time.Second)
		have(t, s, west, 151*ms)
		e, o := w.asked()
		require.Equal(t, []int{0, 1}, []int{e, o})
	})
}

// Retry-After holds, even while no token serves, up to a minute.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for value, want := range map[string]time.Duration{
			"30": 30 * time.Second, "3600": time.Minute, "soon": time.Second, "-1": time.Second, "date": 20 * time.Second,
		} {
			if value == "date" {
				value = time.Now().Add(20 * time.Second).UTC().Format(http.TimeFormat)
			}
			w := newWorld()
			s := w.source(t, nil)
			for _, region := range []string{east, west} {
				w.set(region, reply{status: 429, body: "{}", header: map[string]string{"Retry-After": value}})
			}
			_ = requireError(t, s, clientcredentials.ErrUnavailable)
			time.Sleep(want - ms)
			_ = requireError(t, s, clientcredentials.ErrUnavailable)
			e, o := w.asked()
			require.Equal(t, []int{1, 1}, []int{e, o}, value)
			w.set(east, reply{})
			time.Sleep(ms)
			have(t, s, east, 0)
		}
	})
}
