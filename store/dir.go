package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/internal/document"
	"github.com/regionjwt/regionjwt/internal/trust"
)

const (
	filePermissions = 0o600
	dirPermissions  = 0o700
	lockName        = "lock"
	lockRetry       = 5 * time.Millisecond

	leftover  = "*.doc.????????????????.tmp" // what replace writes before it renames it
	leftAfter = time.Minute
)

// Dir returns a Store that keeps documents in a directory, which the first Save creates. Several processes of one machine may
// share it. The directory and its files belong to the user of the process, and no other user can read or write them (0700 and
// 0600); otherwise Load and Save return ErrNotAuthentic. Systems other than Unix have no such modes: there the access rules
// of the directory must protect it, and only one process may use it. Names are hashed, so that no name can be a path. Watch
// has no hints.
//
// Save writes a temporary file and renames it, under a lock: after a crash the directory has the old document or the new one.
// It also removes temporary files that are older than a minute. The path must not be empty.
func Dir(path string) Trusted { return &dir{path: path} }

type dir struct {
	path string
	mu   sync.Mutex // the file lock is one of the process
}

func (*dir) trusted() {}

// TrustInfo describes the store to the packages of this project.
func (d *dir) TrustInfo() (info trust.Info) {
	info.Path = d.path
	if d.path == "" {
		info.Problems = []error{errNoPath}
	}
	return info
}

func (d *dir) file(name string) string {
	sum := sha256.Sum256([]byte(name))
	return filepath.Join(d.path, hex.EncodeToString(sum[:])+".doc")
}

func revisionOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

// errNoPath is the problem of a Dir with an empty path.
var errNoPath = errors.New("store.Dir: the path is empty")

// check checks the arguments of a call, and the path.
func (d *dir) check(ctx context.Context, name string, data []byte) error {
	if d.path == "" {
		return errNoPath
	}
	return document.Check(ctx, name, data)
}

// Load implements Store.
func (d *dir) Load(ctx context.Context, name, ifNot string) ([]byte, string, error) {
	if err := d.check(ctx, name, nil); err != nil {
		return nil, "", err
	}
	data, revision, err := d.read(d.file(name))
	if err == nil && revision == ifNot {
		return nil, revision, ErrNotModified
	}
	return data, revision, err
}

// Watch implements Store.
func (d *dir) Watch(ctx context.Context, name string, _ func()) error {
	if err := d.check(ctx, name, nil); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// own returns an error if the directory is not there, or not only for the user of the process. An empty one is judged as well: a
// problem must show before the first document is written.
func (d *dir) own() error {
	info, err := os.Stat(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotFound
	}
	if err != nil {
		return err
	}
	return checkOwner(d.path, info)
}

func (d *dir) read(path string) (data []byte, revision string, err error) {
	if err := d.own(); err != nil {
		return nil, "", err
	}
	f, err := openNoFollow(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", ErrNotFound
	}
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, "", err
	}
	if err := checkOwner(path, info); err != nil {
		return nil, "", err
	}
	data, err = io.ReadAll(io.LimitReader(f, document.MaxData+1))
	if err != nil {
		return nil, "", err
	}
	if len(data) > document.MaxData {
		return nil, "", document.ErrTooLarge
	}
	return data, revisionOf(data), nil
}

// Save implements Store.
func (d *dir) Save(ctx context.Context, name string, data []byte, ifRevision string) (string, error) {
	if err := d.check(ctx, name, data); err != nil {
		return "", err
	}
	if err := os.MkdirAll(d.path, dirPermissions); err != nil {
		return "", err
	}
	if err := d.own(); err != nil {
		return "", err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	unlock, err := d.lock(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	d.tidy()
	_, current, err := d.read(d.file(name))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return "", err
	}
	if current != ifRevision {
		return "", ErrConflict
	}
	return revisionOf(data), d.replace(d.file(name), data)
}

// lock acquires the lock of the directory, until ctx ends.
func (d *dir) lock(ctx context.Context) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(d.path, lockName), os.O_CREATE|os.O_RDWR, filePermissions)
	if err != nil {
		return nil, err
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, context.Cause(ctx)
		case <-timer.C:
		}
		locked, err := tryLock(f)
		if err != nil {
			_ = f.Close()
			return nil, err
		}
		if locked {
			return func() { _ = f.Close() }, nil // closing the file releases the lock
		}
		timer.Reset(lockRetry)
	}
}

// tidy removes what writers have left that were killed a minute ago or more. The caller has the lock.
func (d *dir) tidy() {
	all, _ := os.ReadDir(d.path)
	for _, entry := range all {
		if left, _ := filepath.Match(leftover, entry.Name()); !left || !entry.Type().IsRegular() {
			continue
		}
		if info, err := entry.Info(); err == nil && time.Since(info.ModTime()) > leftAfter {
			_ = os.Remove(filepath.Join(d.path, entry.Name()))
		}
	}
}

// replace writes data beside path and renames it there.
func (d *dir) replace(path string, data []byte) error {
	random := make([]byte, 8)
	_, _ = rand.Read(random) // never fails
	temporary := fmt.Sprintf("%s.%x.tmp", path, random)
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_EXCL|os.O_WRONLY, filePermissions)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		_ = os.Remove(temporary)
	}
	return err
}
