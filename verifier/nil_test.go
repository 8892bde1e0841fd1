package verifier_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/internal/nils/nilstest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

type sourceFunc func(context.Context, jwks.Query) jwks.Result

func (f sourceFunc) Lookup(ctx context.Context, q jwks.Query) jwks.Result { return f(ctx, q) }

func (sourceFunc) Changed() <-chan struct{} { return nil }

type revokerFunc func(*verifier.Token) (string, error)

func (f revokerFunc) Revoked(t *verifier.Token) (string, error) { return f(t) }
func (revokerFunc) Changed() <-chan struct{}                    { return nil }

// New and Update refuse what is set and is nil, all of it at once.
func TestNilsAreRefused(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
	good := parts{
		Keys: &fixed{}, Policies: []verifier.Policy{{Provider: w.Provider(), Audience: verifier.Audience("a")}},
	}
	v, err := good.New()
	require.NoError(t, err)
	for name, c := range map[string]struct {
		change func(*parts)
		want   []string
	}{
		"no keys":        {func(c *parts) { c.Keys = nil }, []string{"key source"}},
		"nil Cache":      {func(c *parts) { c.Keys = (*jwks.Cache)(nil) }, []string{"key source"}},
		"nil pointer":    {func(c *parts) { c.Keys = (*fixed)(nil) }, []string{"key source"}},
		"nil function":   {func(c *parts) { c.Keys = sourceFunc(nil) }, []string{"key source"}},
		"nil rules":      {func(c *parts) { c.Revocation = (*twins)(nil) }, []string{"Revocation"}},
		"nil rules func": {func(c *parts) { c.Revocation = revokerFunc(nil) }, []string{"Revocation"}},
		"nil map":        {func(c *parts) { c.Revocation = revokedIDs(nil) }, []string{"Revocation"}},
		"all of it": {func(c *parts) {
			c.Keys, c.Revocation, c.Leeway = (*fixed)(nil), (*twins)(nil), time.Hour
		}, []string{"key source", "Revocation", "Leeway"}},
		"nothing": {func(c *parts) { *c = parts{} }, []string{"key source", "no Policy"}},
	} {
		bad := good
		bad.Policies = []verifier.Policy{good.Policies[0]}
		c.change(&bad)
		_, err := bad.New()
		require.Error(t, err, name)
		for _, want := range c.want {
			require.ErrorContains(t, err, want, name)
		}
		require.ErrorContains(t, err, "verifier: ", name)
		if len(bad.Policies) == 0 {
			require.Error(t, v.Update(bad.Policies), name)
		}
	}
}

// Nobody is served by a Verifier that New has not made, and nothing panics.
func TestVerifiersThatNewHasNotMade(t *testing.T) {
	t.Parallel()
	nilstest.Methods(t, "New", nil, nil, (*verifier.Verifier)(nil), new(verifier.Verifier))
	for _, v := range []*verifier.Verifier{nil, new(verifier.Verifier)} {
		tok, err := v.Verify(t.Context(), "a.b.c")
		require.Nil(t, tok)
		require.ErrorIs(t, err, verifier.ErrUnavailable)
		require.ErrorIs(t, v.Recheck(t.Context(), new(verifier.Token)), verifier.ErrUnavailable)
		require.Error(t, v.Update(nil))
	}
}

// Who takes a nil Token for a user has made a mistake, which shows at once: nobody is served as the user "".
func TestANilTokenPanics(t *testing.T) {
	t.Parallel()
	nilstest.Panics(t, []any{"", new(any)}, (*verifier.Token)(nil))
}

// The zero Token has nothing.
func TestTheZeroTokenHasNothing(t *testing.T) {
	t.Parallel()
	nilstest.Methods(t, "", nil, []any{""}, new(verifier.Token))
	for range new(verifier.Token).Groups() {
		t.Fatal("it names a group")
	}
}

// A nil *Error in an error is no verdict on a token, and does not panic.
func TestANilErrorIsNoVerdict(t *testing.T) {
	t.Parallel()
	var err error = (*verifier.Error)(nil)
	require.NotErrorIs(t, err, verifier.ErrInvalid)
	require.NotErrorIs(t, err, verifier.ErrForbidden)
	require.ErrorIs(t, err, verifier.ErrUnavailable)
	require.NotEmpty(t, err.Error())
	require.NoError(t, errors.Unwrap(err))
}

// Durations that are less than nothing are refused, except for Leeway, where they mean none.
func TestNegativeDurations(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
	trust := verifier.Policy{Provider: w.Provider(), Audience: verifier.Audience("a"), MaxAge: -1}
	_, err := verifier.New([]verifier.Policy{trust}, &fixed{}, verifier.Config{})
	require.ErrorContains(t, err, "MaxAge is negative")
	v := newVerifier(t, w, func(_ *verifier.Policy, c *parts) {
		c.Leeway = -time.Hour
		c.CacheSize = -7
	})
	_, err = v.Verify(t.Context(), w.Issue(east, fakeissuer.Claims{ExpiresIn: time.Minute}))
	require.NoError(t, err, "a negative Leeway is none, not less")
	_, err = v.Verify(t.Context(), w.Issue(east, fakeissuer.Claims{ExpiresIn: -time.Second}))
	require.Equal(t, "expired", reasonOf(t, err))
	_, err = verifier.New([]verifier.Policy{trust}, &fixed{}, verifier.Config{MaxTokenBytes: -1})
	require.ErrorContains(t, err, "MaxTokenBytes -1")
}
