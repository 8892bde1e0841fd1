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
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// twins are two Verifiers of one configuration over the same keys: one remembers tokens, the other does not.
type twins struct {
	t        *testing.T
	rand     *rand.Rand
	world    *issuertest.World
	cached   *verifier.Verifier
	plain    *verifier.Verifier
	config   verifier.Config
	now      time.Time
	tokens   []string
	rules    map[string]bool
	version  uint64
	inactive string
	refuse   bool
	hits     int
	refused  map[string]int
}

func (w *twins) Revoked(t *verifier.Token) (string, error) {
	if w.rules["dark"] {
		return "", verifier.ErrUnavailable
	}
	if w.rules[t.ID()] {
		return t.ID(), nil
	}
	return "", nil
}

func (w *twins) Version() uint64 { return w.version }

func (w *twins) Admit(_ string, possible []string, _ time.Time) error {
	if len(possible) == 1 && possible[0] == w.inactive {
		return verifier.ErrInvalid
	}
	return nil
}

func (w *twins) check(context.Context, *verifier.Token) error {
	if w.refuse {
		return verifier.ErrForbidden
	}
	return nil
}

func (w *twins) update(change func(*verifier.Config)) {
	change(&w.config)
	w.config.CacheSize = 16
	require.NoError(w.t, w.cached.Update(w.config))
	w.config.CacheSize = -1
	require.NoError(w.t, w.plain.Update(w.config))
}

func newTwins(t *testing.T, seed uint64) *twins {
	w := &twins{t: t, rand: rand.New(rand.NewPCG(seed, 1)), now: time.Now(), rules: map[string]bool{}, refused: map[string]int{}}
	w.world = issuertest.New(t, fast([]issuertest.Layout{issuertest.IssuerPerRegion, issuertest.OneIssuer}[seed%2]))
	cache, err := jwks.New(jwks.Config{Authorities: []issuer.Authority{w.world.Authority()}, Client: w.world.Client()})
	require.NoError(t, err)
	t.Cleanup(func() { _ = cache.Close() })
	w.config = verifier.Config{
		Keys: cache, Revoked: w, Now: func() time.Time { return w.now },
		Trust: []verifier.Trust{{
			Authority: w.world.Authority(), Binding: verifier.Audience(issuertest.Audience), Regions: w, Check: w.check,
		}},
	}
	w.cached, err = verifier.New(w.config)
	require.NoError(t, err)
	w.plain, err = verifier.New(w.config)
	require.NoError(t, err)
	w.update(func(*verifier.Config) {})
	return w
}

func (w *twins) region() string { return []string{east, west}[w.rand.IntN(2)] }

func (w *twins) mint() {
	c := issuertest.Claims{ExpiresIn: time.Duration(w.rand.IntN(120)-5) * time.Minute}
	switch w.rand.IntN(12) {
	case 0:
		c.Forge = true
	case 1:
		c.Audience = []string{"somebody else"}
	}
	w.tokens = append(w.tokens, w.world.Token(w.region(), c))
	if len(w.tokens) > 24 {
		w.tokens = w.tokens[1:]
	}
}

func (w *twins) pass(d time.Duration) {
	time.Sleep(d)
	w.now = time.Now()
	synctest.Wait()
}

