package verifier_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// publishedSets are the key sets of the regions of one issuer, which a test changes: each region has an HTTP server.
type publishedSets struct {
	*scene
	sets  map[string][]map[string]any // what is published, as the test knows it
	docs  sync.Map                    // the same by region, as a server answers it
	cache *jwks.Cache
	stop  func()
	*verifier.Verifier
}

// newSets makes a Verifier that allows tokens and keys without kid. It is called within a bubble.
func newSets(s *scene, sets map[string][]map[string]any) *publishedSets {
	p := issuer.Provider{ID: "p"}
	for _, region := range slices.Sorted(maps.Keys(sets)) {
		p.Regions = append(p.Regions, issuer.Region{
			Name: region, Issuers: []string{sceneIssuer}, JWKSURLs: []string{"https://" + region + ".example/jwks"},
		})
	}
	w := fakeissuer.New(s.t, fakeissuer.Config{Provider: &p, Algorithm: "ES256"})
	published := &publishedSets{scene: s, sets: map[string][]map[string]any{}}
	for region, keys := range sets {
		published.publish(region, keys...)
		w.Handle(region, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			doc, _ := published.docs.Load(region)
			_, _ = rw.Write(doc.([]byte))
		}))
	}
	var err error
	published.cache, err = jwks.New([]issuer.Provider{p}, jwks.Config{HTTPClient: w.Client()})
	require.NoError(s.t, err)
	ctx, cancel := context.WithCancel(s.t.Context())
	go func() { _ = published.cache.Run(ctx) }()
	synctest.Wait()
	published.stop = func() { cancel(); time.Sleep(time.Minute) }
	s.policy.Provider, s.policy.AllowMissingKeyID = p, true
	published.Verifier, err = verifier.New([]verifier.Policy{s.policy}, published.cache, verifier.Config{})
	require.NoError(s.t, err)
	return published
}

// publish replaces the key set of a region.
func (p *publishedSets) publish(region string, keys ...map[string]any) {
	p.t.Helper()
	doc, err := json.Marshal(map[string]any{"keys": keys})
	require.NoError(p.t, err)
	p.sets[region] = keys
	p.docs.Store(region, doc)
}

// refresh waits until every region was asked twice.
func (p *publishedSets) refresh() {
	time.Sleep(19 * time.Minute)
	synctest.Wait()
}

// agree verifies a token three times: uncached, and twice with the Verifier that has a cache. All must give one answer.
func (p *publishedSets) agree(raw string) (*verifier.Token, string) {
	p.t.Helper()
	tok, err := p.Verify(p.t.Context(), raw)
	plain, newErr := verifier.New([]verifier.Policy{p.policy}, p.cache, verifier.Config{CacheSize: -1})
	require.NoError(p.t, newErr)
	if err != nil {
		time.Sleep(11 * time.Second) // so that the rate of unknown keys is not the matter
	}
	other, otherErr := plain.Verify(p.t.Context(), raw)
	if errors.Is(err, verifier.ErrUnavailable) || errors.Is(err, verifier.ErrRateLimited) {
		require.False(p.t, otherErr == nil || errors.Is(otherErr, verifier.ErrInvalid), "without a cache and with one")
		return nil, "keys_unavailable"
	}
	require.Equal(p.t, reasonOf(p.t, otherErr), reasonOf(p.t, err), "without a cache and with one")
	if err == nil {
		require.NoError(p.t, p.Recheck(p.t.Context(), tok))
		require.Equal(p.t, other.Regions(), tok.Regions())
		require.Equal(p.t, other.Key().Thumbprint(), tok.Key().Thumbprint())
		require.Same(p.t, other.Key(), tok.Key(), "under one of its names")
	}
	return tok, reasonOf(p.t, err)
}

func withKid(m map[string]any, kid any) map[string]any {
	c := maps.Clone(m)
	if c["kid"] = kid; kid == nil {
		delete(c, "kid")
	}
	return c
}

// A token without kid may be of every region that lists its key, under whatever name.
func TestRegionsOfAKeyWithSeveralNames(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		names  [2]any // in east and west
		header set
		want   []string
	}{
		"two kids, token without":             {[2]any{"one", "two"}, set{"kid": nil}, []string{east, west}},
		"a kid in one region, token without":  {[2]any{"one", nil}, set{"kid": nil}, []string{east, west}},
		"a kid in the other, token without":   {[2]any{nil, "one"}, set{"kid": nil}, []string{east, west}},
		"two kids, token with the first":      {[2]any{"one", "two"}, set{"kid": "one"}, []string{east}},
		"two kids, token with the second":     {[2]any{"one", "two"}, set{"kid": "two"}, []string{west}},
		"a kid in one region, token with it":  {[2]any{"one", nil}, set{"kid": "one"}, []string{east}},
		"a kid in one, token of another name": {[2]any{"one", nil}, set{"kid": "other"}, []string{west}},
		"no kid, token of another name":       {[2]any{nil, nil}, set{"kid": "other"}, []string{east, west}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, 2)
				p := newSets(s, map[string][]map[string]any{
					east: {withKid(s.members[0], c.names[0])}, west: {withKid(s.members[0], c.names[1]), s.members[1]},
				})
				tok, reason := p.agree(s.sign(0, c.header, nil))
				require.Empty(t, reason)
				require.ElementsMatch(t, c.want, tok.Regions())
				p.stop()
			})
		})
	}
}

