package keystate_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/clock"
	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
)

// issuerOf returns an issuer with a region for each URL. Each URL has given its answers a second apart, the first one
// at second 1.
func issuerOf(urls ...[][]*jose.Key) *keystate.Issuer {
	e := &keystate.Issuer{Layout: &keystate.Layout{Limits: single.limits(), SeparateKeys: true}}
	for i, answers := range urls {
		var u keystate.URL
		for n, list := range answers {
			ev := fact{started: uint64(n + 1), begun: reading{int32(n + 1), int32(n + 1)}}.event()
			ev.Keys = list
			u = u.Apply(ev, 0, e.Limits)
		}
		e.Sources = append(e.Sources, keystate.Source{State: &u.State, Set: i})
		e.Regions = append(e.Regions, keystate.Region{Name: fmt.Sprint("region ", i), Sets: []int{i}})
	}
	return e
}

func thumbprints(list []keystate.Candidate) (names []string) {
	for _, c := range list {
		names = append(names, strings.TrimRight(string(c.Key.Thumbprint[:]), "\x00"))
	}
	return names
}

func choose(e *keystate.Issuer, q keystate.Question) ([]keystate.Candidate, bool) {
	return e.Choose(e.Candidates(reading{10, 10}.time()), q)
}

func TestRulesOfTheChoice(t *testing.T) {
	t.Parallel()
	key := func(thumbprint string) *jose.Key { return newKey("a", jose.EdDSA, thumbprint) }
	k := func(names ...string) (list []*jose.Key) {
		for _, n := range names {
			list = append(list, key(n))
		}
		return list
	}
	for _, tc := range []struct {
		name string
		e    *keystate.Issuer
		want []string
		cut  bool
	}{
		{"no key is chosen where there is none", issuerOf(), nil, false},
		{"one key is chosen", issuerOf([][]*jose.Key{k("1")}), []string{"1"}, false},
		{"the key that appeared last comes first", issuerOf([][]*jose.Key{k("1"), k("1", "2")}), []string{"2", "1"}, false},
		{"keys that appeared together come by thumbprint", issuerOf([][]*jose.Key{k("3", "1", "2")}), []string{"1", "2", "3"}, false},
		{
			"the first key of each URL comes before the second of any", issuerOf([][]*jose.Key{k("3", "4")}, [][]*jose.Key{k("1", "2")}),
			[]string{"3", "1", "4", "2"},
			false,
		},
		{
			"a key has its best place at any URL", issuerOf([][]*jose.Key{k("1", "2", "3")}, [][]*jose.Key{k("3")}),
			[]string{"1", "3", "2"},
			false,
		},
		{"four keys are chosen", issuerOf([][]*jose.Key{k("1", "2", "3", "4")}), []string{"1", "2", "3", "4"}, false},
		{"beyond four keys some are cut", issuerOf([][]*jose.Key{k("1", "2", "3", "4", "5")}), []string{"1", "2", "3", "4"}, true},
		{
			"no URL crowds out the first key of another", issuerOf([][]*jose.Key{k("1", "2", "3", "4", "5")}, [][]*jose.Key{k("9")}),
			[]string{"1", "9", "2", "3"},
			true,
		},
		{"as many keys are chosen as there are URLs", issuerOf([][]*jose.Key{k("1")}, [][]*jose.Key{k("2")}, [][]*jose.Key{k("3")},
			[][]*jose.Key{k("4")}, [][]*jose.Key{k("5")}), []string{"1", "2", "3", "4", "5"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			chosen, cut := choose(tc.e, question("a"))
			require.Equal(t, tc.want, thumbprints(chosen))
			require.Equal(t, tc.cut, cut)
		})
	}
}

func TestAtMostSixteenKeysAreChosen(t *testing.T) {
	t.Parallel()
	var urls [][][]*jose.Key
	for i := range 17 {
		urls = append(urls, [][]*jose.Key{{newKey("a", jose.EdDSA, string(rune('A'+i)))}})
	}
	chosen, cut := choose(issuerOf(urls...), question("a"))
	require.Len(t, chosen, 16)
	require.True(t, cut)
}

func TestKeysOfOtherAlgorithmsAndNamesAreNotChosen(t *testing.T) {
	t.Parallel()
	e := issuerOf([][]*jose.Key{{
		newKey("a", jose.EdDSA, "1"), newKey("b", jose.EdDSA, "2"),
		{ID: "a", Algorithm: jose.RS256, Thumbprint: thumbprintOf("3"), Public: rsaKey},
		{ID: "a", Thumbprint: thumbprintOf("4"), Public: p256},
		newKey("a", "", "5"),
	}})
	chosen, _ := choose(e, question("a"))
	require.Equal(t, []string{"1", "5"}, thumbprints(chosen))
	chosen, _ = choose(e, keystate.Question{KeyID: "a"})
	require.Len(t, chosen, 4)
	chosen, _ = choose(e, keystate.Question{Algorithm: jose.EdDSA})
	require.Equal(t, []string{"1", "2", "5"}, thumbprints(chosen))
}

