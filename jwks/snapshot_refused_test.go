package jwks_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/store"
)

// firstURL returns what a snapshot says of its first URL.
func firstURL(m map[string]any) map[string]any { return m["urls"].([]any)[0].(map[string]any) }

// eachKey changes every key of the first URL.
func eachKey(m map[string]any, change func(map[string]any)) {
	for _, k := range firstURL(m)["keys"].([]any) {
		change(k.(map[string]any))
	}
}

// ahead is a time of a snapshot.
func ahead(d time.Duration) int64 { return time.Now().Add(d).UnixNano() }

// unusedSnapshots are the ways in which a snapshot must not be used, or none of its keys.
var unusedSnapshots = map[string]func(map[string]any){
	"another set's":           func(m map[string]any) { m["set"] = "urls https://other.example/keys" },
	"of an old version":       func(m map[string]any) { m["version"] = 1 },
	"of a new version":        func(m map[string]any) { m["version"] = 3 },
	"of a version as text":    func(m map[string]any) { m["version"] = "2" },
	"from the future":         func(m map[string]any) { firstURL(m)["good"] = ahead(time.Hour) },
	"returned in the future":  func(m map[string]any) { firstURL(m)["returned"] = ahead(time.Hour) },
	"without a time":          func(m map[string]any) { delete(firstURL(m), "good") },
	"of time zero":            func(m map[string]any) { firstURL(m)["good"] = 0 },
	"of a negative time":      func(m map[string]any) { firstURL(m)["good"] = -1 },
	"of an unknown URL":       func(m map[string]any) { firstURL(m)["name"] = "https://other.example/keys" },
	"without keys":            func(m map[string]any) { firstURL(m)["keys"] = []any{} },
	"without URLs":            func(m map[string]any) { m["urls"] = []any{} },
	"with URLs of a bad type": func(m map[string]any) { m["urls"] = map[string]any{"keys": 1} },
	"empty":                   func(m map[string]any) { clear(m) },
	"too many keys": func(m map[string]any) {
		all := firstURL(m)["keys"].([]any)
		for range 2001 {
			all = append(all, all[0])
		}
		firstURL(m)["keys"] = all
	},
	"keys from the future": func(m map[string]any) {
		eachKey(m, func(k map[string]any) { k["last"] = ahead(time.Hour) })
	},
	"keys first seen in the future": func(m map[string]any) {
		eachKey(m, func(k map[string]any) { k["first"] = ahead(time.Hour) })
	},
	"keys missing from the future": func(m map[string]any) {
		eachKey(m, func(k map[string]any) { k["misses"], k["since"] = 1, ahead(time.Hour) })
	},
	"keys missing since never": func(m map[string]any) {
		eachKey(m, func(k map[string]any) { k["misses"], k["since"], k["at"] = 1, 0, 0 })
	},
	"keys without times":   func(m map[string]any) { eachKey(m, func(k map[string]any) { delete(k, "last") }) },
	"keys with odd misses": func(m map[string]any) { eachKey(m, func(k map[string]any) { k["misses"] = -1 }) },
	"keys too old": func(m map[string]any) {
		eachKey(m, func(k map[string]any) { k["last"] = ahead(-24*time.Hour - time.Second) })
	},
	"private keys": func(m map[string]any) {
		eachKey(m, func(k map[string]any) { k["jwk"].(map[string]any)["d"] = "AQAB" })
	},
	"keys for encryption": func(m map[string]any) {
		eachKey(m, func(k map[string]any) { k["jwk"].(map[string]any)["use"] = "enc" })
	},
	"keys that are no keys": func(m map[string]any) { eachKey(m, func(k map[string]any) { k["jwk"] = "x" }) },
}

// Snapshots that must not be used are not, and are replaced by the next answer.
func TestSnapshotsThatAreNotUsed(t *testing.T) {
	t.Parallel()
	for name, spoil := range unusedSnapshots {
		t.Run(name, func(t *testing.T) {
			withSnapshot(t, func(t *testing.T, s *server, on *shelf, start func(...func(*jwks.Config)) *jwks.Cache) {
				on.spoil(spoil)
				testUnused(t, s, start)
			})
		})
	}
	for name, text := range map[string]string{
		"no JSON": "x", "nothing": "", "two documents": "{} {}", "a list": "[]", "cut off": `{"version":2,"set":"urls ` + keysURL,
		"members twice": `{"version":2,"version":2,"set":"urls ` + keysURL + `","urls":[]}`,
	} {
		t.Run(name, func(t *testing.T) {
			withSnapshot(t, func(t *testing.T, s *server, on *shelf, start func(...func(*jwks.Config)) *jwks.Cache) {
				on.set(func(on *shelf) {
					for name, d := range on.docs {
						d.Data = []byte(text)
						on.docs[name] = d
					}
				})
				testUnused(t, s, start)
			})
		})
	}
}

func testUnused(t *testing.T, s *server, start func(...func(*jwks.Config)) *jwks.Cache) {
	s.set(refuse)
	second := start()
	require.Equal(t, 503, ask(t.Context(), second, "p", "one"))
	require.Empty(t, second.Status()[0].KeyIDs)
	require.ErrorContains(t, second.Ready(), "keys of the issuer are not available")
	s.set(heal)
	time.Sleep(2 * time.Second)
	require.Equal(t, 200, ask(t.Context(), start(), "p", "one"))
	synctest.Wait()
	s.set(refuse)
	require.Equal(t, 200, ask(t.Context(), start(), "p", "one"), "it was replaced")
}

