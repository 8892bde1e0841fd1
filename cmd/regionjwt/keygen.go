package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
)

func keygenCommand() command {
	return command{
		name: "keygen", short: "make the key that operators sign rules with",
		long: `
Makes an Ed25519 key pair. The private key goes to PATH (PKCS #8, PEM, mode 0600): operators hold it, and no service does. The
public one goes to PATH.pub (PKIX, PEM) and, as its 32 octets in base64, to standard output: services check rules with it
(store.Signing.Public). Neither file is ever overwritten.

  regionjwt keygen -out operators.key`,
		prepare: func(c *call) action {
			var out string
			c.text(&out, "out", "", "`PATH` of the private key (required)")
			return func(_ context.Context, arguments []string) error {
				if err := c.none(arguments); err != nil {
					return err
				}
				return c.keygen(out)
			}
		},
	}
}

func (c *call) keygen(out string) error {
	if out == "" {
		return fail(exitUsage, "say where the private key goes: -out PATH")
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	privateDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	publicDER, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return err
	}
	publicPath := out + ".pub"
	if err := writeNew(publicPath, publicPEM, publicDER, 0o644); err != nil {
		return err
	}
	if err := writeNew(out, privatePEM, privateDER, 0o600); err != nil {
		_ = os.Remove(publicPath) // ours, of a moment ago
		return err
	}
	text := base64.StdEncoding.EncodeToString(public)
	if c.json {
		return c.writeJSON(struct {
			Private string `json:"private_key_file"`
			Public  string `json:"public_key_file"`
			Key     string `json:"public_key"`
		}{out, publicPath, text})
	}
	c.printf("%s\n", text)
	c.notef("private key: %s (for operators only: keep it off every service)\npublic key:  %s (for services)\n", out, publicPath)
	return nil
}

// writeNew writes a PEM file that was not there.
func writeNew(path, kind string, der []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode) //nolint:gosec // the operator names the file
	if errors.Is(err, fs.ErrExist) {
		return fail(exitUsage, "%s is there already, and is never overwritten: choose another -out", path)
	}
	if err != nil {
		return fail(exitUsage, "%w", err)
	}
	err = errors.Join(f.Chmod(mode), pem.Encode(f, &pem.Block{Type: kind, Bytes: der}), f.Sync(), f.Close())
	if err != nil {
		_ = os.Remove(path)
		return fail(exitUsage, "%w", err)
	}
	return nil
}
