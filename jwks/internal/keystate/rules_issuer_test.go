package keystate_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
)

func (p *play) complete(kid string) keystate.Verdict {
	v, _ := p.issuer().Complete(question(kid), p.now.time())
	return v
}

func (p *play) regionsOf(k int) []string {
	for _, c := range p.issuer().Candidates(p.now.time()) {
		if c.Key == keys[k] {
			return c.Regions
		}
	}
	return nil
}

// lists has a URL answer with what it lists.
func (p *play) lists(url int, pause int32, s keySet) { p.at(url, pause, document{listed: s}, fact{}) }

func (p *play) failsAt(url int, pause int32, refused bool) {
	p.at(url, pause, document{}, fact{kind: keystate.Failed, refused: refused})
}

func TestRulesOfTheURLsOfOneSet(t *testing.T) {
	t.Parallel()
	playAll(t, &mirrors, []rule{
		{"a withdrawal beats an older listing of a URL that does not answer", func(t *testing.T, p *play) {
			p.lists(0, 0, keyA|keyB)
			p.lists(1, 0, keyA|keyB)
			p.lists(1, minute, keyB)
			p.failsAt(0, 0, false)
			p.accepts(keyA | keyB)
			p.lists(1, minute, keyB)
			p.accepts(keyB)
			require.False(t, p.absent("a"), "URL 0 does not answer")
		}},
		{"a later listing beats a withdrawal", func(_ *testing.T, p *play) {
			p.lists(0, 0, keyA|keyB)
			p.lists(1, 0, keyA|keyB)
			p.lists(1, minute, keyB)
			p.lists(1, minute, keyB)
			p.lists(0, minute, keyA|keyB)
			p.accepts(keyA | keyB)
		}},
		{"a URL that has never listed a key does not withdraw it", func(_ *testing.T, p *play) {
			p.lists(0, 0, keyA|keyB)
			for range 20 {
				p.lists(1, 10*minute, keyB)
			}
			p.accepts(keyA | keyB)
		}},
		{"the first failure of a URL takes away no key, however often another one has missed it", func(_ *testing.T, p *play) {
			p.lists(0, 0, keyA|keyB)
			p.lists(1, 0, keyA|keyB)
			for range 20 {
				p.lists(1, 10*minute, keyB)
			}
			p.lists(0, 0, keyA|keyB)
			p.failsAt(0, second, false)
			p.accepts(keyA | keyB)
		}},
		{"ten answers over an hour withdraw a key of a URL that fails all the time", func(_ *testing.T, p *play) {
			p.lists(0, 0, keyA|keyB)
			p.lists(1, 0, keyA|keyB)
			for range 10 {
				p.lists(1, minute, keyB)
			}
			p.lists(0, 0, keyA|keyB)
			p.failsAt(0, second, false)
			p.lists(1, hour-1, keyB)
			p.accepts(keyA | keyB)
			p.lists(1, 3, keyB)
			p.accepts(keyB)
			p.failsAt(0, 3*hour, false)
			p.accepts(keyB)
			p.lists(0, second, keyA|keyB)
			p.accepts(keyA | keyB)
		}},
		{"a few answers over an hour do not", func(_ *testing.T, p *play) {
			p.lists(0, 0, keyA|keyB)
			p.lists(1, 0, keyA|keyB)
			p.lists(1, minute, keyB)
			p.lists(1, minute, keyB)
			p.lists(0, second, keyA|keyB)
			p.failsAt(0, second, false)
			p.lists(1, hour, keyB)
			p.accepts(keyA | keyB)
		}},
		{"a withdrawal of a key of an old snapshot beats an older listing, too", func(_ *testing.T, p *play) {
			p.lists(0, 0, keyA|keyB)
			p.lists(1, 0, keyA|keyB)
			p.now = p.now.add(2 * hour)
			require.True(p.t, p.restart())
			p.lists(1, second, keyB)
			p.accepts(keyB)
		}},
		{"a URL stands in for another one of its set", func(t *testing.T, p *play) {
			p.lists(0, 0, keyA)
			require.Equal(t, keystate.Complete, p.complete("a"))
			require.False(t, p.absent("x"), "URL 1 has not answered")
			for range 26 {
				p.failsAt(1, hour, false)
			}
			p.lists(0, 0, keyA)
			require.True(t, p.absent("x"), "URL 1 is down")
		}},
		{"at least one URL must be usable", func(t *testing.T, p *play) {
			p.lists(0, 0, keyA)
			p.lists(1, 0, keyA)
			p.now = p.now.add(day + 1)
			require.Equal(t, keystate.Incomplete, p.complete("a"))
			require.False(t, p.absent("x"))
		}},
	})
}

