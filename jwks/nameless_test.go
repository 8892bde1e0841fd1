package jwks_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
)

// A token without kid that no known key has verified asks every URL, as it says of none whether it is the wanted one.
func TestTokenWithoutKeyIDAsksEveryURL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		a, b := n.at("https://a.example/jwks.json"), n.at("https://b.example/jwks.json")
		a.list("one")
		b.list("one")
		c := newCache(t, n, jwks.Config{}, pool("p", []string{a.url, b.url}))
		one := thumbprints(look(t, c, "", "ES256"))
		require.Len(t, one, 1)
		time.Sleep(time.Minute)
		r := look(t, c, "", "ES256", one...)
		require.True(t, r.Complete, "both have answered: %+v", r)
		require.Equal(t, []int{2, 1}, []int{a.requests(), b.requests()})
		time.Sleep(time.Minute)
		b.list("one", "two")
		require.Len(t, look(t, c, "", "ES256", one...).Keys, 1)
		time.Sleep(time.Minute)
		nameless := as(material("x"), "", "ES256")
		delete(nameless, "kid")
		nameless["crv"] = "P-999"
		b.publish(as(material("one"), "one", "ES256"), nameless)
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		tried := append(slices.Clone(one), thumbprint(t, as(material("two"), "two", "ES256")))
		require.False(t, look(t, c, "", "ES256", tried...).Complete, "it may be the one that cannot be read")
	})
}
