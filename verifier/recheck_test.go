package verifier_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

func TestRecheck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
		cache, err := jwks.New([]issuer.Provider{w.Provider()}, jwks.Config{HTTPClient: w.Client()})
		require.NoError(t, err)
		config := parts{Keys: cache, Policies: []verifier.Policy{{Provider: w.Provider(), Audience: verifier.Audience(fakeissuer.Audience)}}}
		v, err := config.New()
		require.NoError(t, err)
		ctx := t.Context()
		tok, err := v.Verify(ctx, w.Issue(east, fakeissuer.Claims{ExpiresIn: 24 * time.Hour}))
		require.NoError(t, err)
		require.NoError(t, v.Recheck(ctx, tok))
		require.Equal(t, "token_missing", reasonOf(t, v.Recheck(ctx, nil)))
		require.Equal(t, "token_missing", reasonOf(t, v.Recheck(ctx, new(verifier.Token))))

		changed := v.Changed()
		w.Rotate(east)
		_, err = v.Verify(ctx, w.Issue(east, fakeissuer.Claims{}))
		require.NoError(t, err)
		<-changed
		w.Withdraw(east)
		for range 40 {
			time.Sleep(time.Minute)
			_, err = v.Verify(ctx, w.Issue(east, fakeissuer.Claims{}))
			require.NoError(t, err)
		}
		for range 20 { // several answers have to miss it
			if err = v.Recheck(ctx, tok); errors.Is(err, verifier.ErrInvalid) {
				break
			}
			require.Contains(t, []string{"keys_unavailable", "unknown_key_rate_limited"}, reasonOf(t, err))
			time.Sleep(10 * time.Second)
		}
		require.Equal(t, "unknown_key", reasonOf(t, err), "its key was withdrawn")
		tok, err = v.Verify(ctx, w.Issue(east, fakeissuer.Claims{ExpiresIn: 10 * time.Minute}))
		require.NoError(t, err)
		time.Sleep(10*time.Minute + 29*time.Second)
		require.NoError(t, v.Recheck(ctx, tok))
		time.Sleep(time.Second)
		require.Equal(t, "expired", reasonOf(t, v.Recheck(ctx, tok)))

		changed = v.Changed()
		require.Error(t, v.Update(nil))
		require.NoError(t, v.Recheck(ctx, mustVerify(t, v, w)), "a wrong configuration changes nothing")
		other := w.Provider()
		other.ID = "renamed"
		config.Policies[0].Provider = other
		tok = mustVerify(t, v, w)
		require.NoError(t, v.Update(config.Policies))
		<-changed
		require.Equal(t, "unknown_issuer", reasonOf(t, v.Recheck(ctx, tok)), "it is another provider's now")
		require.Equal(t, "renamed", mustVerify(t, v, w).Provider())
	})
}

// After an Update, a Recheck asks for what is demanded now.
func TestRecheckAfterUpdate(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
	cache, err := jwks.New([]issuer.Provider{w.Provider()}, jwks.Config{HTTPClient: w.Client()})
	require.NoError(t, err)
	good := verifier.Policy{Provider: w.Provider(), Audience: verifier.Audience(fakeissuer.Audience)}
	v, err := verifier.New([]verifier.Policy{good}, cache, verifier.Config{})
	require.NoError(t, err)
	tok := mustVerify(t, v, w)
	for want, change := range map[string]func(*verifier.Policy){
		"":                func(*verifier.Policy) {},
		"bad_audience":    func(tr *verifier.Policy) { tr.Audience = verifier.Audience("other") },
		"alg_not_allowed": func(tr *verifier.Policy) { tr.Algorithms = []string{"RS256"} },
		"typ_not_allowed": func(tr *verifier.Policy) { tr.Types = []string{"at+jwt"} },
		"missing_claim":   func(tr *verifier.Policy) { tr.RequiredClaims = []string{"tenant"} },
		"malformed":       func(tr *verifier.Policy) { tr.ScopeClaims = []string{"iat"} },
	} {
		trust := good
		change(&trust)
		require.NoError(t, v.Update([]verifier.Policy{trust}))
		require.Equal(t, want, reasonOf(t, v.Recheck(t.Context(), tok)))
	}
}

