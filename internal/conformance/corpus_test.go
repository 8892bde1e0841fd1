package conformance_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/conformance"
)

// Every token of the corpus can be built.
func TestEveryTokenIsBuilt(t *testing.T) {
	t.Parallel()
	c, err := conformance.Load("../../conformance")
	require.NoError(t, err)
	for _, k := range c.Cases {
		_, err := c.Build(&k.Token, time.Now())
		require.NoError(t, err, k.ID)
	}
	for _, s := range c.Stories {
		for _, step := range s.Steps {
			if step.Present != nil {
				_, err := c.Tokens(s, step.Present, time.Now())
				require.NoError(t, err, s.ID)
			}
		}
	}
}

// A corpus with a mistake is not read: a member that is not known, an ID that is there twice, a key or a set that does not exist, and a
// step that is two.
func TestMistakesAreFound(t *testing.T) {
	t.Parallel()
	const (
		cases   = `{"$schema":"","cases":[CASE]}`
		one     = `{"id":"a/b","title":"t","reference":"r","policy":{"issuers":[{"issuer":"i","keys":"A"}],"algorithms":["RS256"]},"token":{},"expect":"accept"}`
		stories = `{"$schema":"","stories":[STORY]}`
		story   = `{"id":"a/b","title":"t","reference":"r","policy":{"issuers":[{"issuer":"i","keys":"us"}],"algorithms":[]},` +
			`"servers":{"us":{"answers":[{}]}},"steps":[{"wait":1}]}`
	)
	load := func(t *testing.T, file, text string) error {
		t.Helper()
		dir := t.TempDir()
		require.NoError(t, os.CopyFS(dir, os.DirFS("../../conformance")))
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600))
		_, err := conformance.Load(dir)
		return err
	}
	replaced := func(old, new string) string {
		require.Contains(t, one, old)
		return strings.Replace(cases, "CASE", strings.Replace(one, old, new, 1), 1)
	}
	require.NoError(t, load(t, "cases/x.json", replaced(`"t"`, `"t"`)))
	for _, text := range []string{
		replaced(`"title"`, `"titel":"","title"`), replaced(`"A"`, `"no such set"`), strings.Replace(cases, "CASE", one+","+one, 1),
		replaced(`"token":{}`, `"token":{"sign":{"key":"no such key"}}`), replaced(`"token":{}`, `"token":{"header":[{"texts":"a"}]}`), "{",
	} {
		require.Error(t, load(t, "cases/x.json", text), text)
	}
	require.NoError(t, load(t, "stories/x.json", strings.Replace(stories, "STORY", story, 1)))
	for _, change := range [][2]string{
		{`"wait":1`, `"wait":1,"silence":"us"`}, {`{"wait":1}`, `{}`}, {`{"us":{`, `{"eu":{`}, {`"wait"`, `"waits"`},
	} {
		require.Error(t, load(t, "stories/x.json", strings.Replace(stories, "STORY", strings.Replace(story, change[0], change[1], 1), 1)), change[1])
	}
	_, err := conformance.Load(t.TempDir())
	require.ErrorIs(t, err, os.ErrNotExist)
}
