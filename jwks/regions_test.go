package jwks_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
)

const regionA, regionB = "https://a.example/jwks.json", "https://b.example/jwks.json"

// Two regions share an iss, each with a key set of its own. One says 403 or 404 from the start, and recovers. Where its URL is
// not optional, its good tokens are never called bad. Where it is, the answer means that the region is not enabled, and its
// tokens are.
func TestRegionThatRefusesFromTheStart(t *testing.T) {
	t.Parallel()
	for _, status := range []int{403, 404} {
		for _, optional := range []bool{false, true} {
			t.Run(fmt.Sprint(status, " optional ", optional), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { testRefusingRegion(t, status, optional) })
			})
		}
	}
}

func testRefusingRegion(t *testing.T, status int, optional bool) {
	n := newServers()
	n.at(regionA).list("one")
	b := n.at(regionB)
	b.list("two")
	b.set(func(s *server) { s.status = status })
	p := pool("p", []string{regionA}, []string{regionB})
	if optional {
		p.Regions[1].OptionalJWKSURLs = []string{regionB}
	}
	c := newCache(t, n, jwks.Config{}, p)
	counted := newTally()
	for range 300 { // five minutes
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		counted.add(ask(t.Context(), c, "p", "two"))
		time.Sleep(time.Second)
	}
	st := c.Status()[1]
	t.Log("outcomes", counted.counts(), "state", st.State, "failure", st.Failure, "requests", b.requests())
	if optional {
		require.Equal(t, "not_enabled", st.State)
		require.GreaterOrEqual(t, counted.count(401), 1)
	} else {
		require.Zero(t, counted.count(401))
		require.Equal(t, fmt.Sprintf("status %d", status), st.Failure)
	}
	b.set(func(s *server) { s.status = 0 })
	began := time.Now()
	for ask(t.Context(), c, "p", "two") != 200 {
		time.Sleep(time.Second)
		require.Less(t, time.Since(began), 12*time.Second)
	}
	t.Log("its tokens verify after", time.Since(began))
	b.set(func(s *server) { s.status = status }) // it has answered once: now this is an outage
	b.list("two", "three")
	time.Sleep(time.Minute)
	for range 100 {
		require.Equal(t, 200, ask(t.Context(), c, "p", "two"))
		require.NotEqual(t, 401, ask(t.Context(), c, "p", "three"))
		time.Sleep(time.Second)
	}
	time.Sleep(time.Minute)
}

// All optional URLs say 404, and none has ever answered: nothing is known.
func TestAllURLsNotEnabled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		p := pool("p", []string{regionA}, []string{regionB})
		for i := range p.Regions {
			p.Regions[i].OptionalJWKSURLs = p.Regions[i].JWKSURLs
		}
		c := newCache(t, n, jwks.Config{}, p)
		for range 60 {
			require.Equal(t, 503, ask(t.Context(), c, "p", "one"))
			time.Sleep(time.Second)
		}
	})
}

// regionsOfKey returns the regions that a key may be of.
func regionsOfKey(t *testing.T, c jwks.Source, kid string) []string {
	t.Helper()
	keys := look(t, c, kid, "ES256").Keys
	require.Len(t, keys, 1)
	return keys[0].Regions()
}

// A key is attributed to the regions that list it, and to those that have not answered since it appeared.
func TestRegionsOfAKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		n.at(regionA).list("one")
		n.at(regionB).list("two")
		n.at(regionB).set(func(s *server) { s.refuses = true })
		p := pool("p", []string{regionA}, []string{regionB})
		c := newCache(t, n, jwks.Config{}, p)
		require.Equal(t, []string{"a", "b"}, regionsOfKey(t, c, "one"), "b has never answered")
		key := look(t, c, "one", "ES256").Keys[0]
		n.at(regionB).set(func(s *server) { s.refuses = false })
		began := time.Now()
		for len(regionsOfKey(t, c, "one")) != 1 {
			time.Sleep(time.Second)
			require.Less(t, time.Since(began), 2*time.Minute)
		}
		t.Log("attributed after", time.Since(began))
		require.Equal(t, []string{"a"}, regionsOfKey(t, c, "one"))
		require.False(t, key.Valid(), "its regions have changed")
		require.Equal(t, []string{"b"}, attributed(t, c, "two", time.Now()))
		time.Sleep(time.Minute)
		n.at(regionA).list("one", "three")
		began = time.Now()
		require.Equal(t, []string{"a"}, attributed(t, c, "three", began))
		time.Sleep(time.Minute)
	})
}

// attributed waits until a key is of one region.
func attributed(t *testing.T, c jwks.Source, kid string, began time.Time) []string {
	t.Helper()
	for {
		of := regionsOfKey(t, c, kid)
		if len(of) == 1 {
			t.Log("attributed after", time.Since(began))
			return of
		}
		require.Less(t, time.Since(began), 20*time.Second)
		time.Sleep(500 * time.Millisecond)
	}
}

// With SeparateKeys, a region that does not list a key is never one of its regions, also if it has never answered.
func TestSeparateKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		n.at(regionA).list("one")
		n.at(regionB).set(func(s *server) { s.refuses = true })
		p := pool("p", []string{regionA}, []string{regionB})
		p.SeparateKeys = true
		c := newCache(t, n, jwks.Config{}, []issuer.Provider{p}...)
		require.Equal(t, []string{"a"}, regionsOfKey(t, c, "one"))
	})
}
