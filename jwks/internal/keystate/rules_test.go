package keystate_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
)

// play is one URL, alone in its issuer, and a clock.
type play struct {
	t *testing.T
	*world
}

func newPlay(t *testing.T, l *layout) *play {
	t.Helper()
	return &play{t, newWorld(l, keyA|keyB)}
}

var single = layout{
	name: "single", sets: []int{0}, optional: []bool{false}, maxStale: day, regions: []keystate.Region{{Name: "eu", Sets: []int{0}}},
}

// says has URL 0 answer with these keys after a pause.
func (p *play) says(pause int32, s keySet) { p.saysAll(pause, document{listed: s}, fact{}) }

func (p *play) saysAll(pause int32, d document, f fact) { p.at(0, pause, d, f) }

func (p *play) at(url int, pause int32, d document, f fact) {
	p.now = p.now.add(pause)
	p.end(url, p.begin(url, d), f)
}

func (p *play) fails(pause int32) { p.saysAll(pause, document{}, fact{kind: keystate.Failed}) }

func (p *play) state() *keystate.State { return &p.sites[0].url.State }

func (p *play) listing(k int) *keystate.Listing { return p.state().Listing(keys[k]) }

func (p *play) misses(k int) int {
	if m := p.listing(k).Miss; m != nil {
		return m.Count
	}
	return 0
}

func (p *play) accepts(want keySet) {
	p.t.Helper()
	require.Equal(p.t, want.String(), p.candidates().String())
}

func (p *play) absent(kid string) bool {
	return p.issuer().Absent(question(kid), p.seq-1, issuedAt(p.now.wall), p.now.time())
}

func (p *play) unsteady() bool { return p.state().Unsteady(p.now.time(), p.limits()) }

// flap has key A go missing and come back.
func (p *play) flap() {
	p.says(0, keyA|keyB)
	p.says(minute, keyB)
	p.says(minute, keyA|keyB)
	require.True(p.t, p.unsteady())
}

type rule struct {
	name string
	play func(t *testing.T, p *play)
}

func playAll(t *testing.T, l *layout, rules []rule) {
	t.Helper()
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			r.play(t, newPlay(t, l))
		})
	}
}

