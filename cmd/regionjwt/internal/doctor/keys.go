package doctor

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/keys"
)

// keyFiles checks the key files, the directories that hold them, and whether the keys belong together.
func (x *examination) keyFiles() {
	s := &x.flags.rules.Flags
	readable := true
	judge := func(flag, path string, secret bool, read func(string) error) {
		if path == "" {
			return
		}
		if err := read(path); err != nil {
			readable = false
			x.fail("key", path, err.Error(), "correct the file or --"+flag+"; 'regionjwt keygen' makes new keys")
			return
		}
		x.ok("key", path, "readable, and of the right kind, for --"+flag)
		x.keyDir("key", path, secret)
	}
	judge("sign-key", s.SignKey, true, func(path string) error { _, err := keys.ReadPrivate(path); return err })
	for _, path := range s.VerifyKeys {
		judge("verify-key", path, false, func(path string) error { _, err := keys.ReadPublic(path); return err })
	}
	judge("secret-file", s.SecretFile, true, func(path string) error { _, err := keys.ReadSecret(path); return err })
	if s.SignKey == "" || len(s.VerifyKeys) == 0 || !readable {
		return
	}
	if _, _, err := s.Keys(); err != nil {
		x.fail("key pair", s.SignKey, err.Error(),
			"give the public key that belongs to it, FILE.pub, to --verify-key and to the services")
	} else {
		x.ok("key pair", s.SignKey, "its public key is one of --verify-key")
	}
}

// keyDir checks that others cannot exchange a key, or another file, by its directory.
func (x *examination) keyDir(check, path string, secret bool) {
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	if err != nil || runtime.GOOS == "windows" {
		return
	}
	mode := info.Mode()
	if mode.Perm()&0o022 == 0 || mode&fs.ModeSticky != 0 {
		x.ok(check, dir, "only its owner can exchange the files")
		return
	}
	detail := fmt.Sprintf("others can exchange the files of the directory (mode %04o)", mode.Perm())
	remedy := "find out whether somebody did, then chmod go-w " + dir
	if secret {
		x.fail(check, dir, detail, remedy)
	} else {
		x.warn(check, dir, detail, remedy)
	}
}

// directory checks the directory of a store or of a local copy: the library rejects one that others can use.
func (x *examination) directory(check, path string) (there bool) {
	info, err := os.Stat(path)
	switch {
	case os.IsNotExist(err):
		x.warn(check, path, "the directory is not there",
			"check its path; if it is right, it is made when it is first written to")
	case err != nil:
		x.fail(check, path, err.Error(), "check the path, and owner and mode of the directories above")
	case !info.IsDir():
		x.fail(check, path, "it is not a directory", "give the path of a directory")
	case info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows":
		x.fail(check, path, fmt.Sprintf("others can read or write it (mode %04o)", info.Mode().Perm()),
			"find out whether somebody did, then chmod 700 "+path)
		return true
	default:
		x.ok(check, path, fmt.Sprintf("only its owner can use it (mode %04o)", info.Mode().Perm()))
		return true
	}
	return false
}