// What a cached token without kid, or without a key of its kid, may have been signed by is judged again when the key sets change.
func TestCachedTokenOfAKeyWithSeveralNamesFollowsTheKeySets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 2)
		p := newSets(s, map[string][]map[string]any{
			east: {withKid(s.members[0], "one"), s.members[1]}, west: {withKid(s.members[0], "two"), s.members[1]},
		})
		raw := s.sign(0, set{"kid": nil}, nil)
		tok, _ := p.agree(raw)
		require.ElementsMatch(t, []string{east, west}, tok.Regions())
		p.publish(west, s.members[1:]...)
		p.refresh()
		tok, _ = p.agree(raw)
		require.Equal(t, []string{east}, tok.Regions())
		p.stop()
	})
}

// A key that takes the kid of a token decides about it from then on, whatever a key without kid has verified before.
func TestANamedKeyTakesTheTokensOfItsKid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 2)
		p := newSets(s, map[string][]map[string]any{east: {withKid(s.members[0], nil)}})
		raw := s.sign(0, set{"kid": "name"}, nil)
		tok, reason := p.agree(raw)
		require.Empty(t, reason)
		p.publish(east, p.sets[east][0], withKid(s.members[1], "name"))
		p.refresh()
		_, reason = p.agree(raw)
		require.Equal(t, "bad_signature", reason)
		require.ErrorIs(t, p.Recheck(t.Context(), tok), verifier.ErrInvalid)
		_, reason = p.agree(s.sign(1, set{"kid": "name"}, nil))
		require.Empty(t, reason)
		p.stop()
	})
}

// However many keys with other names there are: the key without kid verifies the tokens whose kid no key has.
func TestNamedKeysDoNotCrowdOutAKeyWithoutKid(t *testing.T) {
	t.Parallel()
	for _, named := range []int{3, 4, 5, 20} {
		synctest.Test(t, func(t *testing.T) {
			s := newScene(t, named+1)
			delete(s.members[named], "kid")
			p := newSets(s, map[string][]map[string]any{east: s.members})
			raw := s.sign(named, set{"kid": "other"}, nil)
			_, reason := p.agree(raw)
			require.Empty(t, reason, named)
			_, reason = p.agree(raw) // from the cache
			require.Empty(t, reason, named)
			_, err := s.verify(raw)
			require.Empty(t, reasonOf(t, errOf(err)))
			_, reason = p.agree(s.sign(0, set{"kid": "other"}, nil))
			require.Equal(t, "unknown_key", reason, "a key that has a kid verifies no token with another one")
			p.stop()
		})
	}
}

// An entry without kid that cannot be read may be the key of a token whose kid no key has, and of no other token.
func TestEntriesWithoutKidThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		entry  set // what is odd about the second key
		header set
		want   string
	}{
		"another kid":                {set{"kid": nil, "crv": "P-999"}, set{"kid": "other"}, "keys_unavailable"},
		"another kid, not allowed":   {set{"kid": nil, "d": "AA"}, set{"kid": "other"}, "key_not_allowed"},
		"another kid, of RSA":        {set{"kid": nil, "kty": "RSA"}, set{"kid": "other"}, "unknown_key"},
		"the kid of the first key":   {set{"kid": nil, "crv": "P-999"}, nil, "bad_signature"},
		"without":                    {set{"kid": nil, "crv": "P-999"}, set{"kid": nil}, "keys_unavailable"},
		"another kid, named entry":   {set{"crv": "P-999"}, set{"kid": "other"}, "unknown_key"},
		"the kid of the named entry": {set{"kid": "named", "crv": "P-999"}, set{"kid": "named"}, "keys_unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, 3)
				odd := maps.Clone(s.members[1])
				maps.Copy(odd, c.entry)
				maps.DeleteFunc(odd, func(_ string, v any) bool { return v == nil })
				s.members[1] = odd
				header := maps.Clone(c.header)
				if header == nil {
					header = set{"kid": s.signers[0].ID}
				}
				raw := s.sign(2, header, nil)
				s.members = s.members[:2]
				p := newSets(s, map[string][]map[string]any{east: s.members})
				_, err := p.Verify(t.Context(), raw)
				require.Equal(t, c.want, reasonOf(t, err))
				keys, newErr := jwks.NewStatic(map[string][]byte{sceneIssuer: s.keySet()})
				require.NoError(t, newErr)
				_, rejected := verifyTwice(t, s.policy, keys, raw)
				require.Equal(t, c.want, reasonOf(t, errOf(rejected)), "static")
				p.stop()
			})
		})
	}
}

// A key that was missing from the last answers only may still be the one that a token with another kid needs.
func TestAKeyWithoutKidThatIsMissingFromAnAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 2)
		unnamed := withKid(s.members[1], nil)
		p := newSets(s, map[string][]map[string]any{east: {s.members[0], unnamed}})
		raw := s.sign(1, set{"kid": "other"}, nil)
		_, reason := p.agree(raw)
		require.Empty(t, reason)
		p.publish(east, s.members[:1]...)
		p.refresh()
		_, err := p.Verify(t.Context(), raw)
		require.ErrorIs(t, err, verifier.ErrUnavailable, "as for a kid that is missing")
		p.stop()
	})
}

// One key under many names is one key: it is tried once, and does not use up the places of others.
func TestOneKeyUnderManyNames(t *testing.T) {
	t.Parallel()
	s := newScene(t, 2)
	for i := range 17 {
		s.members = append(s.members, withKid(s.members[0], []any{nil, "a", "b", "c"}[i%4]), withKid(s.members[0], string(rune('d'+i))))
	}
	s.policy.AllowMissingKeyID = true
	for _, header := range []set{{"kid": nil}, {"kid": "other"}, {"kid": "a"}, {"kid": "q"}} {
		tok, err := s.verify(s.sign(0, header, nil))
		require.Nil(t, err, header)
		require.NotNil(t, tok)
	}
	tok, err := s.verify(s.sign(1, set{"kid": nil}, nil))
	require.Nil(t, err)
	require.Equal(t, s.signers[1].ID, tok.Key().ID())
}
