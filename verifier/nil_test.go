package verifier_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/nils/nilstest"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

type sourceFunc func(context.Context, jwks.Query) jwks.Result

func (f sourceFunc) Lookup(ctx context.Context, q jwks.Query) jwks.Result { return f(ctx, q) }

func (sourceFunc) Changed() <-chan struct{} { return nil }

type revokerFunc func(*verifier.Token) (string, error)

func (f revokerFunc) Revoked(t *verifier.Token) (string, error) { return f(t) }
func (f revokerFunc) Version() uint64                           { _, _ = f(nil); return 0 }
func (revokerFunc) Changed() <-chan struct{}                    { return nil }

// New and Update refuse what is set and is nil, all of it at once.
func TestNilsAreRefused(t *testing.T) {
	t.Parallel()
	w := issuertest.New(t, fast(issuertest.IssuerPerRegion))
	good := verifier.Config{
		Keys: &fixed{}, Policies: []verifier.Policy{{Provider: w.Provider(), Audience: verifier.Audience("a")}},
	}
	v, err := verifier.New(good)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		change func(*verifier.Config)
		want   []string
	}{
		"no keys":         {func(c *verifier.Config) { c.Keys = nil }, []string{"Keys"}},
		"nil Cache":       {func(c *verifier.Config) { c.Keys = (*jwks.Cache)(nil) }, []string{"Keys"}},
		"nil pointer":     {func(c *verifier.Config) { c.Keys = (*fixed)(nil) }, []string{"Keys"}},
		"nil function":    {func(c *verifier.Config) { c.Keys = sourceFunc(nil) }, []string{"Keys"}},
		"nil rules":       {func(c *verifier.Config) { c.Revocation = (*twins)(nil) }, []string{"Revoked"}},
		"nil rules func":  {func(c *verifier.Config) { c.Revocation = revokerFunc(nil) }, []string{"Revoked"}},
		"nil map":         {func(c *verifier.Config) { c.Revocation = revokedIDs(nil) }, []string{"Revoked"}},
		"nil policy":      {func(c *verifier.Config) { c.Policies[0].Regions = (*twins)(nil) }, []string{"Regions"}},
		"nil policy func": {func(c *verifier.Config) { c.Policies[0].Regions = policy(nil) }, []string{"Regions"}},
		"all of it": {func(c *verifier.Config) {
			c.Keys, c.Revocation, c.Policies[0].Regions = (*fixed)(nil), (*twins)(nil), policy(nil)
		}, []string{"Keys", "Revoked", "Regions"}},
		"nothing": {func(c *verifier.Config) { *c = verifier.Config{} }, []string{"Keys", "Policies"}},
	} {
		bad := good
		bad.Policies = []verifier.Policy{good.Policies[0]}
		c.change(&bad)
		_, err := verifier.New(bad)
		require.Error(t, err, name)
		for _, want := range c.want {
			require.ErrorContains(t, err, want, name)
		}
		require.ErrorContains(t, err, "verifier: ", name)
		if len(bad.Policies) == 0 || bad.Policies[0].Regions != nil {
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
		require.Empty(t, v.Status())
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
	nilstest.Methods(t, "", []string{"Token.Confirmation", "Token.Confirmations"}, []any{""}, new(verifier.Token))
	for range new(verifier.Token).ClientIDs() {
		t.Fatal("it names a client")
	}
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

// Durations that are less than nothing are refused, but for Leeway, where they mean none.
func TestNegativeDurations(t *testing.T) {
	t.Parallel()
	w := issuertest.New(t, fast(issuertest.IssuerPerRegion))
	trust := verifier.Policy{Provider: w.Provider(), Audience: verifier.Audience("a"), MaxAge: -1}
	_, err := verifier.New(verifier.Config{Keys: &fixed{}, Policies: []verifier.Policy{trust}})
	require.ErrorContains(t, err, "MaxAge is negative")
	v := newVerifier(t, w, func(_ *verifier.Policy, c *verifier.Config) {
		c.Leeway = -time.Hour
		c.CacheSize = -7
	})
	_, err = v.Verify(t.Context(), w.Token(east, issuertest.Claims{ExpiresIn: time.Minute}))
	require.NoError(t, err, "a negative Leeway is none, not less")
	_, err = v.Verify(t.Context(), w.Token(east, issuertest.Claims{ExpiresIn: -time.Second}))
	require.Equal(t, "expired", reasonOf(t, err))
	_, err = verifier.New(verifier.Config{Keys: &fixed{}, MaxTokenBytes: -1, Policies: []verifier.Policy{trust}})
	require.ErrorContains(t, err, "MaxTokenBytes -1")
}