func TestRulesOfAnswers(t *testing.T) {
	t.Parallel()
	playAll(t, &single, []rule{
		{"a key is accepted once it is listed", func(_ *testing.T, p *play) {
			p.accepts(0)
			p.says(0, keyA)
			p.accepts(keyA)
		}},
		{"a key is accepted for MaxStale after it was last listed, and no longer by either clock", func(_ *testing.T, p *play) {
			p.says(0, keyA)
			p.now = p.now.add(day)
			p.accepts(keyA)
			p.now.wall++
			p.accepts(0)
			p.now.wall--
			p.accepts(keyA)
			p.now.mono++
			p.accepts(0)
		}},
		{"one answer without a key does not withdraw it", func(_ *testing.T, p *play) {
			p.says(0, keyA|keyB)
			p.says(hour, keyB)
			p.accepts(keyA | keyB)
			p.now = p.now.add(hour)
			p.accepts(keyA | keyB)
		}},
		{"two answers a minute apart without a key withdraw it", func(_ *testing.T, p *play) {
			p.says(0, keyA|keyB)
			p.says(hour, keyB)
			p.says(minute-1, keyB)
			p.accepts(keyA | keyB)
			p.says(minute+2, keyB)
			p.accepts(keyB)
		}},
		{"a wall reading that jumps withdraws no key", func(_ *testing.T, p *play) {
			p.says(0, keyA|keyB)
			p.says(second, keyB)
			p.now.wall += hour
			p.says(3, keyB)
			p.accepts(keyA | keyB)
		}},
		{"304 repeats the last answer", func(_ *testing.T, p *play) {
			p.says(0, keyA|keyB)
			p.says(minute, keyB)
			p.saysAll(minute, document{}, fact{kind: keystate.NotModified})
			p.accepts(keyB)
		}},
		{"304 does not list a key that the last answer holds in another form", func(t *testing.T, p *play) {
			p.says(0, keyA|keyB)
			p.saysAll(minute, document{listed: keyB, unreadable: keyA}, fact{})
			p.saysAll(minute, document{}, fact{kind: keystate.NotModified})
			require.Equal(t, reading{mono: 1}.time(), p.listing(a).Last)
			require.Nil(t, p.listing(a).Miss)
			require.Len(t, p.state().Unusable, 1)
		}},
		{"304 counts from the begin of its own request", func(t *testing.T, p *play) {
			p.says(0, keyA)
			p.saysAll(minute, document{}, fact{kind: keystate.NotModified})
			require.Equal(t, p.now.time(), p.state().Answer.StartedAt)
		}},
		{"a good answer ends an outage", func(t *testing.T, p *play) {
			p.fails(0)
			p.says(minute, keyA)
			require.Nil(t, p.state().Failure)
			require.True(t, p.state().Known)
		}},
		{"a key that comes back is not new unless it was withdrawn", func(t *testing.T, p *play) {
			p.says(0, keyA|keyB)
			first := p.listing(a).First
			require.True(t, p.listing(a).Fetched)
			p.says(minute, keyB)
			p.says(second, keyA|keyB)
			require.Equal(t, first, p.listing(a).First)
		}},
		{"a key that comes back after it was withdrawn is new", func(t *testing.T, p *play) {
			p.says(0, keyA|keyB)
			p.says(minute, keyB)
			p.says(minute, keyB)
			p.says(minute, keyA|keyB)
			require.Equal(t, p.now.time(), p.listing(a).First)
		}},
		{"a key that was last listed longer ago than a day and MaxStale is new", func(t *testing.T, p *play) {
			p.says(0, keyA)
			p.says(day, keyA)
			require.Equal(t, reading{mono: 1}.time(), p.listing(a).First)
			p.says(day+1, keyA)
			require.Equal(t, p.now.time(), p.listing(a).First)
		}},
		{"a missing key is forgotten after a day by the monotonic clock", func(t *testing.T, p *play) {
			p.says(0, keyA|keyB)
			p.says(minute, keyB)
			p.says(day-1, keyB)
			require.NotNil(t, p.listing(a))
			p.says(1, keyB)
			require.Nil(t, p.listing(a))
		}},
		{"a key that is held in another form is not forgotten", func(t *testing.T, p *play) {
			p.says(0, keyA|keyB)
			p.saysAll(2*day, document{listed: keyB, unreadable: keyA}, fact{})
			require.NotNil(t, p.listing(a))
		}},
		{"Missing and ListsSame tell what the last answer misses", func(t *testing.T, p *play) {
			p.says(0, keyA|keyB)
			before := *p.state()
			require.False(t, before.Missing())
			p.says(minute, keyA|keyB)
			require.True(t, before.ListsSame(p.state()))
			p.says(minute, keyB)
			require.True(t, p.state().Missing())
			require.False(t, before.ListsSame(p.state()))
			require.False(t, p.state().ListsSame(&before))
		}},
	})
}

func TestRulesOfUnsteadyURLs(t *testing.T) {
	t.Parallel()
	playAll(t, &single, []rule{
		{"a key that comes back makes the URL unsteady for a day", func(t *testing.T, p *play) {
			p.flap()
			p.now = p.now.add(day - 1)
			require.True(t, p.unsteady())
			p.now = p.now.add(1)
			require.False(t, p.unsteady())
		}},
		{"unsteadiness ends by the wall reading no earlier than MaxStale and a day", func(t *testing.T, p *play) {
			p.layout = p.with(36*hour, false)
			p.flap()
			p.now.wall += 36*hour - 1
			require.True(t, p.unsteady())
			p.now.wall++
			require.False(t, p.unsteady())
		}},
		{"a key that comes back after a day does not", func(t *testing.T, p *play) {
			p.says(0, keyA|keyB)
			p.says(minute, keyB)
			p.says(day-minute, keyA|keyB)
			require.False(t, p.unsteady())
		}},
		{"at an unsteady URL only ten answers over an hour withdraw a key", func(_ *testing.T, p *play) {
			p.flap()
			for range 9 {
				p.says(10*minute, keyB)
			}
			p.accepts(keyA | keyB)
			p.says(10*minute, keyB)
			p.accepts(keyB)
		}},
		{"ten answers within an hour do not", func(_ *testing.T, p *play) {
			p.flap()
			for range 20 {
				p.says(3*minute, keyB)
			}
			p.accepts(keyA | keyB)
			p.says(3*minute, keyB)
			p.accepts(keyB)
		}},
		{"at an unsteady URL a missing key may be listed for a day", func(t *testing.T, p *play) {
			p.flap()
			for range 20 {
				p.says(10*minute, keyB)
			}
			p.accepts(keyB)
			require.False(t, p.absent("a"))
			v, _ := p.issuer().Complete(question("a"), p.now.time())
			require.Equal(t, keystate.Incomplete, v)
			require.True(t, p.absent("x"))
			p.says(day, keyB)
			require.True(t, p.absent("a"))
		}},
	})
}

