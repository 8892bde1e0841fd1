package verifier_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// answering is a Source that always gives this answer.
type answering func(context.Context, jwks.Query) jwks.Result

func (f answering) Lookup(ctx context.Context, q jwks.Query) jwks.Result { return f(ctx, q) }
func (answering) Changed() <-chan struct{}                               { return nil }

// The table of jwks.Result, and everything that a Source should not do: what is not proven is never accepted, and never called
// bad unless the answer is complete.
func TestWhateverASourceAnswers(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
	others := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
	rsa := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "RS256"})
	own := published(t, w, east)
	good := keyWith(t, own, nil)
	foreign := keyWith(t, published(t, others, east), map[string]any{"kid": own["kid"]})
	otherType := keyWith(t, published(t, rsa, east), map[string]any{"kid": own["kid"], "alg": nil})
	otherAlg := keyWith(t, published(t, rsa, east), map[string]any{"kid": own["kid"]})
	otherName := keyWith(t, own, map[string]any{"alg": nil, "kid": "other"})
	elsewhere := keyIn(t, w, "mars", "venus") // the right material, of regions that do not list the issuer
	many := func(n int) (keys []*jwks.Key) {
		for range n {
			s := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
			keys = append(keys, keyWith(t, published(t, s, east), map[string]any{"kid": own["kid"]}))
		}
		return keys
	}
	for name, c := range map[string]struct {
		result     jwks.Result
		want       string // with this result
		incomplete string // with the same one that is not complete; "" means want
	}{
		"nothing":         {jwks.Result{Complete: true}, "unknown_key", "keys_unavailable"},
		"not allowed":     {jwks.Result{Complete: true, Err: jwks.ErrKeyNotAllowed}, "key_not_allowed", "keys_unavailable"},
		"unknown issuer":  {jwks.Result{Complete: true, Err: jwks.ErrUnknownIssuer}, "keys_unavailable", ""},
		"limited":         {jwks.Result{Limited: true}, "unknown_key_rate_limited", ""},
		"both":            {jwks.Result{Limited: true, Complete: true}, "unknown_key", "unknown_key_rate_limited"},
		"an error":        {jwks.Result{Complete: true, Err: errors.New("s3cret")}, "unknown_key", "keys_unavailable"},
		"nil keys":        {jwks.Result{Keys: []*jwks.Key{nil, nil}, Complete: true}, "keys_unavailable", ""},
		"a zero key":      {jwks.Result{Keys: []*jwks.Key{{}}, Complete: true}, "keys_unavailable", ""},
		"nil and wrong":   {jwks.Result{Keys: []*jwks.Key{nil, foreign, {}}, Complete: true}, "keys_unavailable", ""},
		"nil and good":    {jwks.Result{Keys: []*jwks.Key{nil, {}, foreign, good}, Complete: true}, "", ""},
		"good alone":      {jwks.Result{Keys: []*jwks.Key{good}}, "", ""},
		"good and error":  {jwks.Result{Keys: []*jwks.Key{good}, Limited: true, Err: errors.New("x")}, "", ""},
		"good, forbidden": {jwks.Result{Keys: []*jwks.Key{good}, Err: jwks.ErrKeyNotAllowed}, "", ""},
		"wrong":           {jwks.Result{Keys: []*jwks.Key{foreign}, Complete: true}, "bad_signature", "keys_unavailable"},
		"wrong, limited":  {jwks.Result{Keys: []*jwks.Key{foreign}, Limited: true}, "unknown_key_rate_limited", ""},
		"other type":      {jwks.Result{Keys: []*jwks.Key{otherType, otherAlg}, Complete: true}, "bad_signature", "keys_unavailable"},
		"other regions":   {jwks.Result{Keys: []*jwks.Key{elsewhere}, Complete: true}, "keys_unavailable", ""},
		"another alg":     {jwks.Result{Keys: []*jwks.Key{otherAlg}, Complete: true}, "unknown_key", "keys_unavailable"},
		"two names":       {jwks.Result{Keys: []*jwks.Key{otherName, good}, Complete: true}, "", ""},
		"the same twice":  {jwks.Result{Keys: []*jwks.Key{foreign, foreign}, Complete: true}, "bad_signature", "keys_unavailable"},
		"sixteen":         {jwks.Result{Keys: many(16), Complete: true}, "bad_signature", "keys_unavailable"},
		"too many":        {jwks.Result{Keys: append(many(16), good), Complete: true}, "keys_unavailable", ""},
		"good in front":   {jwks.Result{Keys: append([]*jwks.Key{good}, many(30)...), Complete: true}, "", ""},
	} {
		for _, complete := range []bool{true, false} {
			r, want := c.result, c.want
			if !complete && r.Complete {
				if c.incomplete != "" {
					want = c.incomplete
				}
				r.Complete = false
			}
			v := newVerifier(t, w, func(_ *verifier.Policy, vc *parts) {
				vc.Keys = answering(func(context.Context, jwks.Query) jwks.Result { return r })
			})
			what := fmt.Sprint(name, " ", complete)
			tok, err := v.Verify(t.Context(), w.Issue(east, fakeissuer.Claims{}))
			require.Equal(t, want, reasonOf(t, err), what)
			require.Equal(t, err == nil, tok != nil, what)
			requireRetry(t, err, what)
			if err == nil {
				require.NoError(t, v.Recheck(t.Context(), tok), what)
			} else {
				require.NotContains(t, fmt.Sprintf("%+v", tok), "s3cret")
			}
			_, err = v.Verify(t.Context(), w.Issue(east, fakeissuer.Claims{Forged: true}))
			require.Error(t, err, what)
			requireRetry(t, err, what)
		}
	}
}

