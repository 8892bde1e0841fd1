// Mutate shows that the tests guard the rules: it takes out one rule of the code after the other, in an overlay that leaves
// the tree alone, and fails unless some test of the named packages fails each time.
//
//	go run ./internal/mutate            all rules of internal/mutate/rules.txt
//	go run ./internal/mutate -run kid   those whose name holds "kid"
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// rule is one mutation: in file, the text old becomes new, and then a test of packages has to fail.
type rule struct {
	name, file, packages string
	old, new             string
}

func main() {
	list := flag.String("rules", "internal/mutate/rules.txt", "the list of rules")
	run := flag.String("run", "", "only rules whose name holds this text")
	flag.Parse()
	survivors, tried, err := check(*list, *run)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(2)
	}
	fmt.Printf("%d rules taken out, %d not noticed\n", tried, survivors)
	if survivors > 0 {
		os.Exit(1)
	}
}

func check(list, run string) (survivors, tried int, err error) {
	text, err := os.ReadFile(list)
	if err != nil {
		return 0, 0, err
	}
	rules, err := parse(string(text))
	if err != nil {
		return 0, 0, err
	}
	for _, r := range rules {
		if !strings.Contains(r.name, run) {
			continue
		}
		tried++
		began := time.Now()
		noticed, err := r.noticed()
		verdict := "noticed"
		if err != nil || !noticed {
			verdict = "NOT NOTICED"
			survivors++
		}
		if err != nil {
			fmt.Println(err)
		}
		fmt.Printf("%-12s %5.1fs  %s\n", verdict, time.Since(began).Seconds(), r.name)
	}
	return survivors, tried, nil
}

// parse reads the list: blocks of "rule: name", "file: path", "test: packages", lines that begin with "- " (the old text) and
// with "+ " (the new one), parted by empty lines.
func parse(text string) ([]rule, error) {
	var rules []rule
	for block := range strings.SplitSeq(text, "\n\n") {
		var r rule
		var before, after []string
		for line := range strings.SplitSeq(block, "\n") {
			switch {
			case line == "" || strings.HasPrefix(line, "#"):
			case strings.HasPrefix(line, "rule: "):
				r.name = line[len("rule: "):]
			case strings.HasPrefix(line, "file: "):
				r.file = line[len("file: "):]
			case strings.HasPrefix(line, "test: "):
				r.packages = line[len("test: "):]
			case strings.HasPrefix(line, "- "):
				before = append(before, line[2:])
			case strings.HasPrefix(line, "+ "):
				after = append(after, line[2:])
			default:
				return nil, fmt.Errorf("line %q is of no known kind", line)
			}
		}
		if r.name == "" && len(before) == 0 {
			continue
		}
		r.old, r.new = strings.Join(before, "\n"), strings.Join(after, "\n")
		if r.name == "" || r.file == "" || r.packages == "" || r.old == "" {
			return nil, fmt.Errorf("rule %q is not whole", r.name)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// mutant returns the source of the file without the rule. The old text must be found exactly once.
func (r rule) mutant(source []byte) ([]byte, error) {
	if n := bytes.Count(source, []byte(r.old)); n != 1 {
		return nil, fmt.Errorf("its text is found %d times in %s, not once", n, r.file)
	}
	return bytes.Replace(source, []byte(r.old), []byte(r.new), 1), nil
}

// noticed reports whether a test fails without the rule. Code that does not compile is an error: it would prove nothing.
func (r rule) noticed() (bool, error) {
	source, err := os.ReadFile(r.file)
	if err != nil {
		return false, err
	}
	without, err := r.mutant(source)
	if err != nil {
		return false, err
	}
	dir, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return false, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	mutant := filepath.Join(dir, "mutant.go")
	if err := os.WriteFile(mutant, without, 0o600); err != nil {
		return false, err
	}
	original, err := filepath.Abs(r.file)
	if err != nil {
		return false, err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{original: mutant}})
	if err != nil {
		return false, err
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, overlay, 0o600); err != nil {
		return false, err
	}
	for pkg := range strings.FieldsSeq(r.packages) {
		if failed, err := fails(path, filepath.Join(dir, "package.test"), pkg); failed || err != nil {
			return failed, err
		}
	}
	return false, nil
}

// fails builds the tests of a package with an overlay, runs them, and reports whether one fails. It does not wait for the others.
func fails(overlay, binary, pkg string) (bool, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	build := exec.CommandContext(ctx, "go", "test", "-c", "-overlay", overlay, "-o", binary, ".")
	build.Dir = pkg // which may be of another module
	if out, err := build.CombinedOutput(); err != nil {
		return false, fmt.Errorf("without it the code does not compile: %s", out)
	}
	run := exec.CommandContext(ctx, binary, "-test.failfast", "-test.timeout=120s")
	run.Dir = pkg
	out, err := run.StdoutPipe()
	if err != nil {
		return false, err
	}
	if err := run.Start(); err != nil {
		return false, err
	}
	lines := bufio.NewReader(out)
	for err == nil {
		var line string
		line, err = lines.ReadString('\n')
		if strings.HasPrefix(line, "--- FAIL") {
			cancel() // ends the process
			break
		}
	}
	err = run.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && ctx.Err() == nil {
		return false, err
	}
	return err != nil, nil
}
