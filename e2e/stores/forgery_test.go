package stores_test

import (
	"bytes"
	"crypto/ed25519"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
)

// forgeries are documents that nobody with a key has written for this fleet and this name, and old ones, which are genuine.
func forgeries(t *testing.T, before []byte) (all [][]byte) {
	t.Helper()
	written := func(fleet, name string, key ed25519.PrivateKey) []byte {
		inner := store.Dir(filepath.Join(t.TempDir(), "store"))
		signed := store.Signed(inner, fleet, key, store.PublicKey{Key: key.Public().(ed25519.PublicKey)})
		l, err := revocation.New(revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{signed}, Name: name}})
		require.NoError(t, err)
		_, err = l.Add(t.Context(), revocation.Rule{Provider: "*", Subject: "forged", Note: "forged"})
		require.NoError(t, err)
		data, _, err := inner.Load(t.Context(), name, "")
		require.NoError(t, err)
		return data
	}
	flipped := bytes.Clone(before)
	flipped[len(flipped)/2] ^= 1
	stripped := before[bytes.IndexByte(before, '{'):]
	return [][]byte{
		before, before, // a replay
		written("staging", document, keyNumber(1)),     // of another fleet
		written(fleet, "another name", keyNumber(1)),   // of another document
		written(fleet, document, keyNumber(2)),         // by another key
		flipped, stripped, before[:len(before)-1], nil, // changed
		append(bytes.Clone(before), '\n'), []byte("{}"), []byte(strings.Repeat("[", 1<<20)), bytes.Repeat([]byte{0}, 4<<20),
	}
}
