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

func newNonces(t *testing.T, c dpop.NonceConfig) *dpop.TimedNonces {
	t.Helper()
	n, err := dpop.NewNonces(c)
	require.NoError(t, err)
	return n
}

func TestNonceIsDemanded(t *testing.T) {
	t.Parallel()
	s := signerFor(t, "ES256")
	now := issued
	clock := func() time.Time { return now }
	nonces := newNonces(t, dpop.NonceConfig{Keys: [][]byte{key(1)}, Period: 10 * time.Second, Now: clock})
	c := newChecker(t, dpop.Config{Nonces: nonces, Now: clock})
	nonce := c.Nonce()
	require.Equal(t, nonces.Current(), nonce)
	for name, claims := range map[string]members{
		"missing":  nil,
		"empty":    {"nonce": ""},
		"not text": {"nonce": 1},
		"wrong":    {"nonce": "x"},
		"made up":  {"nonce": strings.Repeat("A", len(nonce))},
		"of another server": {
			"nonce": newNonces(t, dpop.NonceConfig{Keys: [][]byte{key(2)}, Period: 10 * time.Second, Now: clock}).Current(),
		},
		"mutated": {"nonce": nonce[:len(nonce)-1] + "."},
	} {
		err := c.Check(t.Context(), s.request(s.proof(t, nil, claims)))
		require.Error(t, err, name)
		requireRefused(t, err, verifier.ReasonNonceRequired, dpop.ErrNonce)
	}
	bad := s.request(s.proof(t, nil, nil))
	bad.Method = "POST"
	requireRefused(t, c.Check(t.Context(), bad), verifier.ReasonInvalidProof, dpop.ErrMethod)

	good := s.proof(t, nil, members{"nonce": nonce})
	require.NoError(t, c.Check(t.Context(), s.request(good)))
	now = issued.Add(10 * time.Second)
	require.NoError(t, c.Check(t.Context(), s.request(s.proof(t, nil, members{"jti": "two", "nonce": nonce}))))
	now = issued.Add(20 * time.Second)
	late := s.proof(t, nil, members{"jti": "three", "nonce": nonce})
	requireRefused(t, c.Check(t.Context(), s.request(late)), verifier.ReasonNonceRequired, dpop.ErrNonce)
}

func TestNoncesRotate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNonces(t, dpop.NonceConfig{Keys: [][]byte{key(1)}})
		time.Sleep(5*time.Minute - time.Duration(time.Now().UnixNano()%int64(5*time.Minute))) // the start of a period
		first := n.Current()
		require.Regexp(t, `^[\w-]{22}$`, first)
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
	clock := func(ahead time.Duration) func() time.Time { return func() time.Time { return issued.Add(ahead) } }
	a := newNonces(t, dpop.NonceConfig{Keys: [][]byte{key(1)}, Now: clock(0)})
	ahead := newNonces(t, dpop.NonceConfig{Keys: [][]byte{key(1)}, Now: clock(5 * time.Minute)})
	require.True(t, a.Valid(ahead.Current()), "of a process whose clock is ahead")
	far := newNonces(t, dpop.NonceConfig{Keys: [][]byte{key(1)}, Now: clock(10 * time.Minute)})
	require.False(t, a.Valid(far.Current()))
	twice := func() time.Time { return time.Unix(2*issued.Unix(), 0) }
	slow := newNonces(t, dpop.NonceConfig{Keys: [][]byte{key(1)}, Period: 10 * time.Minute, Now: twice})
	require.False(t, a.Valid(slow.Current()), "of another period, although of the same number")

	secret := key(2)
	both := newNonces(t, dpop.NonceConfig{Keys: [][]byte{key(1), secret}, Now: clock(0)})
	clear(secret)
	turned := newNonces(t, dpop.NonceConfig{Keys: [][]byte{key(2), key(1)}, Now: clock(0)})
	after := newNonces(t, dpop.NonceConfig{Keys: [][]byte{key(2)}, Now: clock(0)})
	require.Equal(t, a.Current(), both.Current())
	require.Equal(t, after.Current(), turned.Current())
	require.True(t, both.Valid(after.Current()))
	require.True(t, turned.Valid(a.Current()))
	require.False(t, after.Valid(a.Current()))
}

func TestNonceConfig(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config   dpop.NonceConfig
		mistakes int
	}{
		"zero":       {dpop.NonceConfig{}, 1},
		"short key":  {dpop.NonceConfig{Keys: [][]byte{key(1), key(1)[1:], nil}}, 2},
		"many keys":  {dpop.NonceConfig{Keys: [][]byte{key(1), key(2), key(3), key(4), key(5)}}, 1},
		"too fast":   {dpop.NonceConfig{Keys: [][]byte{key(1)}, Period: 9 * time.Second}, 1},
		"too slow":   {dpop.NonceConfig{Keys: [][]byte{key(1)}, Period: time.Hour + time.Second}, 1},
		"fractions":  {dpop.NonceConfig{Keys: [][]byte{key(1)}, Period: 10*time.Second + 1}, 1},
		"everything": {dpop.NonceConfig{Period: -1}, 2},
	} {
		n, err := dpop.NewNonces(c.config)
		require.Nil(t, n, name)
		require.Error(t, err, name)
		require.Len(t, strings.Split(err.Error(), "\n"), c.mistakes, name)
	}
	for _, n := range []*dpop.TimedNonces{nil, {}} {
		require.Empty(t, n.Current())
		require.False(t, n.Valid(""))
		require.False(t, n.Valid(strings.Repeat("A", 22)))
	}
}