// A source that knows nothing of the trust's regions is of another configuration: there is no verdict.
func TestNoRegionIsNoVerdict(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
	cache, err := jwks.New([]issuer.Provider{w.Provider()}, jwks.Config{HTTPClient: w.Client()})
	require.NoError(t, err)
	v := newVerifier(t, w, func(tr *verifier.Policy, c *parts) {
		c.Keys = cache
		tr.Provider.Regions[0].Name, tr.Provider.Regions[1].Name = "mars", "venus"
	})
	_, err = v.Verify(t.Context(), w.Issue(east, fakeissuer.Claims{}))
	require.Equal(t, "keys_unavailable", reasonOf(t, err))
}

// fixed is a source whose keys can be exchanged. It has no other key for anybody.
type fixed struct{ keys []*jwks.Key }

func (f *fixed) Lookup(context.Context, jwks.Query) jwks.Result {
	return jwks.Result{Keys: f.keys, Complete: true}
}
func (f *fixed) Changed() <-chan struct{} { return nil }

// A key of the same name with other material is not the key that signed.
func TestRecheckWantsTheSameKey(t *testing.T) {
	t.Parallel()
	one, two := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion)), fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
	source := &fixed{keys: []*jwks.Key{keyWith(t, published(t, one, east), nil)}}
	v := newVerifier(t, one, func(_ *verifier.Policy, c *parts) { c.Keys = source })
	tok := mustVerify(t, v, one)
	require.NoError(t, v.Recheck(t.Context(), tok))
	source.keys = []*jwks.Key{keyWith(t, published(t, two, east), map[string]any{"kid": one.KeyID(east)})}
	require.Equal(t, "unknown_key", reasonOf(t, v.Recheck(t.Context(), tok)))
	_, err := v.Verify(t.Context(), one.Issue(east, fakeissuer.Claims{}))
	require.Equal(t, "bad_signature", reasonOf(t, err))
}

// A source may know of regions that the trust does not list for the issuer; they do not count.
func TestRegionsAreThoseOfTheTrust(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fast(fakeissuer.OneIssuer))
	for _, c := range []struct{ of, want []string }{
		{nil, []string{east, west}},
		{[]string{west}, []string{west}},
		{[]string{"mars", west, "venus"}, []string{west}},
		{[]string{east, "mars", west}, []string{east, west}},
	} {
		key := keyWith(t, published(t, w, east), nil)
		if c.of != nil {
			key = keyIn(t, w, c.of...)
		}
		v := newVerifier(t, w, func(_ *verifier.Policy, vc *parts) { vc.Keys = &fixed{keys: []*jwks.Key{key}} })
		require.Equal(t, c.want, mustVerify(t, v, w).Regions())
	}
}

func mustVerify(t testing.TB, v *verifier.Verifier, w *fakeissuer.Server) *verifier.Token {
	t.Helper()
	tok, err := v.Verify(t.Context(), w.Issue(east, fakeissuer.Claims{}))
	require.NoError(t, err)
	return tok
}

// A Recheck judges the regions by what is known now: the other one may have answered since.
func TestRecheckRegions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := fakeissuer.New(t, fast(fakeissuer.OneIssuer))
		w.Break(west)
		cache, err := jwks.New([]issuer.Provider{w.Provider()}, jwks.Config{HTTPClient: w.Client()})
		require.NoError(t, err)
		eastIsOut := func(_ string, possible []string, _ time.Time) error {
			if len(possible) == 1 && possible[0] == east {
				return verifier.ErrInvalid
			}
			return nil
		}
		v, err := verifier.New([]verifier.Policy{
			{Provider: w.Provider(), Audience: verifier.Audience(fakeissuer.Audience), RegionPolicy: eastIsOut},
		}, cache, verifier.Config{})
		require.NoError(t, err)
		raw := w.Issue(east, fakeissuer.Claims{})
		tok, err := v.Verify(t.Context(), raw)
		require.NoError(t, err)
		w.Restore(west)
		time.Sleep(10 * time.Second)
		_ = cache.Preload(t.Context())
		synctest.Wait()
		_, err = v.Verify(t.Context(), raw)
		require.Equal(t, "region_inactive", reasonOf(t, err))
		require.Equal(t, "region_inactive", reasonOf(t, v.Recheck(t.Context(), tok)))
	})
}

