package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// programs are those that a reader is expected to have; what they are told is not checked.
var programs = []string{"cd", "curl", "echo", "export", "jq", "kubectl", "sleep", "systemctl"}

// words marks a place where a command ends with a word of its own.
const end = "\n"

// split splits a script into words and the ends of commands. It knows quotes, comments, continued lines and $( ).
func split(script string) (words []string) {
	var word strings.Builder
	flush := func(then ...string) {
		if word.Len() > 0 {
			words = append(words, word.String())
		}
		word.Reset()
		words = append(words, then...)
	}
	script = strings.ReplaceAll(script, "\\\n", " ")
	for i := 0; i < len(script); i++ {
		switch ch := script[i]; ch {
		case '"', '\'':
			closing := strings.IndexByte(script[i+1:], ch)
			if closing < 0 {
				return append(words, "quotes without an end")
			}
			word.WriteString(script[i : i+closing+2])
			i += closing + 1
		case ' ', '\t':
			flush()
		case '#':
			if word.Len() > 0 {
				word.WriteByte(ch)
				continue
			}
			for i+1 < len(script) && script[i+1] != '\n' {
				i++
			}
		case '\n', ';', '|', '&', '(', ')':
			flush(end)
		default:
			word.WriteByte(ch)
		}
	}
	flush(end)
	return words
}

// commands returns those of a script, without the assignments and words of the shell before them, and without redirections.
func commands(script string) (all [][]string) {
	var command []string
	for _, word := range split(script) {
		switch {
		case word == end:
			if len(command) > 0 {
				all = append(all, command)
			}
			command = nil
		case len(command) == 0 && (strings.Contains(word, "=") || slices.Contains([]string{"if", "then", "else", "fi", "!"}, word)):
		case len(command) == 0 && slices.Contains([]string{"for", "do", "done", "while"}, word):
			command = nil
			if word == "for" || word == "while" {
				command = []string{"echo"}
			}
		case strings.HasPrefix(word, "<") || strings.HasPrefix(word, ">"):
		default:
			command = append(command, word)
		}
	}
	return all
}

// tool is cmd/regionjwt: its commands, the flags of each, and all that it says of itself.
type tool struct {
	flags map[string][]string
	help  string
}

var (
	commandLine = regexp.MustCompile(`(?m)^  ([a-z]+)  +\S`)
	flagLine    = regexp.MustCompile(`(?m)^  (--[a-z-]+)`)
	variable    = regexp.MustCompile(`REGIONJWT_[A-Z_]+`)
)

func newTool(t *testing.T) tool {
	t.Helper()
	program := filepath.Join(t.TempDir(), "regionjwt")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	build.Dir = filepath.Join(root, "cmd", "regionjwt")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	help := func(args ...string) string {
		out, err := exec.CommandContext(t.Context(), program, append([]string{"help"}, args...)...).CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	known := tool{flags: map[string][]string{"help": {}}, help: help()}
	for _, m := range commandLine.FindAllStringSubmatch(known.help, -1) {
		text := help(m[1])
		known.help += text
		known.flags[m[1]] = []string{}
		for _, f := range flagLine.FindAllStringSubmatch(text, -1) {
			known.flags[m[1]] = append(known.flags[m[1]], f[1])
		}
	}
	require.Contains(t, known.flags["revoke"], "--thumbprint")
	return known
}

// check returns the mistake of a command, or "".
func (k tool) check(command []string) string {
	switch name, args := command[0], command[1:]; {
	case name == "regionjwt" && len(args) > 0:
		flags, ok := k.flags[args[0]]
		if !ok {
			return "regionjwt has no command " + args[0]
		}
		for _, arg := range args[1:] {
			if f, _, _ := strings.Cut(arg, "="); strings.HasPrefix(f, "-") && !slices.Contains(flags, f) {
				return "regionjwt " + args[0] + " has no flag " + f
			}
		}
	case name == "make" && len(args) > 0:
		makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
		if err != nil || !regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(args[0])+`:`).Match(makefile) {
			return "the Makefile has no target " + args[0]
		}
	case name == "go" && len(args) > 1:
		for _, arg := range args[1:] {
			if _, err := os.Stat(filepath.Join(root, strings.TrimSuffix(arg, "..."))); strings.HasPrefix(arg, "./") && err != nil {
				return "there is no " + arg
			}
		}
	case !slices.Contains(programs, name):
		return "who knows " + name + "?"
	}
	return ""
}

// Every command line of the documents names commands, flags, targets, packages and variables that exist.
func TestShellBlocks(t *testing.T) {
	t.Parallel()
	known, ours := newTool(t), 0
	for _, b := range blocks(t, "sh", 20) {
		for _, command := range commands(b.text) {
			require.Empty(t, known.check(command), "%s: %q", b, command)
			if command[0] == "regionjwt" {
				ours++
			}
		}
		for _, v := range variable.FindAllString(b.text, -1) {
			require.Contains(t, known.help, v, b.String())
		}
	}
	require.GreaterOrEqual(t, ours, 20)
}

// TestShellBlocks would notice.
func TestBrokenShellBlocks(t *testing.T) {
	t.Parallel()
	known := newTool(t)
	for script, mistake := range map[string]string{
		"regionjwt revoked": "no command revoked",
		"x=$(regionjwt revoke --all\\\n --nowhere \"a b\")": "no flag --all",
		"regionjwt rules | jq . && regionjwt check --usr":   "no flag --usr",
		"make coffee # now":                        "no target coffee",
		"go run ./examples/none":                   "no ./examples/none",
		"FOO=1 elsewhere -x":                       "who knows elsewhere?",
		"for s in a b; do\n  regionjwt rule\ndone": "no command rule",
	} {
		var found string
		for _, command := range commands(script) {
			if found == "" {
				found = known.check(command)
			}
		}
		require.Contains(t, found, mistake, script)
	}
	require.Equal(t, [][]string{{"regionjwt", "status", `"a b"`}, {"jq", "."}}, commands("X=1 regionjwt status \"a b\" <in | jq . # no"))
}
