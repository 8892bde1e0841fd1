// Instructions counts the processor instructions of Verify and of what surrounds it, without those of the signature check.
//
// It runs each operation under valgrind --tool=callgrind, which counts what one thread executes. The figures do not depend on
// other load and hardly on the machine, so that a limit can hold them: a run fails if an operation takes more than its limit.
//
//	go run ./instructions                 # every row
//	go run ./instructions -rows RS256     # the rows whose names have this text
//	go run ./instructions -profile FILE -rows 'cached'   # and what callgrind_annotate reads, of one row
package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// repeats is how often an operation is done under valgrind.
const repeats = 200

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "instructions:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("instructions", flag.ContinueOnError)
	only := flags.String("rows", "", "count only the rows whose names have this `text`")
	profile := flags.String("profile", "", "write the profile of the last row's operation to this `file`")
	child := flags.String("child", "", "do the operation of this `row`; the program starts itself with it")
	key := flags.String("key", "", "with -child: the private `key`, PKCS #8 in base64")
	floor := flags.Bool("floor", false, "with -child: do what is subtracted")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *child != "" {
		return operate(*child, *key, *floor)
	}
	dir, err := os.MkdirTemp("", "instructions")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	// go run leaves out the symbols, which valgrind needs.
	self := filepath.Join(dir, "instructions")
	build := exec.CommandContext(ctx, "go", "build", "-o", self, "./instructions") //nolint:gosec // its own directory
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, output)
	}
	_, _ = fmt.Fprintf(out, "| operation | instructions | limit |\n|---|---|---|\n")
	var errs []error
	for _, r := range rows() {
		if !strings.Contains(r.name, *only) {
			continue
		}
		key, err := newKey(r.alg)
		if err != nil {
			return err
		}
		n, err := count(ctx, self, &r, key, false, *profile)
		if err != nil {
			return err
		}
		if r.subtracted {
			floor, err := count(ctx, self, &r, key, true, "")
			if err != nil {
				return err
			}
			n -= floor
		}
		_, _ = fmt.Fprintf(out, "| %s | %d | %d |\n", r.name, n, r.limit)
		if n > r.limit {
			errs = append(errs, fmt.Errorf("%s takes %d instructions, more than %d", r.name, n, r.limit))
		}
	}
	return errors.Join(errs...)
}

var collected = regexp.MustCompile(`Collected : (\d+)`)

// count runs the operation of a row under valgrind, and returns its instructions.
func count(ctx context.Context, self string, r *row, key string, floor bool, profile string) (int, error) {
	file := "/dev/null"
	if profile != "" {
		file = profile
	}
	cmd := exec.CommandContext(ctx, "valgrind", "--tool=callgrind", //nolint:gosec // it starts this program
		"--callgrind-out-file="+file, "--toggle-collect=main.counted",
		self, "-child", r.name, "-key", key, "-floor="+strconv.FormatBool(floor))
	// What valgrind does not know, or counts byte by byte, is off.
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1,cpu.rdtscp=off,cpu.erms=off,cpu.fsrm=off")
	output, err := cmd.CombinedOutput()
	found := collected.FindSubmatch(output)
	if err != nil || found == nil {
		return 0, fmt.Errorf("%s, under valgrind, from the package of that name: %w\n%s", r.name, err, bytes.TrimSpace(output))
	}
	n, err := strconv.Atoi(string(found[1]))
	return n / repeats, err
}

// newKey makes a key, as it takes long under valgrind.
func newKey(alg string) (string, error) {
	var key any
	var err error
	switch alg {
	case "RS256":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ES256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return base64.StdEncoding.EncodeToString(der), err
}

// operate does the operation of a row on one thread, without a garbage collection.
func operate(name, key string, floor bool) error {
	der, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		return err
	}
	private, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return err
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return errors.New("the key cannot sign")
	}
	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	for _, r := range rows() {
		if r.name != name {
			continue
		}
		operation := r.open(newWorld(r.alg, signer, r.cacheSize), floor)
		for range 8 { // pools and caches are filled
			operation()
		}
		counted(repeats, operation)
		return nil
	}
	return fmt.Errorf("there is no row %q", name)
}

// counted is what valgrind counts.
//
//go:noinline
func counted(n int, operation func()) {
	for range n {
		operation()
	}
}
