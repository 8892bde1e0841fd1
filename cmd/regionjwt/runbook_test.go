package main_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

const runbook = "../../docs/break-glass.md"

// block is a block of commands in the runbook.
type block struct{ heading, commands string }

// blocks returns all sh blocks of the runbook.
func blocks(t *testing.T) (all []block) {
	t.Helper()
	text, err := os.ReadFile(runbook)
	require.NoError(t, err)
	require.Less(t, strings.Count(string(text), "\n"), 150, "it is read at 3 a.m.")
	heading, inside := "", false
	for line := range strings.Lines(string(text)) {
		switch {
		case strings.HasPrefix(line, "```sh"):
			inside = true
			all = append(all, block{heading: heading})
		case strings.HasPrefix(line, "```"):
			require.True(t, inside, "a block that is no sh is tested by nobody: %s", line)
			inside = false
		case inside:
			all[len(all)-1].commands += line
		case strings.HasPrefix(line, "## "):
			heading = strings.TrimSpace(line[3:])
		}
	}
	return all
}

// shell is one sh, as one that an operator has open. It ends at the first command that fails.
type shell struct {
	in  io.Writer
	out *bufio.Reader
}

const marker = "== done =="

func openShell(t *testing.T, dir string, env ...string) *shell {
	t.Helper()
	bin := t.TempDir()
	self, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, os.Symlink(self, filepath.Join(bin, "regionjwt")))       // see TestMain
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "sh", "-eu") // it ends with its input
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + dir}, env...)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	cmd.Stdout, cmd.Stderr = writer, writer
	require.NoError(t, cmd.Start())
	require.NoError(t, writer.Close())
	t.Cleanup(func() {
		_ = in.Close()
		require.NoError(t, cmd.Wait())
		_ = reader.Close()
	})
	return &shell{in: in, out: bufio.NewReader(reader)}
}

// do runs commands and returns what they write.
func (s *shell) do(t *testing.T, commands string) string {
	t.Helper()
	_, err := fmt.Fprintf(s.in, "%s\necho '%s'\n", commands, marker)
	require.NoError(t, err)
	var out strings.Builder
	for {
		line, err := s.out.ReadString('\n')
		require.NoError(t, err, "a command failed:\n%s\n%s%s", commands, out.String(), line)
		if strings.TrimSpace(line) == marker {
			return out.String()
		}
		out.WriteString(line)
	}
}

// service is one that follows the rules of directories, and trusts what the operators' key has signed.
type service struct {
	log bytes.Buffer
	*regionjwt.Validator
}

func newService(t *testing.T, w *fakeissuer.Server, dir string, places ...string) *service {
	t.Helper()
	key, err := store.ReadPublicKey(filepath.Join(dir, "operators.key.pub"))
	require.NoError(t, err)
	var stores []store.Trusted
	for _, place := range places {
		stores = append(stores, store.Signed(store.Dir(filepath.Join(dir, place)), "test", nil, key))
	}
	s := &service{}
	s.Validator, err = regionjwt.New(regionjwt.Config{
		Policies:   []verifier.Policy{{Provider: w.Provider(), Audience: verifier.Audience(fakeissuer.Audience)}},
		Revocation: &revocation.Config{Replica: store.ReplicaConfig{Stores: stores}, Logger: slog.New(slog.NewTextHandler(&s.log, nil))},
	})
	require.NoError(t, err)
	return s
}

// revoked asks the service about a token that only a rule can make bad.
func (s *service) revoked(t *testing.T, token string) bool {
	t.Helper()
	require.NoError(t, s.Revocation().Load(t.Context()))
	_, err := s.Verify(t.Context(), token)
	var refusal *verifier.Error
	if errors.As(err, &refusal) {
		require.Equal(t, verifier.ReasonRevoked, refusal.Reason)
		return true
	}
	require.NoError(t, err)
	return false
}

// What the runbook says is done, in its order, by one shell; after each block a service refuses the tokens that the block
// is about, and no others. The same holds while one of two stores is lost: the tool says so, and its exit code is not 0 where it
// lists what there is.
func TestRunbook(t *testing.T) {
	t.Parallel()
	t.Run("one store", func(t *testing.T) {
		t.Parallel()
		playRunbook(t, "rules")
	})
	t.Run("one of two stores is lost", func(t *testing.T) {
		t.Parallel()
		playRunbook(t, "lost", "rules")
	})
}

