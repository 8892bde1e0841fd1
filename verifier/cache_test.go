package verifier_test

import (
	"context"
	"crypto/fips140"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/internal/signal"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// Only tokens that passed every check are remembered, and Update forgets them.
func TestWhatIsRemembered(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
	var config parts
	v := newVerifier(t, w, func(tr *verifier.Policy, c *parts) {
		keys, err := jwks.New([]issuer.Provider{w.Provider()}, jwks.Config{HTTPClient: w.Client(), UnknownKeyWait: -1})
		require.NoError(t, err)
		require.NoError(t, keys.Preload(t.Context()))
		c.Keys = keys
		tr.RequiredClaims = []string{"jti"}
		c.CacheSize = 100
		config = *c
		config.Policies = []verifier.Policy{*tr}
	})
	for _, c := range []fakeissuer.Claims{
		{Forged: true},
		{ExpiresIn: -time.Hour},
		{Audience: []string{"other"}},
		{Set: map[string]any{"jti": nil}},
		{Header: map[string]any{"kid": "unknown"}},
		{Issuer: "https://elsewhere.example.com"},
	} {
		_, err := v.Verify(t.Context(), w.Issue(east, c))
		require.Error(t, err)
	}
	picky := newVerifier(t, w, func(tr *verifier.Policy, _ *parts) {
		tr.Check = func(context.Context, *verifier.Token) error { return verifier.ErrForbidden }
	})
	_, err := picky.Verify(t.Context(), w.Issue(east, fakeissuer.Claims{}))
	require.Equal(t, "check_failed", reasonOf(t, err))
	entries, _ := verifier.Remembered(picky)
	require.Zero(t, entries)
	entries, size := verifier.Remembered(v)
	require.Zero(t, entries)
	require.Zero(t, size)
	good := w.Issue(east, fakeissuer.Claims{})
	first, err := v.Verify(t.Context(), good)
	require.NoError(t, err)
	second, err := v.Verify(t.Context(), good)
	require.NoError(t, err)
	require.Same(t, first, second)
	for i := range 2000 { // if someone changes one character of it has another token
		spoiled := []byte(good)
		spoiled[i%len(good)] ^= byte(1 + i/len(good))
		_, err := v.Verify(t.Context(), string(spoiled))
		require.Error(t, err)
	}
	entries, _ = verifier.Remembered(v)
	require.Equal(t, 1, entries)
	require.NoError(t, v.Update(config.Policies))
	entries, _ = verifier.Remembered(v)
	require.Zero(t, entries)
	config.CacheSize = 1<<24 + 1
	_, err = config.New()
	require.ErrorContains(t, err, "CacheSize")
	config.CacheSize = -1
	v, err = config.New()
	require.NoError(t, err)
	first, err = v.Verify(t.Context(), good)
	require.NoError(t, err)
	second, err = v.Verify(t.Context(), good)
	require.NoError(t, err)
	require.NotSame(t, first, second)
}

// The bounds hold whatever comes, the accounts are right, and what is used stays.
func TestCacheBounds(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 7))
	now := time.Now()
	for _, size := range []int{1, 2, 3, 64, 1000} {
		c := verifier.NewCache(size)
		for i := range 6 * size {
			payload := 1 << r.IntN(13)
			c.Add(fmt.Sprint(i), payload, now.Add(time.Hour), now)
			if payload < 1000 {
				require.True(t, c.Find(fmt.Sprint(i)))
			}
			if i%97 == 0 || size < 64 {
				counted, walked, bytes, walkedBytes := c.Entries()
				require.Equal(t, walked, counted)
				require.Equal(t, walkedBytes, bytes)
				require.LessOrEqual(t, counted, size)
				require.LessOrEqual(t, bytes, size<<11)
			}
		}
	}
	c := verifier.NewCache(4)
	c.Add("huge", 4<<11, now.Add(time.Hour), now)
	require.False(t, c.Find("huge"), "it alone would take more than there is")

	// Tokens that are seen once do not drive out those that are used.
	c = verifier.NewCache(100)
	for i := range 10_000 {
		if i%50 == 0 {
			for hot := range 40 {
				if !c.Find(fmt.Sprint("hot", hot)) {
					require.Zero(t, i, "a token that is used was forgotten")
					c.Add(fmt.Sprint("hot", hot), 100, now.Add(time.Hour), now)
				}
			}
		}
		c.Add(fmt.Sprint(i), 100, now.Add(time.Hour), now)
	}

	// What has expired goes first, even if it was used.
	c = verifier.NewCache(8)
	for i := range 8 {
		c.Add(fmt.Sprint("old", i), 1, now, now)
		require.True(t, c.Find(fmt.Sprint("old", i)))
	}
	for i := range 8 {
		c.Add(fmt.Sprint("new", i), 1, now.Add(2*time.Hour), now.Add(time.Hour))
		require.True(t, c.Find(fmt.Sprint("new", i)))
	}
	for i := range 8 {
		require.True(t, c.Find(fmt.Sprint("new", i)))
		require.False(t, c.Find(fmt.Sprint("old", i)))
	}
	c.Add("new1", 1, now.Add(2*time.Hour), now)
	counted, walked, _, _ := c.Entries()
	require.Equal(t, []int{8, 8}, []int{counted, walked}, "twice the same token")
}

