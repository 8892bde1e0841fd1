package dpop_test

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/middleware/dpop"
	"github.com/regionjwt/regionjwt/verifier"
)

func key(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func newNonces(t *testing.T, ahead time.Duration, keys ...[]byte) dpop.Nonces {
	t.Helper()
	n, err := dpop.NewNonces(keys, func() time.Time { return time.Now().Add(ahead) })
	require.NoError(t, err)
	return n
}

func TestNonceIsRequired(t *testing.T) {
	t.Parallel()
	s := signerFor(t, "ES256")
	now := issued
	clock := func() time.Time { return now }
	c := newCheckerAt(t, dpop.Config{NonceKeys: [][]byte{key(1)}, MaxAge: 10 * time.Minute}, 0, clock)
	nonce := c.Nonce()
	require.Regexp(t, `^[\w-]{22}$`, nonce)
	other := newCheckerAt(t, dpop.Config{NonceKeys: [][]byte{key(2)}}, 0, clock)
	for name, claims := range map[string]members{
		"missing":           nil,
		"empty":             {"nonce": ""},
		"not text":          {"nonce": 1},
		"wrong":             {"nonce": "x"},
		"made up":           {"nonce": strings.Repeat("A", len(nonce))},
		"of another server": {"nonce": other.Nonce()},
		"mutated":           {"nonce": nonce[:len(nonce)-1] + "."},
	} {
		err := dpop.CheckPresentation(t.Context(), c, s.request(s.proof(t, nil, claims)))
		require.Error(t, err, name)
		requireRejected(t, err, verifier.ReasonNonceRequired, dpop.ErrNonce)
	}
	bad := s.request(s.proof(t, nil, nil))
	bad.Method = "POST"
	requireRejected(t, dpop.CheckPresentation(t.Context(), c, bad), verifier.ReasonProofFailed, dpop.ErrMethod)

	good := s.proof(t, nil, members{"nonce": nonce})
	require.NoError(t, dpop.CheckPresentation(t.Context(), c, s.request(good)))
	now = issued.Add(5 * time.Minute)
	require.NoError(t, dpop.CheckPresentation(t.Context(), c, s.request(s.proof(t, nil, members{"jti": "two", "nonce": nonce}))))
	now = issued.Add(10 * time.Minute)
	late := s.proof(t, nil, members{"jti": "three", "nonce": nonce})
	requireRejected(t, dpop.CheckPresentation(t.Context(), c, s.request(late)), verifier.ReasonNonceRequired, dpop.ErrNonce)
}

func TestNoncesRotate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNonces(t, 0, key(1))
		time.Sleep(5*time.Minute - time.Duration(time.Now().UnixNano()%int64(5*time.Minute))) // the start of a period
		first := n.Current()
		time.Sleep(5*time.Minute - 1)
		require.Equal(t, first, n.Current())
		time.Sleep(time.Nanosecond)
		require.NotEqual(t, first, n.Current())
		require.True(t, n.Valid(first))
		require.True(t, n.Valid(n.Current()))
		time.Sleep(5*time.Minute - 1)
		require.True(t, n.Valid(first))
		time.Sleep(time.Nanosecond)
		require.False(t, n.Valid(first))
	})
}

func TestNoncesOfAFleet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newNonces(t, 0, key(1))
		require.True(t, a.Valid(newNonces(t, 5*time.Minute, key(1)).Current()), "of a process whose clock is ahead")
		require.False(t, a.Valid(newNonces(t, 10*time.Minute, key(1)).Current()))

		secret := key(2)
		both := newNonces(t, 0, key(1), secret)
		clear(secret)
		swapped := newNonces(t, 0, key(2), key(1))
		after := newNonces(t, 0, key(2))
		require.Equal(t, a.Current(), both.Current())
		require.Equal(t, after.Current(), swapped.Current())
		require.True(t, both.Valid(after.Current()))
		require.True(t, swapped.Valid(a.Current()))
		require.False(t, after.Valid(a.Current()))
	})
}

// Without keys, no nonce is given out, and one in a proof is ignored.
func TestNoNonces(t *testing.T) {
	t.Parallel()
	s := signerFor(t, "ES256")
	c := newChecker(t, dpop.Config{})
	require.Empty(t, c.Nonce())
	require.NoError(t, dpop.CheckPresentation(t.Context(), c, s.request(s.proof(t, nil, members{"nonce": "x"}))))
}
