package main

import (
	"bytes"
	"context"
	"go/types"
)

// What the tests see of the program.
var (
	Difference = difference
	Internal   = internal
)

// File is a file of a module zip.
type File struct{ Name, Data string }

func entries(files []File) []file {
	var list []file
	for _, f := range files {
		list = append(list, file{f.Name, []byte(f.Data)})
	}
	return list
}

func Facts(pkg *types.Package) []string { return facts(pkg) }

func Pack(path, version string, files []File) ([]byte, error) {
	return pack(path, version, entries(files))
}

func Hash(path, version string, files []File) string { return hash1(path, version, entries(files)) }

func ParseMod(text string) (path, goLine string, requires map[string]string, replaces []string) {
	m := parseMod(text)
	return m.path, m.goLine, m.requires, m.replaces
}

// Run runs a subcommand on a tree, and returns what it printed.
func Run(ctx context.Context, dir, name string, write bool, version string) (string, error) {
	t, err := open(ctx, dir)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	err = checks[name](ctx, t, options{write: write, version: version, out: &out})
	return out.String(), err
}
