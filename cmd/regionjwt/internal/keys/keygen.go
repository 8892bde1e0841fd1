package keys

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

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
)

// Command is keygen.
func Command() cli.Command {
	return cli.Command{
		Name: "keygen", Short: "make the key that operators sign rules with",
		Long: `
Makes an Ed25519 key pair. The private key goes to PATH (PKCS #8, PEM, mode 0600): operators hold it, and no service does. The
public one goes to PATH.pub (PKIX, PEM) and, as its 32 bytes in base64, to standard output: services check rules with it
(store.ReadPublicKey). Neither file is ever overwritten.

  regionjwt keygen --out operators.key`,
		Prepare: func(c *cli.Call) cli.Action {
			var out string
			c.File(&out, "out", "`PATH` of the private key (required)")
			return func(_ context.Context, arguments []string) error {
				if err := c.None(arguments); err != nil {
					return err
				}
				return keygen(c, out)
			}
		},
	}
}

func keygen(c *cli.Call, out string) error {
	if out == "" {
		return cli.Fail(cli.ExitUsage, "say where the private key goes: --out PATH")
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
	if c.JSON {
		return c.WriteJSON(struct {
			Private string `json:"private_key_file"`
			Public  string `json:"public_key_file"`
			Key     string `json:"public_key"`
		}{out, publicPath, text})
	}
	c.Printf("%s\n", text)
	c.Notef("private key: %s (for operators only: keep it off every service)\npublic key:  %s (for services)\n", out, publicPath)
	return nil
}

// writeNew writes a PEM file that was not there.
func writeNew(path, kind string, der []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode) //nolint:gosec // the operator names the file
	if errors.Is(err, fs.ErrExist) {
		return cli.Fail(cli.ExitUsage, "%s is there already, and is never overwritten: choose another --out", path)
	}
	if err != nil {
		return cli.Fail(cli.ExitUsage, "%w", err)
	}
	err = errors.Join(f.Chmod(mode), pem.Encode(f, &pem.Block{Type: kind, Bytes: der}), f.Sync(), f.Close())
	if err != nil {
		_ = os.Remove(path)
		return cli.Fail(cli.ExitUsage, "%w", err)
	}
	return nil
}