// step does one thing at random.
func (w *twins) step() {
	switch w.rand.IntN(40) {
	case 0:
		w.world.Rotate(w.region())
	case 1:
		w.world.Withdraw(w.region())
	case 2:
		w.world.Break(w.region())
	case 3, 4:
		w.world.Mend(east)
		w.world.Mend(west)
	case 5:
		w.pass(time.Duration(w.rand.IntN(1200)) * time.Second)
	case 6:
		w.pass(time.Duration(w.rand.IntN(40)) * time.Second)
	case 7:
		if w.rand.IntN(10) == 0 {
			w.pass(25 * time.Hour)
		}
	case 8:
		if tok, err := w.plain.Verify(w.t.Context(), w.pick()); err == nil {
			w.rules[tok.ID()] = true
			w.version++
		}
	case 9:
		clear(w.rules)
		w.version++
	case 10:
		w.rules["dark"] = !w.rules["dark"]
		w.version++
	case 11:
		w.inactive = []string{east, west, ""}[w.rand.IntN(3)]
	case 12:
		w.refuse = w.rand.IntN(4) == 0
	case 13:
		w.update(func(c *verifier.Config) { c.Leeway = time.Duration(w.rand.IntN(60)) * time.Second })
	case 14:
		w.update(func(c *verifier.Config) { c.Trust[0].MaxAge = time.Duration(w.rand.IntN(60)) * time.Minute })
	case 15:
		w.update(func(c *verifier.Config) {
			c.Trust[0].Binding = verifier.Audience([]string{issuertest.Audience, issuertest.Audience, "other"}[w.rand.IntN(3)])
		})
	case 16, 17, 18:
		w.mint()
	default:
		w.compare()
	}
}

func (w *twins) pick() string {
	if len(w.tokens) == 0 {
		w.mint()
	}
	return w.tokens[w.rand.IntN(len(w.tokens))]
}

// compare has both judge a token, the one that remembers twice.
func (w *twins) compare() {
	raw := w.pick()
	_, _ = w.plain.Verify(w.t.Context(), raw)
	synctest.Wait() // the other region has answered, too, if it was asked
	got, gotErr := w.cached.Verify(w.t.Context(), raw)
	want, wantErr := w.plain.Verify(w.t.Context(), raw)
	again, _ := w.cached.Verify(w.t.Context(), raw)
	if wantErr != nil {
		require.Equal(w.t, reasonOf(w.t, wantErr), reasonOf(w.t, gotErr))
		require.Nil(w.t, again)
		w.refused[reasonOf(w.t, wantErr)]++
		return
	}
	require.NoError(w.t, gotErr)
	require.Equal(w.t, want.Regions(), got.Regions())
	require.Equal(w.t, want.KeyThumbprint(), got.KeyThumbprint())
	require.Equal(w.t, want.ID(), got.ID())
	require.Equal(w.t, want.ValidUntil(), got.ValidUntil())
	if again == got {
		w.hits++
	}
}

// Whatever happens in between, a Verifier that remembers tokens says what one that does not would say.
func TestRememberingChangesNothing(t *testing.T) {
	t.Parallel()
	hits, refused := 0, map[string]int{}
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			w := newTwins(t, seed)
			for range 400 {
				w.step()
			}
			hits += w.hits
			for r, n := range w.refused {
				refused[r] += n
			}
		})
	}
	require.Greater(t, hits, 500)
	for _, r := range []string{
		"expired", "unknown_key", "keys_unavailable", "bad_signature", "bad_audience", "too_old", "region_inactive", "revoked",
		"rules_unavailable", "check_failed",
	} {
		require.Greater(t, refused[r], 10, r)
	}
}

