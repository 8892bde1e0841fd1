package verifier_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// A hook that panics changes no decision.
func TestAHookThatPanicsChangesNoDecision(t *testing.T) {
	t.Parallel()
	w := newWatched(t, func(trust *verifier.Policy) { trust.RequiredClaims = []string{"tenant"} })
	called := 0
	w.config.OnDecision = func(context.Context, verifier.Decision) {
		if called++; called%2 == 0 {
			panic(errors.New("s3cret"))
		}
		panic("s3cret")
	}
	w.renew(t)
	region := w.Provider().Regions[0].Name
	good := w.Issue(region, fakeissuer.Claims{Set: map[string]any{"tenant": "a"}})
	for range 2 {
		tok, err := w.Verify(t.Context(), good)
		require.NoError(t, err)
		require.Equal(t, region, tok.Region())
	}
	_, err := w.Verify(t.Context(), w.Issue(region, fakeissuer.Claims{}))
	require.Equal(t, "missing_claim", reasonOf(t, err))
	_, err = w.Verify(t.Context(), "x")
	require.Equal(t, "malformed", reasonOf(t, err))
	require.Equal(t, 4, called)
}

// wild decides, and panics while on is set: as a Revocation, a RegionPolicy, or a Check.
type wild struct {
	on      bool
	changed chan struct{}
}

func (w *wild) may() {
	if w.on {
		panic("s3cret")
	}
}

func (w *wild) Revoked(*verifier.Token) (string, error) {
	w.may()
	return "", nil
}

func (w *wild) Changed() <-chan struct{} {
	w.may()
	return w.changed
}

func (w *wild) admit(string, []string, time.Time) error {
	w.may()
	return nil
}

// Where code of others that decides on a token panics, nobody can tell whether the token is good: it is not accepted, and not
// called bad, be it new or remembered.
func TestADecisionThatPanicsIsUnavailable(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		set  func(*parts, *wild)
		want verifier.Reason
	}{
		"Revoked": {func(c *parts, w *wild) { c.Revocation = w }, verifier.ReasonRulesUnavailable},
		"Regions": {func(c *parts, w *wild) { c.Policies[0].RegionPolicy = w.admit }, verifier.ReasonRegionInactive},
		"Check": {func(c *parts, w *wild) {
			c.Policies[0].Check = func(context.Context, *verifier.Token) error {
				w.may()
				return nil
			}
		}, verifier.ReasonCheckFailed},
	} {
		w, p := newWatched(t, nil), &wild{changed: make(chan struct{})}
		c.set(&w.config, p)
		w.renew(t)
		region := w.Provider().Regions[0].Name
		remembered := w.Issue(region, fakeissuer.Claims{})
		_, err := w.Verify(t.Context(), remembered)
		require.NoError(t, err, name)
		p.on = true
		close(p.changed) // so that the rules are asked again
		for _, raw := range []string{w.Issue(region, fakeissuer.Claims{Subject: "another"}), remembered} {
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

// hollow is an error that panics when its chain is walked, if it is a nil pointer.
type hollow struct{ cause error }

func (*hollow) Error() string   { return "hollow" }
func (h *hollow) Unwrap() error { return h.cause }

// refusing decides by one error.
type refusing struct{ err error }

func (r refusing) Revoked(*verifier.Token) (string, error) { return "", r.err }
func (r refusing) Changed() <-chan struct{}                { return nil }
func (r refusing) Lookup(context.Context, jwks.Query) jwks.Result {
	return jwks.Result{Err: r.err, Complete: true}
}
func (r refusing) admit(string, []string, time.Time) error      { return r.err }
func (r refusing) check(context.Context, *verifier.Token) error { return r.err }

// A decision whose error panics when it is looked at is none.
func TestADecisionByAnErrorThatPanicsIsUnavailable(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		set  func(*parts)
		want verifier.Reason
	}{
		"Revoked": {func(c *parts) { c.Revocation = refusing{(*hollow)(nil)} }, verifier.ReasonRulesUnavailable},
		"Regions": {func(c *parts) { c.Policies[0].RegionPolicy = refusing{(*hollow)(nil)}.admit }, verifier.ReasonRegionInactive},
		"Keys":    {func(c *parts) { c.Keys = refusing{(*hollow)(nil)} }, verifier.ReasonKeysUnavailable},
		"Check":   {func(c *parts) { c.Policies[0].Check = refusing{(*hollow)(nil)}.check }, verifier.ReasonCheckFailed},
	} {
		w := newWatched(t, nil)
		c.set(&w.config)
		w.renew(t)
		tok, err := w.Verify(t.Context(), w.Issue(w.Provider().Regions[0].Name, fakeissuer.Claims{}))
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
