package verifier_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/internal/signal"
	"github.com/regionjwt/regionjwt/verifier"
)

type revoker struct {
	rule    string
	err     error
	changed signal.Signal
}

func (r *revoker) set(rule string, err error) {
	r.rule, r.err = rule, err
	r.changed.Send()
}

func (r *revoker) Revoked(*verifier.Token) (string, error) { return r.rule, r.err }
func (r *revoker) Changed() <-chan struct{}                { return r.changed.Changed() }

func TestPolicies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testPolicies)
}

func testPolicies(t *testing.T) {
	w := fakeissuer.New(t, fast(fakeissuer.OneIssuer))
	inactive := errors.New("not now")
	var checked atomic.Int64
	var checkErr error
	revoked := &revoker{}
	v := newVerifier(t, w, func(tr *verifier.Policy, c *parts) {
		tr.RegionPolicy = func(a string, possible []string, at time.Time) error {
			if a != "test-provider" || at.IsZero() || slices.Contains(possible, west) {
				return inactive
			}
			return nil
		}
		tr.Check = func(context.Context, *verifier.Token) error { checked.Add(1); return checkErr }
		c.Revocation = revoked
	})
	ctx := t.Context()
	good := w.Issue(east, fakeissuer.Claims{})
	_, err := v.Verify(ctx, w.Issue(west, fakeissuer.Claims{}))
	require.Equal(t, "region_inactive", reasonOf(t, err))
	require.ErrorIs(t, err, inactive)
	_, err = v.Verify(ctx, good)
	require.NoError(t, err)
	n := checked.Load()
	tok, err := v.Verify(ctx, good)
	require.NoError(t, err)
	require.Equal(t, n+1, checked.Load(), "Check runs each time")

	for _, c := range []struct {
		err, category error
	}{
		{errors.New("no"), verifier.ErrInvalid},
		{fmt.Errorf("no: %w", verifier.ErrForbidden), verifier.ErrForbidden},
		{fmt.Errorf("database: %w", verifier.ErrUnavailable), verifier.ErrUnavailable},
		{errors.Join(verifier.ErrForbidden, verifier.ErrInvalid, context.Canceled), verifier.ErrForbidden},
		{&verifier.Error{Reason: verifier.ReasonRulesUnavailable}, verifier.ErrUnavailable},
	} {
		checkErr = c.err
		_, err = v.Verify(ctx, good)
		require.Equal(t, "check_failed", reasonOf(t, err))
		require.ErrorIs(t, err, c.category)
		require.ErrorIs(t, errors.Join(err), c.category)
	}
	checkErr = errors.Join(verifier.ErrForbidden, context.Canceled)
	_, err = v.Verify(ctx, good)
	require.ErrorIs(t, err, context.Canceled, "the cause is not hidden")

	checkErr = nil
	revoked.set("rule-1", nil)
	_, err = v.Verify(ctx, good)
	require.Equal(t, "revoked", reasonOf(t, err))
	require.Equal(t, "revoked", reasonOf(t, v.Recheck(ctx, tok)))
	revoked.set("", errors.New("store is dark"))
	_, err = v.Verify(ctx, good)
	require.Equal(t, "rules_unavailable", reasonOf(t, err))
	require.ErrorIs(t, v.Recheck(ctx, tok), verifier.ErrUnavailable)
	revoked.set("", nil)
	require.NoError(t, v.Recheck(ctx, tok))
}

// An error has one category, whatever its cause wraps.
func TestCausesDoNotChangeTheCategory(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
	w.Hang(east)
	v := newVerifier(t, w, nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := &verifier.Error{Reason: verifier.ReasonRevoked}
	cancel(errors.Join(cause, verifier.ErrForbidden))
	_, err := v.Verify(ctx, w.Issue(east, fakeissuer.Claims{}))
	require.Equal(t, "keys_unavailable", reasonOf(t, err))

	admit := error(nil)
	v = newVerifier(t, w, func(tr *verifier.Policy, _ *parts) {
		tr.MaxAge = 1<<63 - 1
		tr.RegionPolicy = func(string, []string, time.Time) error { return admit }
	})
	tok, err := v.Verify(t.Context(), w.Issue(west, fakeissuer.Claims{}))
	require.NoError(t, err)
	admit = fmt.Errorf("store is dark: %w", verifier.ErrUnavailable)
	err = v.Recheck(t.Context(), tok)
	require.Equal(t, "region_inactive", reasonOf(t, err))
	require.ErrorIs(t, err, verifier.ErrUnavailable)
	admit = errors.Join(verifier.ErrForbidden)
	require.ErrorIs(t, v.Recheck(t.Context(), tok), verifier.ErrInvalid)
}