func TestRulesOfCopies(t *testing.T) {
	t.Parallel()
	copied := func(age int32) fact { return fact{age: age} }
	playAll(t, &single, []rule{
		{"a copy lists its keys when it was made", func(t *testing.T, p *play) {
			p.saysAll(hour, document{listed: keyA}, copied(10*minute))
			made := p.now.add(-10 * minute).time()
			require.Equal(t, made, p.state().Good)
			require.Equal(t, made, p.state().Answer.Made())
			require.Equal(t, p.now.time(), p.state().Answer.StartedAt)
			require.Equal(t, made, p.listing(a).First)
			require.Equal(t, made, p.listing(a).Last)
		}},
		{"a copy from before the process began makes the URL usable", func(t *testing.T, p *play) {
			p.saysAll(second, document{listed: keyA}, copied(10*minute))
			require.True(t, p.issuer().Usable(p.now.time()))
			require.Equal(t, p.now.add(-10*minute).time(), p.state().Good)
		}},
		{"an older copy moves no time back", func(t *testing.T, p *play) {
			p.says(hour, keyA)
			good := p.now.time()
			p.saysAll(second, document{listed: keyA}, copied(10*minute))
			require.Equal(t, good, p.state().Good)
			require.Equal(t, good, p.listing(a).Last)
		}},
		{"an older copy misses no key", func(t *testing.T, p *play) {
			p.says(hour, keyA|keyB)
			p.saysAll(second, document{listed: keyB}, copied(10*minute))
			require.Nil(t, p.listing(a).Miss)
			p.accepts(keyA | keyB)
		}},
		{"an older copy ends no miss", func(t *testing.T, p *play) {
			p.says(hour, keyA|keyB)
			p.says(minute, keyB)
			p.saysAll(second, document{listed: keyA | keyB}, copied(30))
			require.Equal(t, 1, p.misses(a))
			require.Equal(t, p.now.add(-30).time(), p.listing(a).Last)
			require.False(t, p.unsteady())
		}},
		{"a copy that was made after the miss ends it", func(t *testing.T, p *play) {
			p.says(hour, keyA|keyB)
			p.says(minute, keyB)
			p.saysAll(minute, document{listed: keyA | keyB}, copied(30))
			require.Equal(t, 0, p.misses(a))
			require.True(t, p.unsteady())
			require.Equal(t, p.now.add(-30).time(), p.state().Returned)
		}},
		{"an older copy that ends a miss does not shorten unsteadiness", func(t *testing.T, p *play) {
			p.says(hour, keyA|keyB|keyC)
			p.says(minute, keyC)
			p.says(minute, keyA|keyC)
			returned := p.now.time()
			require.Equal(t, returned, p.state().Returned)
			p.saysAll(second, document{listed: keyA | keyB | keyC}, copied(30))
			require.Equal(t, 0, p.misses(b))
			require.Equal(t, returned, p.state().Returned)
		}},
		{"a copy that is served again is one answer", func(t *testing.T, p *play) {
			p.says(hour, keyA|keyB)
			for i := range int32(10) {
				p.saysAll(10, document{listed: keyB}, copied(5+10*i))
			}
			require.Equal(t, 1, p.misses(a))
			p.accepts(keyA | keyB)
		}},
		{"answers within two seconds are one", func(t *testing.T, p *play) {
			p.says(hour, keyA|keyB)
			p.says(second, keyB)
			p.says(2, keyB)
			require.Equal(t, 1, p.misses(a))
			p.says(second, keyB)
			require.Equal(t, 2, p.misses(a))
		}},
		{"a URL that answers no-cache with an old copy is noticed", func(t *testing.T, p *play) {
			ask := func(age int32, noCache bool) int {
				e := fact{begun: p.now, at: p.now, age: age, started: 1, said: document{listed: keyA}}.event()
				e.NoCache = noCache
				p.sites[0].url = p.sites[0].url.Apply(e, 0, p.limits())
				return int(p.state().Answer.NoCacheIgnored)
			}
			require.Equal(t, 1, ask(2, true))
			require.Equal(t, 2, ask(10, true))
			require.Equal(t, 2, ask(10, false))
			require.Equal(t, 2, ask(0, false))
			require.Equal(t, 0, ask(1, true))
		}},
	})
}
