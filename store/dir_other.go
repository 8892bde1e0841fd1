//go:build !unix

package store

import (
	"io/fs"
	"os"
)

func openNoFollow(path string) (*os.File, error) { return os.Open(path) }

// checkOwner leaves it to the access rules of the directory: this system has no owner and mode to look at.
func checkOwner(fs.FileInfo) error { return nil }

// tryLock has nothing to lock with: on this system a Dir is for one process.
func tryLock(*os.File) (bool, error) { return true, nil }
