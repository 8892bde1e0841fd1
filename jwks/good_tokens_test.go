package jwks_test

import (
	"maps"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// mistaken are the cases in which a good token may get 401, as docs/decisions.md lists them. Each ends with an acceptance where
// the issuer can still be right.
var mistaken = []row{
	{
		"a token of a new key under a key ID in use: the first such token gets 401 and causes a fetch",
		fakeissuer.IssuerPerRegion, newMaterial,
	},
	{"a token that arrives before its key is published", fakeissuer.IssuerPerRegion, tooEarly},
	{
		"a token whose key was missing from six answers in a row of a URL, before the library has seen that its answers differ from request to request",
		fakeissuer.IssuerPerRegion, missingForLong,
	},
	{
		"a token whose key was published more than 2 minutes after it signed the token, at a URL behind a CDN that serves copies",
		fakeissuer.IssuerPerRegion, publishedLate,
	},
	{"a token whose key only an optional URL lists that says 403 or 404 by mistake", fakeissuer.OneIssuer, optionalByMistake},
	{
		"a token whose key only one URL of a key set lists, if that URL has not answered for `MaxStale`",
		fakeissuer.OneIssuerSharedKeys, notAnsweredForMaxStale,
	},
	{"a token whose key names a wrong `alg`, `use`, `key_ops` or `kty`", fakeissuer.IssuerPerRegion, wrongAlgorithm},
}

func newMaterial(s *stage) {
	twin := fakeissuer.New(s.t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256"})
	kid := s.KeyID(east)
	s.start()
	s.accepts(east)
	s.pass(time.Minute)
	k := maps.Clone(s.published(twin)[0])
	k["kid"] = kid
	s.Corrupt(east, set(k))
	verify := func() error {
		return s.verify(east, fakeissuer.Claims{Signer: twin, Header: map[string]any{"kid": kid}})
	}
	s.says(verifier.ReasonBadSignature, verify())
	s.becomes(2*time.Second, func() bool { return verify() == nil })
}

func tooEarly(s *stage) {
	s.start()
	s.accepts(east)
	s.Lag(east)
	s.Rotate(east)
	s.says(verifier.ReasonUnknownKey, s.verify(east, fakeissuer.Claims{}))
	s.Restore(east)
	s.becomes(2*time.Second, func() bool { return s.verify(east, fakeissuer.Claims{}) == nil })
}

func missingForLong(s *stage) {
	s.start()
	raw := s.Issue(east, fakeissuer.Claims{ExpiresIn: 48 * time.Hour})
	require.NoError(s.t, s.judge(raw))
	s.pass(time.Second)
	other := fakeissuer.New(s.t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256"})
	s.Corrupt(east, set(s.published(other)...))
	refused := func() bool { return category(s.judge(raw)) == verifier.ErrInvalid }
	for range 90 {
		require.False(s.t, refused() && s.Fetches(east) < 5)
		s.pass(time.Minute)
	}
	s.becomes(time.Minute, refused)
	s.Restore(east)
	s.becomes(11*time.Second, func() bool { return s.judge(raw) == nil })
}

func publishedLate(s *stage) {
	keys := s.published(s.Server)
	var age atomic.Value
	age.Store("60")
	s.provider.Regions[0].JWKSURLs = []string{s.host("cdn.example", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Age", age.Load().(string))
		_, _ = w.Write(set(keys...))
	}) + "/keys"}
	s.start()
	s.accepts(east)
	s.pass(time.Minute)
	s.Rotate(east)
	s.cannotTell(s.verify(east, fakeissuer.Claims{})) // the copy is as old as the token
	s.pass(11 * time.Second)
	s.says(verifier.ReasonUnknownKey, s.verify(east, fakeissuer.Claims{IssuedAgo: 10 * time.Minute}))
}

func optionalByMistake(s *stage) {
	s.provider.Regions[1].OptionalJWKSURLs = s.provider.Regions[1].JWKSURLs
	s.Status(west, http.StatusForbidden, nil)
	s.start()
	s.accepts(east)
	s.says(verifier.ReasonUnknownKey, s.verify(west, fakeissuer.Claims{}))
	s.Restore(west)
	s.becomes(3*time.Second, func() bool { return s.verify(west, fakeissuer.Claims{}) == nil })
}

func notAnsweredForMaxStale(s *stage) {
	s.start()
	s.accepts(east)
	s.Lag(west)
	s.Rotate(east) // west does not list the new key
	s.accepts(east)
	s.Break(east)
	refused := func() bool { return category(s.verify(east, fakeissuer.Claims{})) == verifier.ErrInvalid }
	for range 24 * 3 {
		require.False(s.t, refused())
		s.pass(20 * time.Minute)
	}
	for range 48 * 3 { // the key set of the other region has just begun to ask it
		s.pass(20 * time.Minute)
		if refused() {
			s.Restore(east)
			s.becomes(time.Minute, func() bool { return s.verify(east, fakeissuer.Claims{}) == nil })
			return
		}
	}
	s.t.Fatalf("it is never called unknown: %v %+v", s.verify(east, fakeissuer.Claims{}), s.cache.Status())
}

func wrongAlgorithm(s *stage) {
	s.Server = fakeissuer.New(s.t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "PS256"})
	s.provider = s.Provider()
	keys := s.published(s.Server)
	keys[0]["alg"] = "RS256"
	s.Corrupt(east, set(keys...))
	s.start()
	s.says(verifier.ReasonUnknownKey, s.verify(east, fakeissuer.Claims{}))
}

// A key that says that it is not for signatures, or of a type that cannot have signed the token, is no key of the token.
func TestTokensOfKeysThatAreNotForSignatures(t *testing.T) {
	t.Parallel()
	for _, members := range []map[string]any{{"use": "enc"}, {"key_ops": []string{"encrypt"}}, {"kty": "XYZ"}, {"use": 7}} {
		synctest.Test(t, func(t *testing.T) {
			n := newServers()
			s := n.at("https://a.example/keys")
			s.set(func(s *server) {
				s.keys["odd"] = maps.Clone(material("odd"))
				s.keys["odd"]["kid"] = "odd"
				maps.Copy(s.keys["odd"], members)
			})
			s.list("good", "odd")
			c := newCache(t, n, jwks.Config{}, pool("p", []string{s.url}))
			require.Equal(t, 200, ask(t.Context(), c, "p", "good"))
			require.Equal(t, 401, ask(t.Context(), c, "p", "odd"), members)
			require.Len(t, c.Status()[0].Skipped, 1)
		})
	}
}

func TestGoodTokensThatMayStillGet401(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/decisions.md")
	require.NoError(t, err)
	_, section, ok := strings.Cut(string(text), "## Good tokens that may still get 401\n")
	require.True(t, ok)
	section, _, _ = strings.Cut(section, "\n## ")
	var listed, played []string
	for _, m := range regexp.MustCompile(`(?m)^- (.*)$`).FindAllStringSubmatch(section, -1) {
		listed = append(listed, m[1])
	}
	for _, r := range mistaken {
		played = append(played, r.event)
		t.Run(r.event, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, r.layout, false, plain)
				defer s.end()
				r.play(s)
			})
		})
	}
	require.Equal(t, played, listed)
}
