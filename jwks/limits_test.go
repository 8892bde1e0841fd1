package jwks_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
)

// logs collects what is logged. It is safe for concurrent use.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logs) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// kids returns n names.
func kids(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("kid-%04d", i))
	}
	return all
}

// A set of many small keys is used, up to MaxKeys and MaxKeySetBytes. What goes beyond MaxKeys is named; a set that is too large
// as a whole is not used.
func TestManySmallKeys(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		listed   int
		config   jwks.Config
		used     int
		failure  string
		last     int // what the last key answers
		skipped  string
		skipping int
	}{
		{name: "101", listed: 101, used: 101, last: 200},
		{
			name: "1,500 in 512 KiB", listed: 1500, config: jwks.Config{MaxKeySetBytes: 512 << 10}, used: 1000, last: 503,
			skipped: "kid-1000: too_many_keys", skipping: 100,
		},
		{name: "1,500, all wanted", listed: 1500, config: jwks.Config{MaxKeySetBytes: 512 << 10, MaxKeys: 1500}, used: 1500, last: 200},
		{name: "MaxKeys", listed: 5, config: jwks.Config{MaxKeys: 3}, used: 3, last: 503, skipped: "kid-0003: too_many_keys", skipping: 2},
		{
			name: "more than are named", listed: 1100, config: jwks.Config{MaxKeys: 3}, used: 3, last: 429,
			skipped: "kid-0003: too_many_keys", skipping: 100,
		},
		{name: "MaxKeySetBytes", listed: 50, config: jwks.Config{MaxKeySetBytes: 4096}, failure: "too_large", last: 503},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n, all := newServers(), kids(tc.listed)
				n.at(keysURL).list(all...)
				c := newCache(t, n, tc.config, pool("p", []string{keysURL}))
				if tc.used > 0 {
					require.Equal(t, 200, ask(t.Context(), c, "p", all[0]))
				}
				require.Equal(t, tc.last, ask(t.Context(), c, "p", all[len(all)-1]))
				synctest.Wait()
				st := c.Status()[0]
				require.Len(t, st.KeyIDs, tc.used)
				require.Equal(t, tc.failure, st.Failure)
				require.Len(t, st.Skipped, tc.skipping)
				if tc.skipping > 0 {
					require.Equal(t, tc.skipped, st.Skipped[0])
				}
			})
		})
	}
}

// The keys that an answer had, and that are not used, stay named while the server fails.
func TestSkippedKeysStayNamedInAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		s := n.at(keysURL)
		s.list(kids(5)...)
		c := newCache(t, n, jwks.Config{MaxKeys: 3}, pool("p", []string{keysURL}))
		require.NoError(t, c.Preload(t.Context()))
		require.Len(t, c.Status()[0].Skipped, 2)
		s.set(func(s *server) { s.refuses = true })
		time.Sleep(time.Hour)
		require.Equal(t, 200, ask(t.Context(), c, "p", kids(5)[0]))
		time.Sleep(time.Minute)
		require.Equal(t, "network", c.Status()[0].Failure)
		require.Len(t, c.Status()[0].Skipped, 2)
	})
}

// A server that keeps adding keys and dropping others does not make the cache remember all of them.
func TestChurnOfKeysIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		s := n.at(keysURL)
		c := newCache(t, n, jwks.Config{MaxKeys: 10, RefreshInterval: time.Minute}, pool("p", []string{keysURL}))
		for i := range 100 {
			var names []string
			for j := range 10 {
				names = append(names, fmt.Sprintf("kid-%d-%d", i, j))
			}
			s.list(names...)
			require.Equal(t, 200, ask(t.Context(), c, "p", names[9]))
			require.LessOrEqual(t, len(c.Status()[0].KeyIDs), 20)
			time.Sleep(30 * time.Second)
		}
	})
}

