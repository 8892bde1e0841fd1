package verifier_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/verifier"
)

// A hook that panics changes no decision.
func TestAHookThatPanicsChangesNoDecision(t *testing.T) {
	t.Parallel()
	w := newWatched(t, func(trust *verifier.Trust) { trust.RequiredClaims = []string{"tenant"} })
	called := 0
	w.config.Hooks = verifier.Hooks{
		Verified: func(context.Context, verifier.Verified) { called++; panic("s3cret") },
		Drifted:  func(context.Context, verifier.Drift) { called++; panic(errors.New("s3cret")) },
	}
	w.renew(t)
	region := w.Authority().Regions[0].Name
	good := w.Token(region, issuertest.Claims{Set: map[string]any{"tenant": "a"}})
	for range 2 {
		tok, err := w.Verify(t.Context(), good)
		require.NoError(t, err)
		require.Equal(t, region, tok.Region())
	}
	_, err := w.Verify(t.Context(), w.Token(region, issuertest.Claims{}))
	require.Equal(t, "missing_claim", reasonOf(t, err))
	_, err = w.Verify(t.Context(), "x")
	require.Equal(t, "malformed", reasonOf(t, err))
	require.Equal(t, 5, called)
}

// wild decides, and panics while on is set: as a Revoker, a RegionPolicy, or a Check.
type wild struct{ on, onVersion bool }

func (w *wild) may() {
	if w.on {
		panic("s3cret")
	}
}

func (w *wild) Revoked(*verifier.Token) (string, error) {
	w.may()
	return "", nil
}

func (w *wild) Version() uint64 {
	if w.onVersion {
		panic("s3cret")
	}
	return 0
}

func (w *wild) Admit(string, []string, time.Time) error {
	w.may()
	return nil
}

// Where code of others that decides on a token panics, nobody can tell whether the token is good: it is not accepted, and not
// called bad, be it new or remembered.
func TestADecisionThatPanicsIsUnavailable(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		set  func(*verifier.Config, *wild)
		want verifier.Reason
	}{
		"Revoked": {func(c *verifier.Config, w *wild) { c.Revoked = w }, verifier.RulesUnavailable},
		"Regions": {func(c *verifier.Config, w *wild) { c.Trust[0].Regions = w }, verifier.RegionInactive},
		"Check": {func(c *verifier.Config, w *wild) {
			c.Trust[0].Check = func(context.Context, *verifier.Token) error {
				w.may()
				return nil
			}
		}, verifier.CheckFailed},
	} {
		w, p := newWatched(t, nil), &wild{}
		c.set(&w.config, p)
		w.renew(t)
		region := w.Authority().Regions[0].Name
		remembered := w.Token(region, issuertest.Claims{})
		_, err := w.Verify(t.Context(), remembered)
		require.NoError(t, err, name)
		p.on, p.onVersion = true, true // a Version that panics makes everybody ask again
		for _, raw := range []string{w.Token(region, issuertest.Claims{Subject: "another"}), remembered} {
			tok, err := w.Verify(t.Context(), raw)
			require.Nil(t, tok, name)
			require.ErrorIs(t, err, verifier.ErrUnavailable, name)
			var e *verifier.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, c.want, e.Reason, name)
			require.GreaterOrEqual(t, e.RetryAfter, time.Second, name)
			require.NotContains(t, err.Error(), "s3cret")
			require.ErrorContains(t, err, "panicked")
		}
		p.on = false
		_, err = w.Verify(t.Context(), remembered)
		require.NoError(t, err, name)
	}
}

// hollow is an error that panics when its chain is walked, if it is a nil pointer; reluctant is one that does not say what it is.
type (
	hollow    struct{ cause error }
	reluctant struct{}
)

func (*hollow) Error() string       { return "hollow" }
func (h *hollow) Unwrap() error     { return h.cause }
func (reluctant) Error() string     { return "reluctant" }
func (reluctant) Unavailable() bool { panic("s3cret") }

// refusing decides by one error.
type refusing struct{ err error }

func (r refusing) Revoked(*verifier.Token) (string, error)      { return "", r.err }
func (r refusing) Version() uint64                              { return 0 }
func (r refusing) Admit(string, []string, time.Time) error      { return r.err }
func (r refusing) check(context.Context, *verifier.Token) error { return r.err }

// A decision whose error panics when it is looked at is none.
func TestADecisionByAnErrorThatPanicsIsUnavailable(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		set  func(*verifier.Config)
		want verifier.Reason
	}{
		"Revoked":            {func(c *verifier.Config) { c.Revoked = refusing{(*hollow)(nil)} }, verifier.RulesUnavailable},
		"Regions":            {func(c *verifier.Config) { c.Trust[0].Regions = refusing{(*hollow)(nil)} }, verifier.RegionInactive},
		"Regions, reluctant": {func(c *verifier.Config) { c.Trust[0].Regions = refusing{reluctant{}} }, verifier.RegionInactive},
		"Check":              {func(c *verifier.Config) { c.Trust[0].Check = refusing{(*hollow)(nil)}.check }, verifier.CheckFailed},
	} {
		w := newWatched(t, nil)
		c.set(&w.config)
		w.renew(t)
		tok, err := w.Verify(t.Context(), w.Token(w.Authority().Regions[0].Name, issuertest.Claims{}))
		require.Nil(t, tok, name)
		require.ErrorIs(t, err, verifier.ErrUnavailable, name)
		require.NotErrorIs(t, err, context.Canceled, name)
		var e *verifier.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, c.want, e.Reason, name)
		require.GreaterOrEqual(t, e.RetryAfter, time.Second, name)
		require.NotContains(t, err.Error(), "s3cret")
		require.ErrorContains(t, err, "panicked", name)
	}
}
