package main

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
)

const (
	maxKeyFile     = 64 << 10
	privatePEM     = "PRIVATE KEY"
	publicPEM      = "PUBLIC KEY"
	privateForbids = fs.FileMode(0o077)
	publicForbids  = fs.FileMode(0o022)
)

// readKeyFile reads a file that the operator names, unless others may do with it what forbidden says.
func readKeyFile(flagName, path string, forbidden fs.FileMode) ([]byte, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, fail(exitUsage, "-%s: %w", flagName, err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, fail(exitUsage, "-%s: %w", flagName, err)
	}
	if mode := info.Mode().Perm(); mode&forbidden != 0 && runtime.GOOS != "windows" {
		can, wanted := "read or change", "600"
		if forbidden == publicForbids {
			can, wanted = "change", "644"
		}
		return nil, fail(exitUsage,
			"-%s: others may %s %s (mode %04o): find out who did, then chmod %s it, or make a new one",
			flagName, can, path, mode, wanted)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fail(exitUsage, "-%s: %w", flagName, err)
	}
	if len(data) > maxKeyFile {
		return nil, fail(exitUsage, "-%s: %s is too long for a key", flagName, path)
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

// readPrivate reads the key of -sign-key.
func readPrivate(path string) (ed25519.PrivateKey, error) {
	data, err := readKeyFile("sign-key", path, privateForbids)
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
	return nil, fail(exitUsage,
		"-sign-key: %s is not an Ed25519 private key (PKCS #8, PEM): make one with 'regionjwt keygen'", path)
}

// readPublic reads one key of -verify-key.
func readPublic(path string) (ed25519.PublicKey, error) {
	data, err := readKeyFile("verify-key", path, publicForbids)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(data); block != nil && block.Type == publicPEM {
		if key, err := x509.ParsePKIXPublicKey(block.Bytes); err == nil {
			if public, ok := key.(ed25519.PublicKey); ok {
				return public, nil
			}
		}
	}
	return nil, fail(exitUsage,
		"-verify-key: %s is not an Ed25519 public key (PKIX, PEM), such as 'regionjwt keygen' writes with .pub", path)
}

// readSecret reads the secret of -seal-secret-file, in base64.
func readSecret(path string) ([]byte, error) {
	data, err := readKeyFile("seal-secret-file", path, privateForbids)
	if err != nil {
		return nil, err
	}
	secret, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(string(data)))
	if err != nil {
		return nil, fail(exitUsage,
			"-seal-secret-file: %s does not hold one line of base64: make it with 'head -c 32 /dev/urandom | base64'", path)
	}
	return secret, nil
}
