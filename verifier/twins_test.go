package verifier_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/internal/signal"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// twins are two Verifiers of one configuration over the same keys: one remembers tokens, the other does not.
type twins struct {
	t        *testing.T
	rand     *rand.Rand
	fake     *fakeissuer.Server
	cached   *verifier.Verifier
	plain    *verifier.Verifier
	config   parts
	now      time.Time
	tokens   []string
	rules    map[string]bool
	changed  signal.Signal
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

func (w *twins) Changed() <-chan struct{} { return w.changed.Changed() }

func (w *twins) admit(_ string, possible []string, _ time.Time) error {
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

func (w *twins) update(change func(*verifier.Policy)) {
	change(&w.config.Policies[0])
	require.NoError(w.t, w.cached.Update(w.config.Policies))
	require.NoError(w.t, w.plain.Update(w.config.Policies))
}

func newTwins(t *testing.T, seed uint64) *twins {
	w := &twins{t: t, rand: rand.New(rand.NewPCG(seed, 1)), now: time.Now(), rules: map[string]bool{}, refused: map[string]int{}}
	w.fake = fakeissuer.New(t, fast([]fakeissuer.Layout{fakeissuer.IssuerPerRegion, fakeissuer.OneIssuer}[seed%2]))
	cache, err := jwks.New([]issuer.Provider{w.fake.Provider()}, jwks.Config{HTTPClient: w.fake.Client()})
	require.NoError(t, err)
	w.config = parts{
		Keys: cache, Config: verifier.Config{Revocation: w}.At(func() time.Time { return w.now }),
		Policies: []verifier.Policy{{
			Provider: w.fake.Provider(), Audience: verifier.Audience(fakeissuer.Audience), RegionPolicy: w.admit, Check: w.check,
		}},
	}
	w.config.Leeway = time.Duration(w.rand.IntN(60)) * time.Second
	w.config.CacheSize = 16
	w.cached, err = w.config.New()
	require.NoError(t, err)
	w.config.CacheSize = -1
	w.plain, err = w.config.New()
	require.NoError(t, err)
	return w
}

func (w *twins) region() string { return []string{east, west}[w.rand.IntN(2)] }

func (w *twins) issue() {
	c := fakeissuer.Claims{ExpiresIn: time.Duration(w.rand.IntN(120)-5) * time.Minute}
	switch w.rand.IntN(12) {
	case 0:
		c.Forged = true
	case 1:
		c.Audience = []string{"somebody else"}
	}
	w.tokens = append(w.tokens, w.fake.Issue(w.region(), c))
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
		w.fake.Rotate(w.region())
	case 1:
		w.fake.Withdraw(w.region())
	case 2:
		w.fake.Break(w.region())
	case 3, 4:
		w.fake.Restore(east)
		w.fake.Restore(west)
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
			w.changed.Send()
		}
	case 9:
		clear(w.rules)
		w.changed.Send()
	case 10:
		w.rules["dark"] = !w.rules["dark"]
		w.changed.Send()
	case 11:
		w.inactive = []string{east, west, ""}[w.rand.IntN(3)]
	case 12:
		w.refuse = w.rand.IntN(4) == 0
	case 13:
		w.update(func(t *verifier.Policy) { t.RequiredClaims = [][]string{nil, {"sub"}, {"tenant"}}[w.rand.IntN(3)] })
	case 14:
		w.update(func(t *verifier.Policy) { t.MaxAge = time.Duration(w.rand.IntN(60)) * time.Minute })
	case 15:
		w.update(func(t *verifier.Policy) {
			t.Audience = verifier.Audience([]string{fakeissuer.Audience, fakeissuer.Audience, "other"}[w.rand.IntN(3)])
		})
	case 16, 17, 18:
		w.issue()
	default:
		w.compare()
	}
}

func (w *twins) pick() string {
	if len(w.tokens) == 0 {
		w.issue()
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
		requireAlike(w.t, wantErr, gotErr)
		require.Nil(w.t, again)
		w.refused[reasonOf(w.t, wantErr)]++
		return
	}
	require.NoError(w.t, gotErr)
	require.Equal(w.t, want.Regions(), got.Regions())
	require.Equal(w.t, want.Key().Thumbprint(), got.Key().Thumbprint())
	require.Equal(w.t, want.ID(), got.ID())
	require.Equal(w.t, want.ValidUntil(), got.ValidUntil())
	if again == got {
		w.hits++
	}
}

// requireAlike compares two refusals of one token, one after the other. If there is no key, budgets and the answers in between
// decide which of three reasons it is.
func requireAlike(t *testing.T, one, other error) {
	t.Helper()
	if keys := []string{"keys_unavailable", "unknown_key_rate_limited", "unknown_key"}; slices.Contains(keys, reasonOf(t, one)) {
		require.Contains(t, keys, reasonOf(t, other))
		return
	}
	require.Equal(t, reasonOf(t, one), reasonOf(t, other))
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
