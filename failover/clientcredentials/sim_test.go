package clientcredentials_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/failover/clientcredentials"
)

// mood is how a region is from a moment on.
type mood struct {
	reply   reply
	healthy bool // it has a token within 100 ms
	refuses bool
	since   time.Time
}

// moods returns any mood; good ones are as likely as all others together.
func moods(r *rand.Rand) mood {
	life := 4 << r.IntN(9) // longer than any answer takes
	all := []mood{
		{reply: hang},
		{reply: refused},
		{reply: status(503)},
		{reply: reply{after: 2 * time.Second, status: 500, body: "{}"}},
		{reply: reply{after: time.Second, life: life}},
		{reply: reply{media: "text/html", body: "<html>"}},
		{reply: verdict("invalid_client"), refuses: true},
		{reply: reply{after: 3 * time.Second, status: 400, body: "{}"}, refuses: true},
	}
	if i := r.IntN(2 * len(all)); i < len(all) {
		return all[i]
	}
	return mood{reply: reply{after: time.Duration(r.IntN(100)) * ms, life: life}, healthy: true}
}

// Hours of random outages: no expired token, no outage that is called a refusal or the other way round, no long wait, no flood.
func TestRandomOutages(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		synctest.Test(t, func(t *testing.T) { simulate(t, rand.New(rand.NewPCG(seed, 0))) })
	}
}

// recently is how long it takes at most until something is known: a flight in the background asks one region after the other, and
// then each of them rests.
const recently = 2*requestTimeout + 2*time.Second

func simulate(t *testing.T, r *rand.Rand) {
	t.Helper()
	w := newWorld()
	var ctl *failover.Controller
	s := w.source(t, func(c *setup) { ctl = c.follow(t, east) })
	now := map[string]mood{}
	refusedAt := time.Time{} // when a region last was in a mood to refuse
	began, asked := time.Now(), [2]int{}
	var live *clientcredentials.Token
	for time.Since(began) < time.Hour {
		for _, region := range []string{east, west} {
			if now[region].refuses {
				refusedAt = time.Now()
			}
			if old, known := now[region]; !known || r.IntN(60) == 0 {
				m := moods(r)
				m.since = time.Now()
				if m.healthy && old.healthy {
					m.since = old.since
				}
				w.set(region, m.reply)
				now[region] = m
			}
		}
		if r.IntN(100) == 0 {
			prefer(t, ctl, []string{east, west}[r.IntN(2)])
		}
		steady := false // a region is healthy, and has been for long enough
		for _, m := range now {
			steady = steady || m.healthy && time.Since(m.since) > recently
			if m.refuses {
				refusedAt = time.Now()
			}
		}
		if live != nil && r.IntN(500) == 0 {
			s.Invalidate(live)
		}
		called := time.Now()
		tok, err := s.Token(context.Background())
		took := time.Since(called)
		switch {
		case err == nil:
			require.True(t, tok.Expiry().After(time.Now()))
		case steady:
			require.NotErrorIs(t, err, clientcredentials.ErrUnavailable)
		}
		if err != nil && time.Since(refusedAt) > recently+10*time.Second {
			require.NotErrorIs(t, err, clientcredentials.ErrRejected)
		}
		limit := 2 * requestTimeout // where the second region was resting when the first was asked
		if live != nil && live.Expiry().After(called.Add(time.Second)) {
			limit = time.Second
		}
		require.LessOrEqual(t, took, limit)
		live = tok
		time.Sleep(time.Duration(r.Int64N(int64(2 * time.Second))))
		e, o := w.asked()
		asked[0], asked[1] = asked[0]+e, asked[1]+o
	}
	seconds := int(time.Since(began) / time.Second)
	require.Less(t, asked[0], seconds)
	require.Less(t, asked[1], seconds)
	require.Greater(t, asked[0]+asked[1], 50)
}