func TestDigest(t *testing.T) {
	t.Parallel()
	c, other := verifier.NewCache(1), verifier.NewCache(1)
	seen := map[[32]byte]string{}
	long := strings.Repeat("x", 1000)
	for n := range 1000 {
		for _, s := range []string{long[:n], long[:n] + "y", "y" + long[:n]} {
			d := c.Digest(s)
			require.Equal(t, d, c.Digest(s))
			if was, ok := seen[d]; ok {
				require.Equal(t, was, s)
			}
			seen[d] = s
			if c.Keyed() {
				require.NotEqual(t, other.Digest(s), d, "each has keys of its own")
			} else {
				require.Equal(t, sha256.Sum256([]byte(s)), d)
			}
		}
	}
	require.Equal(t, !fips140.Enabled(), c.Keyed())
}

// In FIPS 140 mode, where GMAC with a fixed nonce is not allowed, digests are SHA-256.
func TestFIPSMode(t *testing.T) {
	t.Parallel()
	if fips140.Enabled() {
		return // this is the process that the other one started
	}
	for _, mode := range []string{"on", "only"} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^(TestDigest|TestWhatIsRemembered|TestFIPSMode)$", "-test.v")
		cmd.Env = append(os.Environ(), "GODEBUG=fips140="+mode)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		require.Contains(t, string(out), "--- PASS: TestDigest")
		require.Contains(t, string(out), "--- PASS: TestWhatIsRemembered")
	}
}

// Many goroutines verify more tokens than are remembered, while keys and rules change.
func TestRememberingConcurrently(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
	v := newVerifier(t, w, func(_ *verifier.Policy, c *parts) { c.CacheSize = 10 })
	var tokens []string
	for range 30 {
		tokens = append(tokens, w.Issue(east, fakeissuer.Claims{}), w.Issue(west, fakeissuer.Claims{}))
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 3))
			for range 500 {
				i := r.IntN(len(tokens))
				tok, err := v.Verify(t.Context(), tokens[i])
				if err != nil || tok.Regions()[0] != []string{east, west}[i%2] {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	entries, size := verifier.Remembered(v)
	require.LessOrEqual(t, entries, 10)
	require.LessOrEqual(t, size, 10<<11)
}

// lateRevoker has a rule come in while it answers, just too late to be counted.
type lateRevoker struct {
	ruled   bool
	late    bool
	changed signal.Signal
}

func (r *lateRevoker) Revoked(*verifier.Token) (rule string, err error) {
	if r.ruled {
		rule = "rule"
	}
	if r.late {
		r.ruled = true
		r.changed.Send()
	}
	return rule, nil
}

func (r *lateRevoker) Changed() <-chan struct{} { return r.changed.Changed() }

func TestRulesThatComeWhileTheyAreAsked(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
	good := w.Issue(east, fakeissuer.Claims{})
	for _, seenBefore := range []bool{false, true} {
		r := &lateRevoker{}
		v := newVerifier(t, w, func(_ *verifier.Policy, c *parts) { c.Revocation = r })
		if seenBefore {
			_, err := v.Verify(t.Context(), good)
			require.NoError(t, err)
			r.changed.Send()
		}
		r.late = true
		_, err := v.Verify(t.Context(), good)
		require.NoError(t, err)
		_, err = v.Verify(t.Context(), good)
		require.Equal(t, "revoked", reasonOf(t, err))
	}
}

// A token is remembered while its key is valid, also if the Source is decorated.
func TestARememberedTokenNeedsAValidKey(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
	cache, err := jwks.New([]issuer.Provider{w.Provider()}, jwks.Config{HTTPClient: w.Client()})
	require.NoError(t, err)
	v := newVerifier(t, w, func(_ *verifier.Policy, c *parts) { c.Keys = &forwarding{cache} })
	good := w.Issue(east, fakeissuer.Claims{})
	first, err := v.Verify(t.Context(), good)
	require.NoError(t, err)
	second, err := v.Verify(t.Context(), good)
	require.NoError(t, err)
	require.Same(t, first, second)
	require.NoError(t, cache.Update(nil))
	_, err = v.Verify(t.Context(), good)
	require.Equal(t, "keys_unavailable", reasonOf(t, err), "keys and trust are not of one configuration")
	require.NoError(t, cache.Update([]issuer.Provider{w.Provider()}))
	second, err = v.Verify(t.Context(), good)
	require.NoError(t, err)
	require.NotSame(t, first, second, "it is another key, whatever it looks like")
}

// forwarding is a Source that passes everything on.
type forwarding struct{ inner jwks.Source }

func (s *forwarding) Lookup(ctx context.Context, q jwks.Query) jwks.Result {
	return s.inner.Lookup(ctx, q)
}
func (s *forwarding) Changed() <-chan struct{} { return s.inner.Changed() }
