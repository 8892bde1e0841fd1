package store_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/store"
)

func pemOf(t *testing.T, kind string, key any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// ReadPublicKey reads one Ed25519 key, from a file that only its owner can write.
func TestReadPublicKey(t *testing.T) {
	t.Parallel()
	private, public := keyOf(secret)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	genuine := pemOf(t, "PUBLIC KEY", public.Key)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		content string
		mode    os.FileMode
		want    string // part of the error; "" for none
	}{
		"key":                 {genuine, 0o644, ""},
		"key and line":        {genuine + "\n", 0o600, ""},
		"two keys":            {genuine + genuine, 0o644, "not one Ed25519 public key"},
		"other type":          {pemOf(t, "PUBLIC KEY", other.Public()), 0o644, "not one Ed25519"},
		"other label":         {pemOf(t, "CERTIFICATE", public.Key), 0o644, "not one Ed25519"},
		"private key":         {string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})), 0o644, "not one Ed25519"},
		"no PEM":              {"junk", 0o644, "not one Ed25519"},
		"empty":               {"", 0o644, "not one Ed25519"},
		"huge":                {genuine + strings.Repeat("\n", 64<<10), 0o644, "more than 65536 bytes"},
		"the group can write": {genuine, 0o664, "other users can write"},
		"others can write":    {genuine, 0o646, "other users can write"},
	} {
		file := filepath.Join(t.TempDir(), "key.pub")
		require.NoError(t, os.WriteFile(file, []byte(c.content), 0o600))
		require.NoError(t, os.Chmod(file, c.mode))
		key, err := store.ReadPublicKey(file)
		if c.want == "" {
			require.NoError(t, err, name)
			require.Equal(t, public, key, name)
			continue
		}
		require.ErrorContains(t, err, c.want, name)
		require.ErrorContains(t, err, file, name)
		require.Nil(t, key.Key, name)
	}
	for _, file := range []string{t.TempDir(), filepath.Join(t.TempDir(), "absent"), ""} {
		_, err := store.ReadPublicKey(file)
		require.Error(t, err)
	}
	require.Error(t, problems(store.Signed(new(memory), "f", nil, store.PublicKey{Key: ed25519.PublicKey{}})))
}
