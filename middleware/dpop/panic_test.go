package dpop_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/middleware/dpop"
	"github.com/regionjwt/regionjwt/verifier"
)

// wild panics in all its methods.
type wild struct{}

func (wild) Seen(context.Context, string, time.Time) (bool, error) { panic("s3cret") }
func (wild) Current() string                                       { panic("s3cret") }
func (wild) Valid(string) bool                                     { panic("s3cret") }

// Where the memory of proofs or the nonces panic, nobody can tell whether a proof is good: it is refused, and not called bad.
func TestMemoryAndNoncesThatPanic(t *testing.T) {
	t.Parallel()
	s := signerFor(t, "ES256")
	for name, config := range map[string]dpop.Config{"Replay": {Replay: wild{}}, "Nonces": {Nonces: wild{}}} {
		c := newChecker(t, config)
		err := c.Check(t.Context(), s.request(s.proof(t, nil, nil)))
		var e *verifier.Error
		require.ErrorAs(t, err, &e, name)
		require.Equal(t, verifier.ReasonProofUnavailable, e.Reason, name)
		require.ErrorIs(t, err, verifier.ErrUnavailable, name)
		require.NotContains(t, err.Error(), "s3cret")
		require.Empty(t, c.Nonce(), name)
	}
}
