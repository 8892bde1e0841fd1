package serve

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/config"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/serve/routes"
	"github.com/regionjwt/regionjwt/middleware"
)

const (
	maxFile = 1 << 20 // bytes
	poll    = 5 * time.Second
)

// file is a file of routes in use.
type file struct {
	path     string
	verifier middleware.Verifier
	inForce  *atomic.Pointer[Rules]
	log      *slog.Logger
	seen     [sha256.Size]byte // of what was read last, also if it was not used
}

func fileOf(path string, v middleware.Verifier, inForce *atomic.Pointer[Rules], log *slog.Logger) *file {
	return &file{path: path, verifier: v, inForce: inForce, log: log}
}

// read reads the file.
func (f *file) read() (doc []byte, err error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // a FIFO would block
		return nil, fmt.Errorf("%s is not a regular file", f.path)
	}
	in, err := os.Open(f.path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }()
	if info, err = in.Stat(); err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("other users can change %s (mode %04o): find out whether somebody did, then chmod %04o",
			f.path, mode, mode&^0o022)
	}
	doc, err = io.ReadAll(io.LimitReader(in, maxFile+1))
	if err == nil && len(doc) > maxFile {
		err = fmt.Errorf("%s has more than %d bytes", f.path, maxFile)
	}
	return doc, err
}

// use puts a document into effect.
func (f *file) use(doc []byte) error {
	text, err := config.JSON(f.path, doc)
	if err != nil {
		return err
	}
	table, err := routes.Read(text)
	if err != nil {
		return err
	}
	rules, err := NewRules(f.verifier, table)
	if err != nil {
		return err
	}
	f.inForce.Store(rules)
	return nil
}

// open reads the file and puts it into effect.
func (f *file) open() error {
	doc, err := f.read()
	if err != nil {
		return err
	}
	f.seen = sha256.Sum256(doc)
	return f.use(doc)
}

// follow puts changes of the file into effect, when two looks in a row have seen the same, and at each signal, until ctx ends. A
// file with a problem changes nothing.
func (f *file) follow(ctx context.Context, signals <-chan os.Signal) {
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	var last []byte
	var broken string
	for {
		now := false
		select {
		case <-ctx.Done():
			return
		case <-signals:
			now = true
		case <-ticker.C:
		}
		doc, err := f.read()
		if err != nil {
			if err.Error() != broken { // once
				f.log.Error("routes file is not used", slog.String("file", f.path), slog.Any("problem", err))
			}
			broken, last = err.Error(), nil
			continue
		}
		settled := now || last != nil && bytes.Equal(doc, last)
		broken, last = "", doc
		if sum := sha256.Sum256(doc); settled && sum != f.seen {
			f.seen = sum
			f.reload(doc)
		}
	}
}

func (f *file) reload(doc []byte) {
	if err := f.use(doc); err != nil {
		f.log.Error("routes file is not used", slog.String("file", f.path), slog.Any("problem", oneLine(err)))
		return
	}
	f.log.Info("routes file is in effect", slog.String("file", f.path))
}

// oneLine joins the problems of a file.
func oneLine(err error) error {
	return errors.New(string(bytes.ReplaceAll([]byte(err.Error()), []byte("\n"), []byte("; "))))
}
