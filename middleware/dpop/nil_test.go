package dpop_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/nils/nilstest"
	"github.com/regionjwt/regionjwt/middleware/dpop"
	"github.com/regionjwt/regionjwt/verifier"
)

func TestCheckersThatNewHasNotMade(t *testing.T) {
	t.Parallel()
	nilstest.Methods(t, "New", nil, []any{httptest.NewRequest(method, url, nil)}, (*dpop.Checker)(nil), new(dpop.Checker))
}

// A request or token that is nil is a mistake of the caller: the proof is not called bad.
func TestCheckOfNil(t *testing.T) {
	t.Parallel()
	c := newChecker(t, dpop.Config{})
	requireRejected(t, c.Check(nil, url, new(verifier.Token)), verifier.ReasonProofUnavailable, dpop.ErrNil)
	requireRejected(t, c.Check(httptest.NewRequest(method, url, nil), url, nil), verifier.ReasonProofUnavailable, dpop.ErrNil)
}

// A negative duration is an error, except for Leeway, where it means none.
func TestNegativeDurations(t *testing.T) {
	t.Parallel()
	_, err := dpop.New(dpop.Config{MaxAge: -time.Nanosecond})
	require.ErrorContains(t, err, "MaxAge is negative")
	_, err = dpop.New(dpop.Config{Leeway: -time.Hour})
	require.NoError(t, err)
}
