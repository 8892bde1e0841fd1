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

func (w *wild) Changed() <-chan struct{} {
	w.may()
	return nil
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