func TestRulesOfRegions(t *testing.T) {
	t.Parallel()
	playAll(t, &regions, []rule{
		{"a region that has never answered may sign with every key", func(t *testing.T, p *play) {
			p.lists(0, 0, keyA)
			require.Equal(t, []string{"eu", "us"}, p.regionsOf(a))
			p.lists(1, 0, keyB)
			require.Equal(t, []string{"eu"}, p.regionsOf(a))
			require.Equal(t, []string{"us"}, p.regionsOf(b))
		}},
		{"a region that has answered before a key appeared may sign with it", func(t *testing.T, p *play) {
			p.lists(0, 0, keyA)
			p.lists(1, 0, keyA|keyB)
			p.lists(0, second, keyA|keyC)
			require.Equal(t, []string{"eu", "us"}, p.regionsOf(c))
			p.lists(1, 0, keyA|keyB)
			require.Equal(t, []string{"eu"}, p.regionsOf(c))
			require.Equal(t, []string{"eu", "us"}, p.regionsOf(a), "both list it")
		}},
		{"a snapshot from before the process began is an answer of its time", func(t *testing.T, p *play) {
			p.lists(1, 0, keyB)
			p.lists(0, hour, keyA)
			p.now = p.now.add(hour)
			require.True(t, p.restart())
			require.Equal(t, []string{"eu", "us"}, p.regionsOf(a), "us answered an hour before the key appeared")
			require.Equal(t, []string{"us"}, p.regionsOf(b))
		}},
		{"regions with separate keys sign with what they list", func(t *testing.T, p *play) {
			p.layout = p.with(day, true)
			p.lists(0, 0, keyA)
			require.Equal(t, []string{"eu"}, p.regionsOf(a))
			p.lists(1, 0, keyB)
			p.lists(0, second, keyA|keyC)
			require.Equal(t, []string{"eu"}, p.regionsOf(c))
		}},
		{"a region whose set has not answered keeps every answer incomplete", func(t *testing.T, p *play) {
			p.lists(0, 0, keyA)
			require.Equal(t, keystate.Incomplete, p.complete("a"))
			p.failsAt(1, 0, false)
			require.Equal(t, keystate.Incomplete, p.complete("a"))
			require.False(t, p.absent("x"))
			p.lists(1, 0, keyA)
			require.Equal(t, keystate.Complete, p.complete("a"))
			require.True(t, p.issuer().Absent(question("x"), 0, issuedAt(0), p.now.time()))
		}},
		{"an optional URL that says 403 is not enabled for an hour", func(t *testing.T, p *play) {
			p.failsAt(1, 0, true)
			require.Equal(t, keystate.Incomplete, p.complete("a"), "no URL is usable")
			p.lists(0, 0, keyA)
			require.Equal(t, keystate.Complete, p.complete("a"))
			require.True(t, p.issuer().Absent(question("x"), 0, issuedAt(0), p.now.time()))
			require.False(t, p.issuer().Absent(question("x"), 1, issuedAt(0), p.now.time()), "it failed before the token came")
			require.Equal(t, []string{"eu", "us"}, p.regionsOf(a), "it may sign all the same")
			p.now = p.now.add(hour - 1)
			require.Equal(t, keystate.Complete, p.complete("a"))
			p.now.wall++
			require.Equal(t, keystate.Incomplete, p.complete("a"))
		}},
		{"another URL that says 403 fails", func(t *testing.T, p *play) {
			p.failsAt(0, 0, true)
			p.lists(1, 0, keyA)
			require.Equal(t, keystate.Incomplete, p.complete("a"))
		}},
		{"an optional URL that has answered once fails when it says 403", func(t *testing.T, p *play) {
			p.lists(0, 0, keyA)
			p.lists(1, 0, keyA)
			p.failsAt(1, 0, true)
			require.Equal(t, keystate.Complete, p.complete("a"), "its keys are still used")
			require.False(t, p.absent("x"))
		}},
		{"a key is first listed when any URL first listed it, and last when any URL last did", func(t *testing.T, p *play) {
			p.lists(0, 0, keyA)
			p.lists(1, hour, keyA)
			c := p.issuer().Candidates(p.now.time())[0]
			require.Equal(t, reading{mono: 1}.time(), c.First)
			require.Equal(t, p.now.time(), c.Last)
			require.True(t, c.Fetched)
		}},
	})
}

