// Package keys reads and makes the keys of operators.
package keys

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/internal/limit"
	"github.com/regionjwt/regionjwt/internal/pseudonym"
	"github.com/regionjwt/regionjwt/store"
)

const (
	maxKeyFile     = limit.KeyFileBytes
	privatePEM     = "PRIVATE KEY"
	publicPEM      = "PUBLIC KEY"
	privateForbids = fs.FileMode(0o077)
)

// readKeyFile reads a file that the operator names, unless others can read or change it.
func readKeyFile(flagName, path string) ([]byte, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, cli.Fail(cli.ExitUsage, "--%s: %w", flagName, err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, cli.Fail(cli.ExitUsage, "--%s: %w", flagName, err)
	}
	if mode := info.Mode().Perm(); mode&privateForbids != 0 && runtime.GOOS != "windows" {
		return nil, cli.Fail(cli.ExitUsage,
			"--%s: others may read or change %s (mode %04o): find out who did, then chmod 600 it, or make a new one",
			flagName, path, mode)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, cli.Fail(cli.ExitUsage, "--%s: %w", flagName, err)
	}
	if len(data) > maxKeyFile {
		return nil, cli.Fail(cli.ExitUsage, "--%s: %s is too long for a key", flagName, path)
	}
	return data, nil
}

// openRegular opens what is a file, and neither a pipe nor a device.
func openRegular(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	return os.Open(path) //nolint:gosec // the operator names the file
}

// ReadPrivate reads the key of --sign-key.
func ReadPrivate(path string) (ed25519.PrivateKey, error) {
	data, err := readKeyFile("sign-key", path)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(data); block != nil && block.Type == privatePEM {
		if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			if private, ok := key.(ed25519.PrivateKey); ok {
				return private, nil
			}
		}
	}
	return nil, cli.Fail(cli.ExitUsage,
		"--sign-key: %s is not an Ed25519 private key (PKCS #8, PEM): make one with 'regionjwt keygen'", path)
}

// ReadPublic reads one key of --verify-key.
func ReadPublic(path string) (store.PublicKey, error) {
	key, err := store.ReadPublicKey(path)
	if err != nil {
		return key, cli.Fail(cli.ExitUsage, "--verify-key: %w", err)
	}
	return key, nil
}

// ReadSecret reads the secret of --secret-file, in base64.
func ReadSecret(path string) ([]byte, error) { return readBase64("secret-file", path) }

// ReadPseudonymKey reads the key of --pseudonym-key, in base64 or as it is.
func ReadPseudonymKey(path string, raw bool) (key []byte, err error) {
	const flagName = "pseudonym-key"
	if raw {
		key, err = readKeyFile(flagName, path)
	} else {
		key, err = readBase64(flagName, path)
	}
	if err != nil {
		return nil, err
	}
	if len(key) < pseudonym.MinKeyBytes {
		return nil, cli.Fail(cli.ExitUsage, "--%s: the key has %d bytes, and needs at least %d: records were not written with it",
			flagName, len(key), pseudonym.MinKeyBytes)
	}
	return key, nil
}

func readBase64(flagName, path string) ([]byte, error) {
	data, err := readKeyFile(flagName, path)
	if err != nil {
		return nil, err
	}
	secret, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(string(data)))
	if err != nil {
		return nil, cli.Fail(cli.ExitUsage,
			"--%s: %s does not hold one line of base64, as 'head -c 32 /dev/urandom | base64' writes it", flagName, path)
	}
	return secret, nil
}
