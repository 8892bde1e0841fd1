package store

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/regionjwt/regionjwt/internal/limit"
)

// PublicKey is a key that verifies documents; see [Signed].
type PublicKey struct {
	// Key is the public half of a private key.
	Key ed25519.PublicKey
	// Documents are the names of the documents for which the key counts. None means all: an operator's key. Name the documents
	// for a key that a machine uses, such as that of "regionjwt rules alive".
	Documents []string
}

// isFor reports whether a key counts for a document.
func isFor(name string) func(PublicKey) bool {
	return func(k PublicKey) bool { return len(k.Documents) == 0 || slices.Contains(k.Documents, name) }
}

const (
	publicPEM      = "PUBLIC KEY"
	maxKeyFile     = limit.KeyFileBytes // bytes
	othersCanWrite = 0o022
)

// ReadPublicKey reads an Ed25519 public key from a file: one PEM block with a PKIX public key (RFC 8410), as "regionjwt keygen"
// writes it. It returns an error if the file is not a regular file, if it holds anything else, or if other users can write it.
// The key of a file that was replaced later is not read again.
func ReadPublicKey(file string) (PublicKey, error) {
	data, err := readKeyFile(file)
	if err != nil {
		return PublicKey{}, fmt.Errorf("store: public key: %w", err)
	}
	block, rest := pem.Decode(data)
	if block != nil && block.Type == publicPEM && strings.TrimSpace(string(rest)) == "" {
		if parsed, err := x509.ParsePKIXPublicKey(block.Bytes); err == nil {
			if key, ok := parsed.(ed25519.PublicKey); ok {
				return PublicKey{Key: key}, nil
			}
		}
	}
	return PublicKey{}, fmt.Errorf(
		"store: public key: %s is not one Ed25519 public key (PKIX, PEM), as 'regionjwt keygen' writes it", file)
}

// readKeyFile reads a regular file that only its owner can write.
func readKeyFile(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // a FIFO would block
		return nil, fmt.Errorf("%s is not a regular file", file)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if info, err = f.Stat(); err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&othersCanWrite != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("other users can write %s (mode %04o): check its content, then chmod 644", file, mode)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err == nil && len(data) > maxKeyFile {
		err = fmt.Errorf("%s has more than %d bytes", file, maxKeyFile)
	}
	return data, err
}
