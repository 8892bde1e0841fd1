package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// file is one entry of a module zip.
type file struct {
	name string // without the prefix of the module
	data []byte
}

// contents are the files that the go command would put into the zip of a module: those of its directory and the LICENSE of the
// repository.
func (t *tree) contents(m *module) ([]file, error) {
	prefix := ""
	if m.dir != "." {
		prefix = m.dir + "/"
	}
	names := t.of(m)
	var files []file
	if !slices.Contains(names, prefix+"LICENSE") {
		text, err := t.read("LICENSE")
		if err != nil {
			return nil, err
		}
		files = append(files, file{"LICENSE", []byte(text)})
	}
	for _, name := range names {
		if strings.Contains("/"+name, "/vendor/") {
			continue
		}
		text, err := t.read(name)
		if err != nil {
			return nil, err
		}
		files = append(files, file{strings.TrimPrefix(name, prefix), []byte(text)})
	}
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return files, nil
}

// pack makes the zip of a module: the same bytes from the same files.
func pack(modulePath, version string, files []file) ([]byte, error) {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, f := range files {
		e, err := w.Create(modulePath + "@" + version + "/" + f.name)
		if err != nil {
			return nil, err
		}
		if _, err := e.Write(f.data); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return out.Bytes(), err
}

// hash1 is the hash of a module as go.sum has it ("h1:"): that of the hashes and names of its files, in order.
func hash1(modulePath, version string, files []file) string {
	sum := sha256.New()
	for _, f := range files {
		h := sha256.Sum256(f.data)
		_, _ = fmt.Fprintf(sum, "%s  %s@%s/%s\n", hex.EncodeToString(h[:]), modulePath, version, f.name)
	}
	return "h1:" + base64.StdEncoding.EncodeToString(sum.Sum(nil))
}

// publish puts a module into a proxy that is a directory, as GOPROXY=file:// reads it.
func (t *tree) publish(m *module, version, proxy string) (sum string, err error) {
	files, err := t.contents(m)
	if err != nil {
		return "", err
	}
	archive, err := pack(m.path, version, files)
	if err != nil {
		return "", err
	}
	goMod, err := t.read(path.Join(m.dir, "go.mod"))
	if err != nil {
		return "", err
	}
	dir := filepath.Join(proxy, filepath.FromSlash(m.path), "@v")
	for name, data := range map[string]string{
		"list":            version + "\n",
		version + ".info": fmt.Sprintf(`{"Version":%q,"Time":"2000-01-01T00:00:00Z"}`, version),
		version + ".mod":  goMod,
		version + ".zip":  string(archive),
	} {
		if err := writeFile(filepath.Join(dir, name), []byte(data)); err != nil {
			return "", err
		}
	}
	return hash1(m.path, version, files), nil
}