func TestOneMaterialIsOneCandidateWithTheRegionsOfAllItsEntries(t *testing.T) {
	t.Parallel()
	named, unnamed := newKey("a", jose.EdDSA, "1"), newKey("a", "", "1")
	chosen, cut := choose(issuerOf([][]*jose.Key{{named}}, [][]*jose.Key{{unnamed}}), question("a"))
	require.Len(t, chosen, 1)
	require.Equal(t, []string{"region 0", "region 1"}, chosen[0].Regions)
	require.False(t, cut)
}

func TestOneKeyOfSeveralURLsIsOneCandidate(t *testing.T) {
	t.Parallel()
	one, same := newKey("a", jose.EdDSA, "1"), newKey("a", jose.EdDSA, "1")
	all := issuerOf([][]*jose.Key{{one}}, [][]*jose.Key{{same}}).Candidates(reading{10, 10}.time())
	require.Len(t, all, 1)
	require.Equal(t, []string{"region 0", "region 1"}, all[0].Regions)
}

func TestCandidatesAreSortedByKid(t *testing.T) {
	t.Parallel()
	one := [][]*jose.Key{{newKey("b", "", "1"), newKey("a", "", "2")}}
	other := [][]*jose.Key{{newKey("c", "", "3"), newKey("a", "", "4")}}
	all := issuerOf(one, other).Candidates(reading{10, 10}.time())
	require.Equal(t, []string{"2", "4", "1", "3"}, thumbprints(all))
}

func TestRulesOfRecheck(t *testing.T) {
	t.Parallel()
	due := func(s *keystate.State) clock.Time { return s.Answer.StartedAt.Add(time.Minute) }
	recheck := func(p *play, set int) clock.Time { return p.issuer().Recheck(set, p.now.time(), due) }
	playAll(t, &mirrors, []rule{
		{"no key is missing", func(t *testing.T, p *play) {
			p.lists(0, 0, keyA|keyB)
			require.True(t, recheck(p, 0).IsZero())
		}},
		{"a missing key that is in effect is asked for again", func(t *testing.T, p *play) {
			p.lists(0, 0, keyA|keyB)
			p.lists(0, hour, keyB)
			at := p.now.add(minute).time()
			p.now = p.now.add(30)
			require.Equal(t, at, recheck(p, 0))
			require.True(t, recheck(p, 1).IsZero(), "of another set")
		}},
		{"a key that another URL lists now is not", func(t *testing.T, p *play) {
			p.lists(0, 0, keyA|keyB)
			p.lists(0, hour, keyB)
			p.lists(1, 0, keyA|keyB)
			require.True(t, recheck(p, 0).IsZero())
		}},
		{"a key that is withdrawn is not", func(t *testing.T, p *play) {
			p.lists(0, 0, keyA|keyB)
			p.lists(0, minute, keyB)
			p.lists(0, minute, keyB)
			require.True(t, recheck(p, 0).IsZero())
		}},
		{"the URL that can be asked first is asked", func(t *testing.T, p *play) {
			p.lists(0, 0, keyA|keyB)
			p.lists(1, 0, keyA|keyB)
			p.lists(1, hour, keyB)
			p.lists(0, 30, keyB)
			require.Equal(t, p.now.add(30).time(), recheck(p, 0))
		}},
	})
}

func TestCompleteEndsWhenTheFirstSetIsStaleByEitherClock(t *testing.T) {
	t.Parallel()
	p := newPlay(t, &regions)
	p.lists(0, 0, keyA)
	p.now.wall += hour
	p.lists(1, 0, keyA)
	p.now.wall -= hour // the wall clock was an hour ahead when URL 1 answered
	p.lists(0, minute, keyA)
	_, until := p.issuer().Complete(question("a"), p.now.time())
	require.Equal(t, reading{1 + day, minute + day}.time(), until, "URL 1 ends by the one reading, URL 0 by the other")
}

func TestTheClocks(t *testing.T) {
	t.Parallel()
	at := func(mono, wall int64) clock.Time { return clock.Time{Mono: mono, Wall: wall} }
	require.True(t, clock.Time{}.IsZero())
	require.False(t, at(1, 0).IsZero())
	require.Equal(t, time.Duration(7), at(10, 10).Since(at(3, 5)))
	require.Equal(t, time.Duration(7), at(10, 10).Since(at(5, 3)))
	require.Zero(t, at(10, 10).Since(at(11, 12)))
	require.Equal(t, time.Duration(5), at(10, 10).Lived(at(5, 3)))
	require.Zero(t, at(10, 10).Lived(at(11, 3)))
	require.Equal(t, at(11, 22), at(1, 12).Add(10))
	require.True(t, at(10, 0).Reached(at(10, 20)))
	require.True(t, at(0, 20).Reached(at(10, 20)))
	require.False(t, at(9, 19).Reached(at(10, 20)))
	require.Equal(t, time.Duration(3), at(1, 17).Until(at(10, 20)))
	require.Zero(t, at(1, 21).Until(at(10, 20)))
	require.True(t, at(2, 0).After(at(1, 5)))
	require.True(t, at(2, 6).After(at(2, 5)))
	require.False(t, at(2, 5).After(at(2, 5)))
}
