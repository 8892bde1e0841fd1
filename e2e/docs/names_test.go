package docs_test

import (
	"go/types"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	inline = regexp.MustCompile("`[^`\n]+`")
	dotted = regexp.MustCompile(`\b[a-z]+(\.[A-Z]\w*)+`)
)

// missing returns the first part of a dotted name that is not there, or "". The first word is a package of this repository.
func missing(pkg *types.Package, name string) string {
	parts := strings.Split(name, ".")[1:]
	object := pkg.Scope().Lookup(parts[0])
	if object == nil {
		return parts[0]
	}
	for _, part := range parts[1:] {
		if object, _, _ = types.LookupFieldOrMethod(object.Type(), true, pkg, part); object == nil {
			return part
		}
	}
	return ""
}

// Every name such as jwks.Config.Snapshots that prose mentions exists.
func TestNames(t *testing.T) {
	t.Parallel()
	c, checked := newCompiler(t), 0
	for _, p := range documents(t) {
		if !p.isForUsers() {
			continue
		}
		for _, code := range inline.FindAllString(p.prose, -1) {
			for _, name := range dotted.FindAllString(code, -1) {
				first, _, _ := strings.Cut(name, ".")
				_, path, _ := strings.Cut(c.imports[first], " ")
				if path = strings.Trim(path, `"`); !strings.HasPrefix(path, "github.com/regionjwt/") {
					continue
				}
				pkg, err := c.importer.Import(path)
				require.NoError(t, err)
				require.Empty(t, missing(pkg, name), "%s mentions %s", p.path, name)
				checked++
			}
		}
	}
	require.GreaterOrEqual(t, checked, 60)
	pkg, err := c.importer.Import("github.com/regionjwt/regionjwt/jwks")
	require.NoError(t, err)
	require.Equal(t, "Shop", missing(pkg, "jwks.Config.Shop"))
	require.Equal(t, "Nothing", missing(pkg, "jwks.Nothing"))
	require.Empty(t, missing(pkg, "jwks.Cache.Status"))
}