// Only tokens that passed every check are remembered, and Update forgets them.
func TestWhatIsRemembered(t *testing.T) {
	t.Parallel()
	w := issuertest.New(t, fast(issuertest.IssuerPerRegion))
	var config verifier.Config
	v := newVerifier(t, w, func(tr *verifier.Trust, c *verifier.Config) {
		tr.RequiredClaims = []string{"jti"}
		c.CacheSize = 100
		config = *c
		config.Trust = []verifier.Trust{*tr}
	})
	for _, c := range []issuertest.Claims{
		{Forge: true},
		{ExpiresIn: -time.Hour},
		{Audience: []string{"other"}},
		{Set: map[string]any{"jti": nil}},
		{Header: map[string]any{"kid": "unknown"}},
		{Issuer: "https://elsewhere.example.com"},
	} {
		_, err := v.Verify(t.Context(), w.Token(east, c))
		require.Error(t, err)
	}
	picky := newVerifier(t, w, func(tr *verifier.Trust, _ *verifier.Config) {
		tr.Check = func(context.Context, *verifier.Token) error { return verifier.ErrForbidden }
	})
	_, err := picky.Verify(t.Context(), w.Token(east, issuertest.Claims{}))
	require.Equal(t, "check_failed", reasonOf(t, err))
	entries, _ := verifier.Remembered(picky)
	require.Zero(t, entries)
	entries, size := verifier.Remembered(v)
	require.Zero(t, entries)
	require.Zero(t, size)
	good := w.Token(east, issuertest.Claims{})
	first, err := v.Verify(t.Context(), good)
	require.NoError(t, err)
	second, err := v.Verify(t.Context(), good)
	require.NoError(t, err)
	require.Same(t, first, second)
	for i := range 2000 { // whoever changes one character of it has another token
		spoiled := []byte(good)
		spoiled[i%len(good)] ^= byte(1 + i/len(good))
		_, err := v.Verify(t.Context(), string(spoiled))
		require.Error(t, err)
	}
	entries, _ = verifier.Remembered(v)
	require.Equal(t, 1, entries)
	require.NoError(t, v.Update(config))
	entries, _ = verifier.Remembered(v)
	require.Zero(t, entries)
	config.CacheSize = 1<<24 + 1
	require.ErrorContains(t, v.Update(config), "CacheSize")
	config.CacheSize = -1
	require.NoError(t, v.Update(config))
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
	w := issuertest.New(t, fast(issuertest.IssuerPerRegion))
	v := newVerifier(t, w, func(_ *verifier.Trust, c *verifier.Config) { c.CacheSize = 10 })
	var tokens []string
	for range 30 {
		tokens = append(tokens, w.Token(east, issuertest.Claims{}), w.Token(west, issuertest.Claims{}))
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
	version uint64
}

func (r *lateRevoker) Revoked(*verifier.Token) (rule string, err error) {
	if r.ruled {
		rule = "rule"
	}
	if r.late {
		r.ruled = true
		r.version++
	}
	return rule, nil
}

func (r *lateRevoker) Version() uint64 { return r.version }

func TestRulesThatComeWhileTheyAreAsked(t *testing.T) {
	t.Parallel()
	w := issuertest.New(t, fast(issuertest.IssuerPerRegion))
	good := w.Token(east, issuertest.Claims{})
	for _, seenBefore := range []bool{false, true} {
		r := &lateRevoker{}
		v := newVerifier(t, w, func(_ *verifier.Trust, c *verifier.Config) { c.Revoked = r })
		if seenBefore {
			_, err := v.Verify(t.Context(), good)
			require.NoError(t, err)
			r.version++
		}
		r.late = true
		_, err := v.Verify(t.Context(), good)
		require.NoError(t, err)
		_, err = v.Verify(t.Context(), good)
		require.Equal(t, "revoked", reasonOf(t, err))
	}
}

// A Source that is no Holder is asked for the key itself.
func TestSourceThatIsNoHolder(t *testing.T) {
	t.Parallel()
	w := issuertest.New(t, fast(issuertest.IssuerPerRegion))
	source := &plainSource{}
	v := newVerifier(t, w, func(_ *verifier.Trust, c *verifier.Config) {
		source.Source = c.Keys
		c.Keys = source
	})
	good := w.Token(east, issuertest.Claims{})
	first, err := v.Verify(t.Context(), good)
	require.NoError(t, err)
	second, err := v.Verify(t.Context(), good)
	require.NoError(t, err)
	require.Same(t, first, second)
	source.copied = true
	second, err = v.Verify(t.Context(), good)
	require.NoError(t, err)
	require.NotSame(t, first, second, "it is another key, whatever it looks like")
	source.err = jwks.ErrUnknownKey
	_, err = v.Verify(t.Context(), good)
	require.Equal(t, "unknown_key", reasonOf(t, err))
}

// plainSource is a Source and nothing else.
type plainSource struct {
	jwks.Source
	copied bool
	err    error
}

func (s *plainSource) Keys(ctx context.Context, iss, kid string) ([]*jwks.Key, error) {
	keys, err := s.Source.Keys(ctx, iss, kid)
	if s.copied && err == nil {
		k := *keys[0]
		keys = []*jwks.Key{&k}
	}
	if s.err != nil {
		return nil, s.err
	}
	return keys, err
}
