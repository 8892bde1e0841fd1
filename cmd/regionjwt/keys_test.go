package main_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// publicKey reads the file for services.
func publicKey(t *testing.T, path string) ed25519.PublicKey {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	block, rest := pem.Decode(data)
	require.NotNil(t, block)
	require.Empty(t, rest)
	require.Equal(t, "PUBLIC KEY", block.Type)
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	require.NoError(t, err)
	return key.(ed25519.PublicKey)
}

func TestKeygen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	r := tool{}.run(t, "keygen", "--out", path)
	require.Zero(t, r.code, r.errors)
	private, err := os.ReadFile(path)
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
	block, _ := pem.Decode(private)
	require.Equal(t, "PRIVATE KEY", block.Type)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	require.NoError(t, err)
	require.Equal(t, publicKey(t, path+".pub"), key.(ed25519.PrivateKey).Public())
	require.Equal(t, base64.StdEncoding.EncodeToString(publicKey(t, path+".pub")), strings.TrimSpace(r.out))
	seed := key.(ed25519.PrivateKey).Seed()
	for _, secret := range []string{base64.StdEncoding.EncodeToString(seed), strings.Split(string(private), "\n")[1]} {
		require.NotContains(t, r.out+r.errors, secret)
	}

	tool{}.fails(t, 2, []string{"never overwritten", "--out"}, "keygen", "--out", path)
	require.NoError(t, os.Remove(path+".pub"))
	tool{}.fails(t, 2, []string{"never overwritten"}, "keygen", "--out", path)
	require.NoFileExists(t, path+".pub", "that of a key which was not made")
	again, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, private, again)
	tool{}.fails(t, 2, []string{"no such file"}, "keygen", "--out", filepath.Join(path+"-", "key"))

	out := decode[map[string]string](t, tool{}.ok(t, "keygen", "--json", "--out", path+"2"))
	require.Equal(t, path+"2", out["private_key_file"])
	require.Equal(t, path+"2.pub", out["public_key_file"])
	require.Equal(t, base64.StdEncoding.EncodeToString(publicKey(t, path+"2.pub")), out["public_key"])
}

func TestKeyFilesAreJudged(t *testing.T) {
	t.Parallel()
	tl, dir := signing(t)
	key, pub := filepath.Join(dir, "key"), filepath.Join(dir, "key.pub")
	secret := filepath.Join(dir, "secret")
	require.NoError(t, os.WriteFile(secret, []byte(base64.StdEncoding.EncodeToString(make([]byte, 32))+"\n"), 0o600))
	junk := filepath.Join(dir, "junk")
	require.NoError(t, os.WriteFile(junk, []byte("TOPSECRET"), 0o600))
	short := filepath.Join(dir, "short")
	require.NoError(t, os.WriteFile(short, []byte(base64.StdEncoding.EncodeToString(make([]byte, 31))), 0o600))
	long := filepath.Join(dir, "long")
	require.NoError(t, os.WriteFile(long, make([]byte, 1<<20), 0o600))
	plain := tool{}.with("REGIONJWT_STORE", tl.env["REGIONJWT_STORE"], "REGIONJWT_FLEET", "test")
	plain.ok(t, "status", "--sign-key", key)
	plain.ok(t, "status", "--verify-key", pub)
	plain.ok(t, "status", "--secret-file", secret)

	for name, test := range map[string]struct {
		flag, file string
		mode       os.FileMode
		says       string
	}{
		"private key that others can read": {"--sign-key", key, 0o640, "chmod 600"},
		"private key that all can write":   {"--sign-key", key, 0o602, "chmod 600"},
		"public key that others can write": {"--verify-key", pub, 0o664, "chmod 644"},
		"secret that others can read":      {"--secret-file", secret, 0o604, "chmod 600"},
		"junk as private key":              {"--sign-key", junk, 0o600, "regionjwt keygen"},
		"public key as private key":        {"--sign-key", pub, 0o600, "regionjwt keygen"},
		"private key as public key":        {"--verify-key", key, 0o600, "Ed25519 public key"},
		"junk as secret":                   {"--secret-file", junk, 0o600, "base64"},
		"secret that is too short":         {"--secret-file", short, 0o600, "31 bytes"},
		"a directory":                      {"--sign-key", dir, 0o700, "not a regular file"},
		"a long file":                      {"--sign-key", long, 0o600, "too long"},
	} {
		require.NoError(t, os.Chmod(test.file, test.mode))
		for _, format := range []string{"--json=false", "--json"} {
			r := plain.fails(t, 2, []string{test.flag + ": ", test.says}, "status", test.flag, test.file, format)
			require.NotContains(t, r.out+r.errors, "TOPSECRET", name)
		}
		require.NoError(t, os.Chmod(test.file, map[bool]os.FileMode{true: 0o700, false: 0o600}[test.file == dir]))
	}

	tool{}.ok(t, "keygen", "--out", key+"2")
	tl.fails(t, 2, []string{"none of --verify-key"}, "status", "--verify-key", key+"2.pub")
	tl.ok(t, "status", "--verify-key", key+"2.pub", "--verify-key", pub)
	tl.ok(t, "status", "--verify-key", key+"2.pub,"+pub)
	plain.fails(t, 2, []string{"REGIONJWT_SIGN_KEY"}, "revoke", "--verify-key", pub, "--provider", "a", "--kid", "k")
}