// requireRetry checks that nobody who cannot be told is left without a time.
func requireRetry(t *testing.T, err error, what string) {
	t.Helper()
	var e *verifier.Error
	if errors.As(err, &e) {
		undecided := errors.Is(e, verifier.ErrUnavailable) || errors.Is(e, verifier.ErrRateLimited)
		require.Equal(t, undecided, e.RetryAfter >= time.Second, what)
	}
}

// A key of a Source decides for the token that it has signed, and for no other issuer of the same Source.
func TestKeysOfAnotherIssuerProveNothing(t *testing.T) {
	t.Parallel()
	one, two := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion)), fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
	both := []*jwks.Key{keyWith(t, published(t, two, west), nil), keyWith(t, published(t, two, east), nil)}
	for _, complete := range []bool{true, false} {
		v := newVerifier(t, one, func(_ *verifier.Policy, c *parts) {
			c.Keys = answering(func(context.Context, jwks.Query) jwks.Result { return jwks.Result{Keys: both, Complete: complete} })
		})
		_, err := v.Verify(t.Context(), one.Issue(east, fakeissuer.Claims{}))
		require.Equal(t, map[bool]string{true: "bad_signature", false: "keys_unavailable"}[complete], reasonOf(t, err))
	}
}

// A Source that panics, or blocks until the caller gives up, says nothing about the token.
func TestASourceThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
		key := keyWith(t, published(t, w, east), nil)
		behave := func(context.Context) jwks.Result { return jwks.Result{Keys: []*jwks.Key{key}, Complete: true} }
		v := newVerifier(t, w, func(_ *verifier.Policy, c *parts) {
			c.Keys = answering(func(ctx context.Context, _ jwks.Query) jwks.Result { return behave(ctx) })
			c.CacheSize = -1
		})
		tok := mustVerify(t, v, w)
		for name, f := range map[string]func(context.Context) jwks.Result{
			"panics": func(context.Context) jwks.Result { panic("s3cret") },
			"blocks": func(ctx context.Context) jwks.Result {
				<-ctx.Done()
				return jwks.Result{Err: context.Cause(ctx)}
			},
			"blocks and lies": func(ctx context.Context) jwks.Result {
				<-ctx.Done()
				return jwks.Result{Keys: []*jwks.Key{nil}, Complete: true}
			},
		} {
			behave = f
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			began := time.Now()
			_, err := v.Verify(ctx, w.Issue(east, fakeissuer.Claims{}))
			require.Equal(t, "keys_unavailable", reasonOf(t, err), name)
			require.NotContains(t, err.Error(), "s3cret")
			require.Equal(t, "keys_unavailable", reasonOf(t, v.Recheck(ctx, tok)), name)
			require.LessOrEqual(t, time.Since(began), time.Second)
			cancel()
		}
	})
}

// A Source is asked a bounded number of times, and told which keys were tried.
func TestLookupsAreBounded(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
	asked := 0
	v := newVerifier(t, w, func(_ *verifier.Policy, c *parts) {
		c.Keys = answering(func(_ context.Context, q jwks.Query) jwks.Result { // another key each time
			require.Len(t, q.Tried, asked)
			asked++
			s := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
			return jwks.Result{Keys: []*jwks.Key{keyWith(t, published(t, s, east), nil)}}
		})
	})
	_, err := v.Verify(t.Context(), w.Issue(east, fakeissuer.Claims{}))
	require.Equal(t, "keys_unavailable", reasonOf(t, err))
	require.Equal(t, 3, asked)
}

// A Source whose complete answer has no key that fits is told so: the issuer may have replaced a key under its kid.
func TestASourceIsToldOfAWrongSignature(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
	key := keyWith(t, published(t, w, east), nil)
	var tried [][]string
	v := newVerifier(t, w, func(_ *verifier.Policy, c *parts) {
		c.Keys = answering(func(_ context.Context, q jwks.Query) jwks.Result {
			tried = append(tried, q.Tried)
			if len(q.Tried) > 0 {
				return jwks.Result{Complete: true}
			}
			return jwks.Result{Keys: []*jwks.Key{key}, Complete: true}
		})
	})
	_, err := v.Verify(t.Context(), w.Issue(east, fakeissuer.Claims{Forged: true}))
	require.Equal(t, "bad_signature", reasonOf(t, err))
	require.Equal(t, [][]string{nil, {key.Thumbprint()}}, tried)
}
