package redisstore_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/store/redisstore"
	"github.com/regionjwt/regionjwt/store/storetest"
)

// The contract holds through lost answers, silence, faster writers and a closed client.
func TestContractThroughFaults(t *testing.T) {
	t.Parallel()
	srv := startServer(t)
	for name, wrap := range map[string]func(*testing.T, store.Store) store.Store{
		"plain":     func(_ *testing.T, s store.Store) store.Store { return s },
		"signed":    signed,
		"encrypted": encrypted,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, config := startProxy(t, srv.socket), redisstore.Config{Prefix: name + ":", Timeout: patient}
			c := client(t, p.socket)
			one, other := wrap(t, newStore(t, c, config)), wrap(t, newStore(t, client(t, srv.socket), config))
			require.NoError(t, storetest.CheckFaults(t.Context(), one, other, "faults ", p.faults(c)))
		})
	}
}

// FuzzFraming reads a stream in pieces of two sizes: that changes neither whether it is malformed, nor how. What is passed on is
// the start of what was said.
func FuzzFraming(f *testing.F) {
	for _, replies := range []map[string]string{malformed(), wrong} {
		for _, reply := range replies {
			if len(reply) < 1<<16 {
				f.Add([]byte("+OK\r\n"+reply), uint16(1))
			}
		}
	}
	f.Add([]byte(strings.Repeat(">1\r\n+x\r\n", 5000)), uint16(7))
	f.Fuzz(func(t *testing.T, said []byte, piece uint16) {
		got, err := whole(t, string(said), int(piece)+1)
		again, errAgain := whole(t, string(said), len(said)+1)
		require.Equal(t, err == nil, errAgain == nil)
		if err != nil {
			require.Equal(t, errAgain.Error(), err.Error())
		}
		for _, passed := range []string{got, again} {
			require.True(t, bytes.HasPrefix(said, []byte(passed)))
		}
	})
}