// A set without a usable key says of each key why it is not used: in Status, in the log, and in the error of Preload.
func TestNoUsableKeySaysWhy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, l := newServers(), &logs{}
		s := n.at(keysURL)
		odd := as(material("x"), "odd", "ES256")
		odd["kty"] = "AKP"
		private := as(material("x"), "forgotten-point", "ES256")
		delete(private, "y")
		enc := as(material("x"), "for-encryption", "ES256")
		enc["use"] = "enc"
		nameless := as(material("x"), "", "ES256")
		delete(nameless, "kid")
		nameless["crv"] = "P-999"
		s.publish(odd, private, enc, nameless)
		c := newCache(t, n, jwks.Config{Logger: l.Logger()}, pool("p", []string{keysURL}))
		err := c.Preload(t.Context())
		require.ErrorContains(t, err, "keys of the issuer are not available")
		require.ErrorContains(t, err, "no_usable_key")
		synctest.Wait() // for the log
		st := c.Status()[0]
		t.Log("status", st.Skipped, "log", strings.TrimSpace(l.String()))
		require.Equal(t, "no_usable_key", st.Failure)
		require.Len(t, st.Skipped, 4)
		for _, of := range []string{"odd: ", "forgotten-point: ", "for-encryption: ", "#3: "} {
			require.Contains(t, strings.Join(st.Skipped, "\n"), of)
			require.Contains(t, l.String(), of)
		}
		require.Equal(t, 503, ask(t.Context(), c, "p", "odd"), "nothing is absent")
		s.list("good")
		time.Sleep(time.Second)
		require.Equal(t, 200, ask(t.Context(), c, "p", "good"))
		require.Empty(t, c.Status()[0].Skipped)
		require.Empty(t, c.Status()[0].Failure)
	})
}

// Beside usable keys, one that cannot be used is named, and its own tokens are told apart: 503 if the key could not be read, 401
// if this process does not allow it.
func TestSkippedKeysBesideUsableOnes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		unread := as(material("x"), "unread", "ES256")
		unread["crv"] = "P-999"
		small := as(rsaMaterial(), "small", "RS256")
		modulus, err := base64.RawURLEncoding.DecodeString(small["n"].(string))
		require.NoError(t, err)
		modulus[127] |= 1 // 1,024 bits, odd
		small["n"] = base64.RawURLEncoding.EncodeToString(modulus[:128])
		enc := as(material("x"), "for-encryption", "ES256")
		enc["use"] = "enc"
		n.at(keysURL).publish(as(material("x"), "good", "ES256"), unread, small, enc)
		c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
		require.Equal(t, 200, ask(t.Context(), c, "p", "good"))
		synctest.Wait()
		t.Log(c.Status()[0].Skipped)
		require.Equal(t, 503, ask(t.Context(), c, "p", "unread"))
		require.Equal(t, 401, ask(t.Context(), c, "p", "for-encryption"))
		r := look(t, c, "small", "RS256")
		require.True(t, r.Complete)
		require.ErrorIs(t, r.Err, jwks.ErrKeyNotAllowed)
		require.Len(t, c.Status()[0].Skipped, 3)
	})
}

// A key that was good and is listed in a form that cannot be read stays good.
func TestGoodKeyListedInAFormThatCannotBeRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		s := n.at(keysURL)
		s.list("one", "two")
		c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
		require.Equal(t, 200, ask(t.Context(), c, "p", "two"))
		odd := as(material("two"), "two", "ES256")
		odd["crv"] = "P-999"
		s.publish(as(material("one"), "one", "ES256"), odd)
		for range 46 { // until shortly before MaxStale
			time.Sleep(30 * time.Minute)
			require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
			require.Equal(t, 200, ask(t.Context(), c, "p", "two"))
		}
		time.Sleep(2 * time.Hour)
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		require.Equal(t, 503, ask(t.Context(), c, "p", "two"), "it was last seen a day ago, and is listed")
	})
}

// Answers that are no key set are failures, each with its name.
func TestAnswersThatAreNoKeySet(t *testing.T) {
	t.Parallel()
	big := bytes.Repeat([]byte(" "), 50<<20)
	for name, a := range map[string]struct {
		status int
		body   []byte
		want   string
	}{
		"garbage": {200, []byte("<<<"), "malformed"}, "empty object": {200, []byte("{}"), "malformed"}, "empty set": {200, []byte(`{"keys":[]}`), "no_usable_key"},
		"50 MB": {200, big, "too_large"}, "redirect": {302, nil, "status 302"}, "500": {500, nil, "status 500"}, "429": {429, nil, "status 429"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newServers()
				s := n.at(keysURL)
				s.list("one")
				c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
				require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
				s.set(func(s *server) {
					s.answer = func(r *http.Request) *http.Response { return response(r, a.status, nil, a.body) }
				})
				for range 23 {
					time.Sleep(time.Hour)
					require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
					require.NotEqual(t, 401, ask(t.Context(), c, "p", "two"))
				}
				require.Equal(t, a.want, c.Status()[0].Failure)
				time.Sleep(2 * time.Hour)
				require.Equal(t, 503, ask(t.Context(), c, "p", "one"))
			})
		})
	}
}