// Recheck calls the Check of the policy in force, with the token as that policy reads it, and with the caller's context also if
// the token has become too old in the meantime.
func TestRecheckCallsCheck(t *testing.T) {
	t.Parallel()
	type key struct{}
	for _, aged := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newScene(t, 1)
			v, err := verifier.New([]verifier.Policy{s.policy}, s.static(), verifier.Config{})
			require.NoError(t, err)
			tok, err := v.Verify(t.Context(), s.sign(0, nil, set{"scope": "a", "scp": "b", "roles": []string{"admin"}}))
			require.NoError(t, err)
			if aged {
				time.Sleep(2 * time.Hour)
			}
			var outcome error
			called := 0
			s.policy.ScopeClaims, s.policy.GroupClaims, s.policy.MaxAge = []string{"scp"}, []string{"roles"}, time.Minute*30
			s.policy.Check = func(ctx context.Context, tok *verifier.Token) error {
				called++
				require.Equal(t, true, ctx.Value(key{}))
				require.NoError(t, ctx.Err())
				require.True(t, tok.HasScope("b") && !tok.HasScope("a") && tok.HasGroup("admin"))
				require.Equal(t, tok.IssuedAt().Add(30*time.Minute+30*time.Second), tok.ValidUntil())
				return outcome
			}
			require.NoError(t, v.Update([]verifier.Policy{s.policy}))
			ctx := context.WithValue(t.Context(), key{}, true)
			want := map[bool]string{true: "expired"}[aged]
			require.Equal(t, want, reasonOf(t, v.Recheck(ctx, tok)))
			outcome = verifier.ErrForbidden
			err = v.Recheck(ctx, tok)
			require.Equal(t, "check_failed", reasonOf(t, err))
			require.ErrorIs(t, err, verifier.ErrForbidden)
			outcome = verifier.ErrUnavailable
			require.Equal(t, map[bool]string{true: "expired", false: "check_failed"}[aged], reasonOf(t, v.Recheck(ctx, tok)))
			require.Equal(t, 3, called)
			s.policy.RequiredClaims = []string{"tenant"}
			require.NoError(t, v.Update([]verifier.Policy{s.policy}))
			require.Equal(t, "missing_claim", reasonOf(t, v.Recheck(ctx, tok)))
			require.Equal(t, 3, called, "only for a token that passes all other checks")
		})
	}
}

// If none of the keys in the answer is that of the token, Recheck asks once more without them, as Verify does: only the answer to
// that is about the key that is missing.
func TestRecheckAsksAgainWithoutTheKeysThatAreNotTheTokens(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
	own := keyWith(t, published(t, w, east), nil)
	another := keyWith(t, published(t, fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion)), east), map[string]any{"kid": own.ID()})
	key, complete := own, true
	v := newVerifier(t, w, func(_ *verifier.Policy, c *parts) {
		c.Keys = answering(func(_ context.Context, q jwks.Query) jwks.Result {
			if len(q.Tried) > 0 {
				return jwks.Result{Complete: complete}
			}
			return jwks.Result{Keys: []*jwks.Key{key}, Complete: true}
		})
	})
	tok, err := v.Verify(t.Context(), w.Issue(east, fakeissuer.Claims{}))
	require.NoError(t, err)
	key = another
	require.Equal(t, "unknown_key", reasonOf(t, v.Recheck(t.Context(), tok)))
	complete = false
	require.Equal(t, "keys_unavailable", reasonOf(t, v.Recheck(t.Context(), tok)))
}
