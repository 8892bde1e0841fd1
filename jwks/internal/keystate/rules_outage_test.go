package keystate_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
)

func TestRulesOfFailures(t *testing.T) {
	t.Parallel()
	playAll(t, &single, []rule{
		{"failures are counted, and keep the keys", func(t *testing.T, p *play) {
			p.says(0, keyA)
			p.fails(minute)
			p.saysAll(minute, document{}, fact{kind: keystate.Failed, refused: true})
			f := p.state().Failure
			require.Equal(t, 2, f.Count)
			require.Equal(t, p.now.add(-minute).time(), f.Since)
			require.Equal(t, p.now.time(), f.At)
			require.Equal(t, p.seq, f.Started)
			require.True(t, f.Refused)
			p.accepts(keyA)
		}},
		{"a failure has the Retry-After of its answer", func(t *testing.T, p *play) {
			var u keystate.URL
			u = u.Apply(keystate.Event{Kind: keystate.Failed, Started: 1, At: p.now.time(), RetryAfter: time.Minute}, 0, p.limits())
			require.Equal(t, time.Minute, u.Failure.RetryAfter)
			u = u.Apply(keystate.Event{Kind: keystate.Failed, Started: 2, At: p.now.time()}, 0, p.limits())
			require.Zero(t, u.Failure.RetryAfter)
		}},
		{"an outage of which nobody asked for two hours is a new one", func(t *testing.T, p *play) {
			p.fails(0)
			since := p.state().Failure.Since
			p.fails(2 * hour)
			require.Equal(t, since, p.state().Failure.Since)
			p.fails(2*hour + 1)
			require.Equal(t, p.now.time(), p.state().Failure.Since)
			p.now.wall += 2*hour + 1
			p.fails(second)
			require.Equal(t, p.now.time(), p.state().Failure.Since)
		}},
		{"a URL that was asked for longer than MaxStale is down", func(t *testing.T, p *play) {
			for range 25 {
				p.fails(hour)
			}
			require.False(t, p.state().Down(p.limits()))
			p.fails(1)
			require.True(t, p.state().Down(p.limits()))
		}},
		{"a URL that nobody asked is not down", func(t *testing.T, p *play) {
			p.fails(0)
			p.now = p.now.add(2 * day)
			require.False(t, p.state().Down(p.limits()))
		}},
		{"a wall reading that jumps takes no URL down", func(t *testing.T, p *play) {
			p.fails(0)
			p.now.wall += 25 * hour
			p.fails(second)
			p.fails(second)
			require.False(t, p.state().Down(p.limits()))
		}},
	})
}

func TestRulesOfSnapshots(t *testing.T) {
	t.Parallel()
	restarts := func(p *play, pause int32) {
		p.now = p.now.add(pause)
		require.True(p.t, p.restart())
	}
	playAll(t, &single, []rule{
		{"a snapshot gives keys until MaxStale, and proves no absence", func(t *testing.T, p *play) {
			p.says(0, keyA)
			restarts(p, 23*hour)
			p.accepts(keyA)
			require.False(t, p.listing(a).Fetched)
			require.False(t, p.issuer().Absent(question("x"), 0, issuedAt(p.now.wall), p.now.time()))
			v, _ := p.issuer().Complete(question("a"), p.now.time())
			require.Equal(t, keystate.Complete, v)
			p.now = p.now.add(hour + 1)
			p.accepts(0)
		}},
		{"a snapshot is ignored after a good answer", func(t *testing.T, p *play) {
			p.says(0, keyA)
			before := p.sites[0].url
			now := p.now.time()
			e := keystate.Event{Kind: keystate.Restored, Listed: []keystate.Listing{{Key: keys[b], Last: now}}, Made: now}
			require.Equal(t, before, before.Apply(e, 0, p.limits()))
		}},
		{"a snapshot is ignored after a good answer that another may still precede", func(t *testing.T, p *play) {
			var u keystate.URL
			u = u.Apply(fact{started: 2, begun: p.now, said: document{listed: keyA}}.event(), 1, p.limits())
			require.Equal(t, u, u.Apply(keystate.Event{Kind: keystate.Restored, Made: p.now.time()}, 1, p.limits()))
		}},
		{"a snapshot is used after a failure", func(t *testing.T, p *play) {
			var u keystate.URL
			u = u.Apply(fact{kind: keystate.Failed, started: 1, at: p.now}.event(), 0, p.limits())
			now := p.now.time()
			e := keystate.Event{Kind: keystate.Restored, Listed: []keystate.Listing{{Key: keys[b], Last: now}}, Made: now}
			u = u.Apply(e, 0, p.limits())
			require.True(t, u.Known)
			require.NotNil(t, u.Listing(keys[b]))
			require.Equal(t, 1, u.Failure.Count)
		}},
		{"misses and unsteadiness outlive the process", func(t *testing.T, p *play) {
			p.flap()
			p.says(minute, keyB)
			restarts(p, minute)
			require.True(t, p.unsteady())
			require.Equal(t, 1, p.misses(a))
			p.says(minute, keyB)
			p.accepts(keyA | keyB)
		}},
		{"the first answer without a key of an old snapshot withdraws it, and leaves its kid in doubt", func(t *testing.T, p *play) {
			p.says(0, keyA|keyB)
			restarts(p, hour+1)
			p.says(second, keyB)
			p.accepts(keyB)
			require.False(t, p.absent("a"))
		}},
		{"the first answer without a key of a young snapshot does not", func(_ *testing.T, p *play) {
			p.says(0, keyA|keyB)
			restarts(p, hour-1)
			p.says(second, keyB)
			p.accepts(keyA | keyB)
		}},
		{"only the first answer of the process does", func(_ *testing.T, p *play) {
			p.says(0, keyA|keyB)
			restarts(p, 2*hour)
			p.says(second, keyA|keyB)
			require.True(p.t, p.listing(a).Fetched)
			p.says(2*hour, keyB)
			p.accepts(keyA | keyB)
		}},
	})
}

func TestTheListingOfAURLIsBounded(t *testing.T) {
	t.Parallel()
	lim := keystate.Limits{MaxStale: 24 * time.Hour, MaxKeys: 2}
	var u keystate.URL
	says := func(at int32, s keySet, more ...*jose.Key) {
		e := fact{started: uint64(at), begun: reading{at, at}, said: document{listed: s}}.event()
		e.Keys = append(e.Keys, more...)
		u = u.Apply(e, 0, lim)
	}
	d := newKey("d", jose.EdDSA, "d")
	says(10, keyA|keyB)
	says(20, keyB|keyC)
	says(30, keyC|keyA2)
	require.Len(t, u.Listed, 4)
	says(40, keyA2, d)
	require.Len(t, u.Listed, 4, "twice MaxKeys")
	require.Nil(t, u.Listing(keys[a]), "missing longest")
	require.NotNil(t, u.Listing(keys[b]))
	require.NotNil(t, u.Listing(d))
}