func TestRulesOfAbsence(t *testing.T) {
	t.Parallel()
	playAll(t, &single, []rule{
		{"an answer that began before the token arrived proves nothing", func(t *testing.T, p *play) {
			p.says(0, keyA)
			require.True(t, p.issuer().Absent(question("x"), p.seq-1, issuedAt(0), p.now.time()))
			require.False(t, p.issuer().Absent(question("x"), p.seq, issuedAt(0), p.now.time()))
		}},
		{"a kid that the last answer lists is never absent", func(t *testing.T, p *play) {
			p.says(0, keyA)
			require.False(t, p.absent("a"))
			q := keystate.Question{KeyID: "a", Algorithm: jose.ES256}
			require.True(t, p.issuer().Absent(q, 0, issuedAt(0), p.now.time()), "it does not fit")
		}},
		{"a kid that an older copy misses is not absent", func(t *testing.T, p *play) {
			p.says(hour, keyA|keyB)
			p.saysAll(second, document{listed: keyB}, fact{age: 10 * minute})
			require.False(t, p.issuer().Absent(question("a"), p.seq-1, issuedAt(p.now.wall-day), p.now.time()))
		}},
		{"a failure proves nothing", func(t *testing.T, p *play) {
			p.says(0, keyA)
			p.fails(second)
			require.False(t, p.absent("x"))
		}},
		{"a key must be missing six times before its kid is absent", func(t *testing.T, p *play) {
			p.says(0, keyA|keyB)
			for range missesOfUnknown - 1 {
				p.says(minute, keyB)
				require.False(t, p.absent("a"))
			}
			p.accepts(keyB)
			p.says(minute, keyB)
			require.True(t, p.absent("a"))
		}},
		{"or must have been listed a day ago", func(t *testing.T, p *play) {
			p.says(0, keyA|keyB)
			p.says(day-1, keyB)
			require.False(t, p.absent("a"))
			p.now = p.now.add(1)
			require.True(t, p.absent("a"))
		}},
		{"a copy proves nothing unless it was made two minutes after the token was issued", func(t *testing.T, p *play) {
			p.saysAll(hour, document{listed: keyA}, fact{age: 2})
			made := p.now.wall - 2
			absent := func(iat time.Time) bool { return p.issuer().Absent(question("x"), 0, iat, p.now.time()) }
			require.False(t, absent(issuedAt(p.now.wall)))
			require.False(t, absent(issuedAt(made-2*minute)))
			require.True(t, absent(issuedAt(made-2*minute-1)))
			require.False(t, absent(time.Time{}), "a token of an unknown time is young")
			require.True(t, p.issuer().OnlyAge(question("x"), 0, p.now.time()))
			require.False(t, p.issuer().OnlyAge(question("x"), p.seq, p.now.time()))
			p.saysAll(second, document{listed: keyA}, fact{age: 1})
			require.True(t, absent(issuedAt(p.now.wall)), "an Age of a second is no copy")
		}},
		{"an answer of a URL that may have moved proves nothing", func(t *testing.T, p *play) {
			p.saysAll(0, document{listed: keyA}, fact{partial: true})
			require.False(t, p.absent("x"))
			require.True(t, p.issuer().OnlyAge(question("x"), 0, p.now.time()))
			require.Equal(t, keystate.Complete, p.complete("a"))
		}},
		{"304 proves nothing", func(t *testing.T, p *play) {
			p.says(0, keyA)
			for range 2 { // the second one at the moment of the first
				p.saysAll(0, document{}, fact{kind: keystate.NotModified})
				require.False(t, p.absent("x"))
				require.False(t, p.issuer().OnlyAge(question("x"), 0, p.now.time()))
			}
			p.says(second, keyA)
			require.True(t, p.absent("x"))
		}},
		{"an answer is recent for ten seconds by either clock", func(t *testing.T, p *play) {
			p.says(0, keyA)
			recently := func() bool { return p.issuer().AbsentRecently(question("x"), issuedAt(0), p.now.time()) }
			p.now = p.now.add(10)
			require.True(t, recently())
			p.now.wall++
			require.False(t, recently())
			p.now = reading{p.now.mono + 1, 0}
			require.False(t, recently())
		}},
	})
}

// entry returns the only entry of an answer that cannot be used.
func entry(kid, kty, alg, thumbprint string) keystate.Unusable {
	return keystate.Unusable{KeyID: kid, KeyType: kty, Algorithm: alg, Thumbprint: thumbprint}
}

func TestRulesOfEntriesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name          string
		entry         keystate.Unusable
		holds, stands bool
	}{
		{"an entry of which only the kid is known may be the key", entry("a", "", "", ""), true, true},
		{"one of the same material is the key", entry("a", "OKP", jose.EdDSA, thumbprintOf("first a").String()), true, true},
		{"one of another kid is not", entry("b2", "", "", ""), false, false},
		{"one without a kid is not", entry("", "OKP", jose.EdDSA, thumbprintOf("first a").String()), false, false},
		{"one of another type is not", entry("a", "RSA", "", ""), false, false},
		{"one of other material is another key, but may be the one that is asked for", entry("a", "OKP", "", "other"), false, true},
		{"one for another algorithm is not asked for", entry("a", "", jose.RS256, ""), true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := newPlay(t, &single)
			p.says(0, keyA|keyB)
			for range 2 {
				p.now = p.now.add(minute)
				p.seq++
				e := fact{started: p.seq, begun: p.now, said: document{listed: keyB}}.event()
				e.Unusable = []keystate.Unusable{tc.entry}
				p.sites[0].url = p.sites[0].url.Apply(e, 0, p.limits())
			}
			require.Equal(t, tc.holds, p.misses(a) == 0)
			require.Equal(t, tc.holds, p.candidates()&keyA != 0)
			require.Equal(t, tc.stands, p.complete("a") == keystate.Incomplete)
			require.Equal(t, tc.stands, p.complete("a") != keystate.Complete)
			verdict, _ := p.issuer().Complete(keystate.Question{Algorithm: jose.EdDSA}, p.now.time())
			require.Equal(t, tc.stands || tc.entry.KeyType != "RSA" && tc.entry.Algorithm != jose.RS256, verdict == keystate.Incomplete)
		})
	}
	playAll(t, &single, []rule{
		{"a kid whose entry cannot be read is never absent", func(t *testing.T, p *play) {
			p.saysAll(0, document{listed: keyB, unreadable: keyA}, fact{})
			require.False(t, p.absent("a"))
			require.True(t, p.absent("x"))
		}},
		{"a key that policy forbids is not allowed", func(t *testing.T, p *play) {
			p.saysAll(0, document{listed: keyB, forbidden: keyA}, fact{})
			require.Equal(t, keystate.NotAllowed, p.complete("a"))
			require.Equal(t, keystate.Complete, p.complete("b"))
		}},
		{"an entry that cannot be read beats one that policy forbids", func(t *testing.T, p *play) {
			p.saysAll(0, document{listed: keyB, forbidden: keyA, unreadable: keyA2}, fact{})
			require.Equal(t, keystate.Incomplete, p.complete("a"))
		}},
		{"a key is not withdrawn by an answer that holds it in another form", func(_ *testing.T, p *play) {
			p.says(0, keyA|keyB)
			p.says(minute, keyB)
			p.saysAll(hour, document{listed: keyB, unreadable: keyA}, fact{})
			p.accepts(keyA | keyB)
		}},
		{"entries are those of the last good answer", func(t *testing.T, p *play) {
			p.saysAll(0, document{listed: keyB, unreadable: keyA}, fact{})
			p.fails(second)
			require.Equal(t, keystate.Incomplete, p.complete("a"))
			p.says(second, keyB)
			require.Equal(t, keystate.Complete, p.complete("a"))
		}},
	})
}

var (
	rsaKey = &rsa.PublicKey{N: new(big.Int).SetBit(new(big.Int).SetBit(big.NewInt(1), 2047, 1), 1000, 1), E: 65537}
	p256   = &ecdsa.PublicKey{Curve: elliptic.P256()}
)

func TestAQuestionMatchesByKidAndAlgorithm(t *testing.T) {
	t.Parallel()
	withAlg := &jose.Key{ID: "a", Algorithm: jose.RS256, Thumbprint: thumbprintOf("r"), Public: rsaKey}
	without := &jose.Key{ID: "a", Thumbprint: thumbprintOf("e"), Public: p256}
	for _, tc := range []struct {
		kid, alg string
		key      *jose.Key
		want     bool
	}{
		{"a", jose.RS256, withAlg, true},
		{"b", jose.RS256, withAlg, false},
		{"", jose.RS256, withAlg, true},
		{"a", "", withAlg, true},
		{"a", jose.PS256, withAlg, false},
		{"a", jose.ES256, without, true},
		{"a", jose.ES384, without, false},
		{"a", jose.RS256, without, false},
		{"a", jose.RS256, &jose.Key{ID: "a", Thumbprint: thumbprintOf("r"), Public: rsaKey}, true},
		{"a", jose.RS256, &jose.Key{ID: "a"}, true},
	} {
		got := keystate.Question{KeyID: tc.kid, Algorithm: tc.alg}.Matches(tc.key)
		require.Equal(t, tc.want, got, "%+v", tc)
	}
}