// The clock of the process that wrote a snapshot may be a little ahead. That makes no key younger than now, and none lives
// longer than MaxStale by that clock.
func TestSnapshotFromAClockThatIsAhead(t *testing.T) {
	withSnapshot(t, func(t *testing.T, s *server, on *shelf, start func(...func(*jwks.Config)) *jwks.Cache) {
		on.spoil(func(m map[string]any) {
			firstURL(m)["good"] = ahead(4 * time.Minute)
			eachKey(m, func(k map[string]any) { k["last"], k["first"] = ahead(4*time.Minute), ahead(4*time.Minute) })
		})
		s.set(refuse)
		second := start()
		require.Zero(t, look(t, second, "one", "ES256").Keys[0].Age())
		time.Sleep(24*time.Hour + 4*time.Minute + time.Second)
		require.Equal(t, 503, ask(t.Context(), second, "p", "one"))
	})
}

// A snapshot holds a key that a rule forbids since: here, one that is longer than MaxRSABits.
func TestSnapshotOfAKeyThatIsForbiddenNow(t *testing.T) {
	t.Parallel()
	k, err := rsa.GenerateKey(rand.Reader, 3072)
	require.NoError(t, err)
	rsaKey := map[string]any{
		"kty": "RSA", "kid": "long", "alg": "RS256", "e": "AQAB", "n": base64.RawURLEncoding.EncodeToString(k.N.Bytes()),
	}
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n, on := newServers(), &shelf{}
		s := n.at(keysURL)
		s.set(func(s *server) { s.keys["long"] = rsaKey })
		s.list("one", "long")
		has := func(most int, kid, alg string) bool {
			c := newCache(t, n, jwks.Config{Snapshots: on, MaxRSABits: most}, pool("p", []string{keysURL}))
			return len(look(t, c, kid, alg).Keys) > 0
		}
		require.True(t, has(4096, "long", "RS256"))
		synctest.Wait()
		s.set(refuse)
		require.True(t, has(4096, "long", "RS256"))
		require.False(t, has(2048, "long", "RS256"))
		require.True(t, has(2048, "one", "ES256"), "its other keys are used")
	})
}

// A process whose answer is an old copy does not replace the younger snapshot of another one.
func TestYoungerSnapshotStays(t *testing.T) {
	withSnapshot(t, func(t *testing.T, s *server, on *shelf, start func(...func(*jwks.Config)) *jwks.Cache) {
		before := on.document(t)
		s.list("one")
		s.set(func(s *server) { s.header.Set("Age", "3600") })
		require.Equal(t, 200, ask(t.Context(), start(), "p", "one"))
		synctest.Wait()
		require.Equal(t, before, on.document(t))
		s.set(func(s *server) { s.header.Del("Age") })
		require.Equal(t, 200, ask(t.Context(), start(), "p", "one"))
		synctest.Wait()
		require.NotEqual(t, before, on.document(t))
	})
}

// Somebody who can write to a shared store can neither add a key nor exchange the keys of two regions: the store is sealed.
// What was spoiled is replaced.
func TestSealedSnapshots(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n, inner, out := newServers(), &shelf{}, new(lines)
		sealed := store.Encrypted(inner, "orders", []byte(strings.Repeat("s", 32)))
		a, b := n.at(regionA), n.at(regionB)
		a.list("one")
		b.list("two")
		start := func() *jwks.Cache {
			c := jwks.Config{Snapshots: sealed, Logger: slog.New(slog.NewTextHandler(out, nil))}
			return newCache(t, n, c, pool("p", []string{regionA}), pool("q", []string{regionB}))
		}
		first := start()
		require.NoError(t, first.Preload(t.Context()))
		synctest.Wait()
		a.set(refuse)
		b.set(refuse)
		second := start()
		require.Equal(t, 200, ask(t.Context(), second, "p", "one"))
		require.Equal(t, 200, ask(t.Context(), second, "q", "two"))
		inner.set(exchange)
		require.Equal(t, 503, ask(t.Context(), start(), "p", "one"))
		require.Equal(t, 503, ask(t.Context(), start(), "p", "two"))
		require.Contains(t, out.String(), "not authentic")

		a.set(heal)
		require.Equal(t, 200, ask(t.Context(), start(), "p", "one"))
		synctest.Wait()
		a.set(refuse)
		require.Equal(t, 200, ask(t.Context(), start(), "p", "one"), "what was spoiled is replaced")
	})
}

// exchange swaps the documents of two names.
func exchange(s *shelf) {
	names := make([]string, 0, 2)
	for name := range s.docs {
		names = append(names, name)
	}
	s.docs[names[0]], s.docs[names[1]] = s.docs[names[1]], s.docs[names[0]]
}

// Without a seal, the document itself says whose it is.
func TestExchangedSnapshots(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n, on := newServers(), &shelf{}
		n.at(regionA).list("one")
		n.at(regionB).list("two")
		ps := providers(pool("p", []string{regionA}), pool("q", []string{regionB}))
		require.NoError(t, newCache(t, n, jwks.Config{Snapshots: on}, ps...).Preload(t.Context()))
		synctest.Wait()
		on.set(exchange)
		n.at(regionA).set(refuse)
		n.at(regionB).set(refuse)
		second := newCache(t, n, jwks.Config{Snapshots: on}, ps...)
		for _, kid := range []string{"one", "two"} {
			require.Equal(t, 503, ask(t.Context(), second, "p", kid))
		}
	})
}
