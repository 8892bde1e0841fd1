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
)

const (
	filePermissions = 0o600
	dirPermissions  = 0o700
	lockName        = "lock"
	lockRetry       = 5 * time.Millisecond
)

// Dir returns a Store of files in a directory, which it makes on the first Save. Several processes of one machine may share
// it. The directory and its files belong to the user of the process and nobody else can write or read them (0700 and 0600);
// a document of which that is not so is refused with ErrNotAuthentic. Names are hashed, so that no name is a path.
//
// Writing goes to a temporary file that is renamed, under a lock: a crash leaves the old document or the new one. If path is
// empty, every Load and Save returns an error that says so.
func Dir(path string) Trusted { return &dir{path: path} }

type dir struct {
	path string
	mu   sync.Mutex // the file lock is one of the process
}

// Authentic implements Authentic.
func (*dir) Authentic() {}

func (d *dir) file(name string) string {
	sum := sha256.Sum256([]byte(name))
	return filepath.Join(d.path, hex.EncodeToString(sum[:])+".doc")
}

func revisionOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

// errNoPath is the error of a Dir that is nowhere.
var errNoPath = errors.New("store: Dir has an empty path: name the directory where documents are kept")

// checkCall judges what every call is given, and the directory's path.
func (d *dir) checkCall(ctx context.Context, name string, data []byte) error {
	if d.path == "" {
		return errNoPath
	}
	return checkCall(ctx, name, data)
}

// Load implements Store.
func (d *dir) Load(ctx context.Context, name string) (Document, error) {
	if err := d.checkCall(ctx, name, nil); err != nil {
		return Document{}, err
	}
	return d.read(d.file(name))
}

func (d *dir) read(path string) (Document, error) {
	f, err := openNoFollow(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Document{}, ErrNotFound
	}
	if err != nil {
		return Document{}, err
	}
	defer func() { _ = f.Close() }()
	for _, check := range []func() (fs.FileInfo, error){f.Stat, func() (fs.FileInfo, error) { return os.Stat(d.path) }} {
		info, err := check()
		if err != nil {
			return Document{}, err
		}
		if err := checkOwner(info); err != nil {
			return Document{}, err
		}
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxDocument+1))
	if err != nil {
		return Document{}, err
	}
	if len(data) > MaxDocument {
		return Document{}, ErrTooLarge
	}
	return Document{Data: data, Revision: revisionOf(data)}, nil
}

// Save implements Store.
func (d *dir) Save(ctx context.Context, name string, data []byte, ifRevision string) (string, error) {
	if err := d.checkCall(ctx, name, data); err != nil {
		return "", err
	}
	if err := os.MkdirAll(d.path, dirPermissions); err != nil {
		return "", err
	}
	info, err := os.Stat(d.path)
	if err != nil {
		return "", err
	}
	if err := checkOwner(info); err != nil {
		return "", err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	unlock, err := d.lock(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	current, err := d.read(d.file(name))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return "", err
	}
	if current.Revision != ifRevision {
		return "", ErrConflict
	}
	return revisionOf(data), d.replace(d.file(name), data)
}

// lock takes the lock of the directory, or gives up when ctx ends.
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
			return func() { _ = f.Close() }, nil // closing lets go of it
		}
		timer.Reset(lockRetry)
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