func playRunbook(t *testing.T, places ...string) {
	t.Helper()
	const east, west = "us-east-1", "us-west-2"
	w := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256", ID: "shop"})
	w.Serve()
	issue := func(region string, c fakeissuer.Claims) string { return w.Issue(region, c) }
	tokens := map[string]string{"east, leaked key": issue(east, fakeissuer.Claims{}), "west, leaked key": issue(west, fakeissuer.Claims{})}
	leakedKID := w.KeyID(west)
	w.Rotate(east)
	w.Rotate(west)
	tokens["east"] = issue(east, fakeissuer.Claims{})
	tokens["west"] = issue(west, fakeissuer.Claims{})
	tokens["rogue client"] = issue(east, fakeissuer.Claims{ClientID: "rogue"})
	tokens["mallory"] = issue(east, fakeissuer.Claims{Subject: "mallory"})
	tokens["sign-in"] = issue(east, fakeissuer.Claims{Set: map[string]any{"origin_jti": "origin-1"}})
	tokens["one token"] = issue(east, fakeissuer.Claims{Set: map[string]any{"jti": "token-1"}})
	fresh := map[string]func() string{ // issued after whatever was pressed; clocks may differ
		"west, fresh":    func() string { return issue(west, fakeissuer.Claims{IssuedAgo: -5 * time.Second}) },
		"mallory, fresh": func() string { return issue(east, fakeissuer.Claims{Subject: "mallory", IssuedAgo: -5 * time.Second}) },
		"east, fresh":    func() string { return issue(east, fakeissuer.Claims{IssuedAgo: -5 * time.Second}) },
	}
	thumbprint := thumbprintOf(t, w, tokens["east, leaked key"])

	steps := []struct {
		heading string
		dies    []string // of the tokens, by this block
		revives []string
		says    string
	}{
		{heading: "Prepare", says: "operators.key.pub"},
		{heading: "First", says: "the store is empty"},
		{heading: "First", says: "verdict    accepted"},
		{heading: "A signing key leaked", dies: []string{"east, leaked key"}, says: "epoch 1"},
		{heading: "A signing key leaked", dies: []string{"west, leaked key"}, says: "epoch 2"},
		{heading: "One region is compromised", dies: []string{"west", "west, fresh"}},
		{heading: "One region is compromised", revives: []string{"west, fresh"}},
		{heading: "One client", dies: []string{"rogue client"}},
		{heading: "One user, one sign-in, one token", dies: []string{"mallory"}},
		{heading: "One user, one sign-in, one token", dies: []string{"sign-in"}},
		{heading: "One user, one sign-in, one token", dies: []string{"one token"}},
		{heading: "Everything issued before a time", dies: []string{"east"}},
		{heading: "Does it work?", says: "rejected, as it should be"},
		{heading: "Undo", revives: []string{"east", "rogue client"}, says: "INC-1: key leaked"},
	}
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bad.txt"), []byte(tokens["east, leaked key"]), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "good.txt"), []byte(tokens["east"]), 0o600))
	var stores []string
	for _, place := range places {
		stores = append(stores, "dir:"+filepath.Join(dir, place))
	}
	lost := len(places) > 1
	if lost {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "lost"), nil, 0o600)) // no directory: it cannot be reached
	}
	sh := openShell(t, dir,
		"REGIONJWT_STORE="+strings.Join(stores, ","), "REGIONJWT_PROVIDER=shop", "REGIONJWT_FLEET=test",
		"REGIONJWT_ISSUER="+issuers(w), "REGIONJWT_AUDIENCE="+fakeissuer.Audience, "THUMBPRINT="+thumbprint, "KID="+leakedKID,
		"REGION="+west, "CLIENT=rogue", "SUBJECT=mallory", "ORIGIN=origin-1", "TOKEN_ID=token-1")

	all := blocks(t)
	require.Len(t, all, len(steps))
	var s *service
	dead := map[string]bool{}
	for i, step := range steps {
		require.Equal(t, step.heading, all[i].heading)
		commands := all[i].commands
		if lost {
			commands = "set +e\n" + commands // a problem is told by the exit code, too
		}
		out := sh.do(t, commands)
		if lost && strings.Contains(all[i].commands, "status") {
			require.Contains(t, out, "the store is unavailable", "it says what is lost")
			out += "the store is empty"
		}
		require.Contains(t, out, step.says)
		if step.heading == "Does it work?" {
			epoch := regexp.MustCompile(`epoch +(\d+)`).FindStringSubmatch(out)[1]
			require.Regexp(t, `msg="revocation rules" .*epoch=`+epoch, s.log.String())
		}
		for _, token := range tokens {
			require.NotContains(t, out, token[strings.LastIndexByte(token, '.')+1:], "no signature")
		}
		if s == nil {
			s = newService(t, w, dir, places...)
		}
		for _, name := range step.dies {
			require.False(t, dead[name])
			dead[name] = true
		}
		for _, name := range step.revives {
			require.True(t, dead[name])
			delete(dead, name)
		}
		for name, token := range tokens {
			require.Equal(t, dead[name], s.revoked(t, token), "%s after block %d, %s:\n%s%s", name, i, step.heading, all[i].commands, out)
		}
		for name, token := range fresh {
			require.Equal(t, dead[name], s.revoked(t, token()), "%s after block %d, %s:\n%s%s", name, i, step.heading, all[i].commands, out)
		}
	}
}

// thumbprintOf returns that of the key which signed a token.
func thumbprintOf(t *testing.T, w *fakeissuer.Server, token string) string {
	t.Helper()
	tl := tool{}.with("REGIONJWT_AUDIENCE", fakeissuer.Audience, "REGIONJWT_ISSUER", issuers(w))
	in, _ := inspect(t, tl, token, 0, "--fetch")
	return in.Thumbprint
}

// The names of variables and flags that the runbook speaks of exist.
func TestRunbookNames(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(runbook)
	require.NoError(t, err)
	var help strings.Builder
	for _, name := range allCommands {
		help.WriteString(tool{}.ok(t, append([]string{"help"}, strings.Fields(name)...)...))
	}
	variables := regexp.MustCompile(`REGIONJWT_[A-Z_]+`).FindAllString(string(text), -1)
	require.Greater(t, len(variables), 20)
	for _, name := range variables {
		require.Contains(t, help.String(), "$"+name)
	}
	flags := regexp.MustCompile(`[\s`+"`"+`](--[a-z][a-z-]+)`).FindAllStringSubmatch(string(text), -1)
	require.Greater(t, len(flags), 20)
	for _, found := range flags {
		require.Contains(t, help.String(), "\n  "+found[1])
	}
}
