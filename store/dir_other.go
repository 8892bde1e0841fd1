//go:build !unix

package store

import (
	"io/fs"
	"os"
)

func openNoFollow(path string) (*os.File, error) { return os.Open(path) }

// checkOwner checks nothing: this system has no owner and mode. The access rules of the directory must protect it.
func checkOwner(string, fs.FileInfo) error { return nil }

// tryLock locks nothing: on this system a Dir is for one process.
func tryLock(*os.File) (bool, error) { return true, nil }
