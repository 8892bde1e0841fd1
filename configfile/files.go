package configfile

import (
	"cmp"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/outbound"
)

// What other users may not do with a file.
const (
	change       = fs.FileMode(0o022)
	changeOrRead = fs.FileMode(0o027) // a group may read secrets: that of a container, for example
)

const (
	maxFile       = 1 << 20 // bytes
	clientTimeout = 5 * time.Second
	idleTimeout   = 90 * time.Second
)

// readFile reads a regular file, unless its mode has one of the bits.
func readFile(path string, most int64, forbidden fs.FileMode) ([]byte, error) {
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() { // a FIFO would block
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path) //nolint:gosec // the configuration names the file
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&forbidden != 0 && runtime.GOOS != "windows" {
		what := "change"
		if forbidden&0o004 != 0 {
			what = "read or change"
		}
		return nil, fmt.Errorf("other users can %s %s (mode %04o): find out whether somebody did, then chmod %04o",
			what, path, mode, mode&^forbidden)
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return data, err
}

// path returns the path of a file that the configuration names: relative ones are below the directory of the configuration.
func (b *builder) path(name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(b.dir, name)
}

// digest is what reading a file gave: its content, or an error.
type digest struct {
	forbidden fs.FileMode
	sum       [sha256.Size]byte
}

// digests are what files gave, by path.
type digests map[string]digest

// note reads a file, and notes what that gave.
func (d digests) note(path string, most int64, forbidden fs.FileMode) ([]byte, error) {
	data, err := readFile(path, most, forbidden)
	gave := slices.Clone(data)
	if err != nil {
		gave = []byte("error: " + err.Error())
	}
	d[path] = digest{forbidden, sha256.Sum256(gave)}
	return data, err
}

// file reads a file that the configuration names, and notes what it holds.
func (b *builder) file(name string, forbidden fs.FileMode, noted digests) ([]byte, error) {
	return noted.note(b.path(name), maxFile, forbidden)
}

// password reads a file that holds one secret as it is, in one line.
func (b *builder) password(name string) (string, error) {
	data, err := b.file(name, changeOrRead, b.files)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if secret == "" || strings.ContainsAny(secret, "\r\n") {
		return "", fmt.Errorf("%s does not hold one line", b.path(name))
	}
	return secret, nil
}

// secret reads the secret of a fleet, in base64.
func (b *builder) secret(name string) ([]byte, error) {
	data, err := b.file(name, changeOrRead, b.files)
	if err != nil {
		return nil, err
	}
	secret, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(string(data)))
	if err != nil {
		return nil, fmt.Errorf("%s does not hold one line of base64, as 'head -c 32 /dev/urandom | base64' writes it",
			b.path(name))
	}
	return secret, nil
}

// privateKey reads an Ed25519 private key, as 'regionjwt keygen' writes it.
func (b *builder) privateKey(name string) (ed25519.PrivateKey, error) {
	data, err := b.file(name, changeOrRead, b.files)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(data); block != nil && block.Type == "PRIVATE KEY" {
		if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			if private, ok := key.(ed25519.PrivateKey); ok {
				return private, nil
			}
		}
	}
	return nil, fmt.Errorf("%s is not an Ed25519 private key (PKCS #8, PEM), as 'regionjwt keygen' writes it", b.path(name))
}

// client returns an HTTP client that trusts the CA certificates of a file besides those of the system. The same file with the
// same content gives the same client, so that key sets are not fetched again.
func (b *builder) client(name string, noted digests) (*http.Client, error) {
	data, err := b.file(name, change, noted)
	if err != nil {
		return nil, err
	}
	id := fmt.Sprintf("%s %x", b.path(name), sha256.Sum256(data))
	if c := cmp.Or(b.clients[id], b.before.clients[id]); c != nil {
		b.clients[id] = c
		return c, nil
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(data) {
		return nil, errors.New("the file holds no CA certificate in PEM: " + b.path(name))
	}
	transport := outbound.Transport(clientTimeout, idleTimeout)
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	b.clients[id] = &http.Client{Transport: transport}
	return b.clients[id], nil
}
