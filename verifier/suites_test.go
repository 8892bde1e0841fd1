package verifier_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// suite is a file of testdata/suites: what the tests of another project demand, in cases of our own.
type suite struct {
	Name, Source, Covers string
	Policy               policySpec // of every case that does not have its own
	Cases                []suiteCase
}

// suiteCase is one behavior. Either it is one token, or it has Steps, or HTTP.
type suiteCase struct {
	tokenSpec
	Name   string
	Policy *policySpec
	Keys   []keySpec // what the issuer publishes; the key that signs if it is empty
	HTTP   *httpSpec
	Steps  []stepSpec

	Theirs string // accept, reject, config (no configuration allows it), or a status of HTTP
	Ours   string // the same, or a reason; as Theirs if it is empty
	Want   map[string]any

	Decision string      // why we differ: a name of decisions.json
	With     *policySpec // with this policy we do not differ
}

// decision says why the outcome of some cases is another one here.
type decision struct{ Name, Why, Option string }

const suitesDir = "testdata/suites"

func readSuites(t *testing.T) (suites []suite, decisions []decision) {
	t.Helper()
	files, err := filepath.Glob(suitesDir + "/*.json")
	require.NoError(t, err)
	for _, file := range files {
		doc, err := os.ReadFile(file)
		require.NoError(t, err)
		d := json.NewDecoder(bytes.NewReader(doc))
		d.DisallowUnknownFields()
		if filepath.Base(file) == "decisions.json" {
			require.NoError(t, d.Decode(&decisions), file)
			continue
		}
		var s suite
		require.NoError(t, d.Decode(&s), file)
		suites = append(suites, s)
	}
	return suites, decisions
}

// tally counts the cases of a suite.
type tally struct{ cases, agree, decided, wrong int }

func (n tally) String() string {
	return fmt.Sprintf("%d | %d | %d | %d", n.cases, n.agree, n.decided, n.wrong)
}

// Every behavior that other verifiers test is the same here, or differs by a decision that is listed with its option.
func TestOtherSuites(t *testing.T) {
	t.Parallel()
	suites, decisions := readSuites(t)
	why := map[string]decision{}
	for _, d := range decisions {
		require.NotEmpty(t, d.Why, d.Name)
		why[d.Name] = d
	}
	used, table := map[string]int{}, &strings.Builder{}
	table.WriteString("| project | version | cases | agree | by decision | wrong |\n|---|---|---|---|---|---|\n")
	var sum tally
	var wrong []string
	for _, s := range suites {
		var n tally
		names := map[string]bool{}
		for _, c := range s.Cases {
			require.False(t, names[c.Name], "%s: %s is there twice", s.Name, c.Name)
			names[c.Name] = true
			n.cases++
			problem := s.play(t, &c)
			if c.Decision != "" {
				require.Contains(t, why, c.Decision, "%s: %s", s.Name, c.Name)
				used[c.Decision]++
			}
			switch {
			case problem != "":
				n.wrong++
				wrong = append(wrong, s.Name+": "+c.Name)
				t.Logf("%s: %s: %s", s.Name, c.Name, problem)
			case c.Decision != "":
				n.decided++
			default:
				n.agree++
			}
		}
		fmt.Fprintf(table, "| %s | %s | %s |\n", s.Name, s.Source, n)
		sum = tally{sum.cases + n.cases, sum.agree + n.agree, sum.decided + n.decided, sum.wrong + n.wrong}
	}
	fmt.Fprintf(table, "| **all** | | %s |\n", sum)
	require.Zero(t, sum.wrong, "%v", wrong)
	require.ElementsMatch(t, slices.Collect(maps.Keys(why)), slices.Collect(maps.Keys(used)), "every decision is used")
	t.Log("\n" + table.String())
	table.WriteString("\n| we differ | cases | because | option |\n|---|---|---|---|\n")
	for _, d := range decisions {
		fmt.Fprintf(table, "| %s | %d | %s | %s |\n", d.Name, used[d.Name], d.Why, cmp.Or(d.Option, "none"))
	}
	for _, name := range wrong {
		fmt.Fprintf(table, "\nWrong: %s.\n", name)
	}
	compareTable(t, table.String())
}

// compareTable demands that the document has the table, or writes it if WRITE_SUITES is set.
func compareTable(t *testing.T, table string) {
	t.Helper()
	const file, begin, end = "../docs/other-suites.md", "<!-- table -->\n", "<!-- end of table -->"
	doc, err := os.ReadFile(file)
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(doc), begin)
	require.True(t, found)
	old, after, found := strings.Cut(rest, end)
	require.True(t, found)
	if os.Getenv("WRITE_SUITES") != "" {
		require.NoError(t, os.WriteFile(file, []byte(before+begin+table+end+after), 0o600))
		return
	}
	require.Equal(t, old, table, "a case of another suite has another outcome: see the log. If that is as it should be, "+
		"WRITE_SUITES=1 go test -run TestOtherSuites ./verifier writes the table of %s", file)
}

// play returns "" if the outcome of a case is what it must be, or what is wrong.
func (s *suite) play(t *testing.T, c *suiteCase) string {
	t.Helper()
	p := cmp.Or(c.Policy, &s.Policy)
	if c.HTTP == nil && len(c.Steps) == 0 {
		c.Steps = []stepSpec{{tokenSpec: c.tokenSpec, Keys: c.Keys, Theirs: c.Theirs, Ours: c.Ours}}
		if key, _, _ := strings.Cut(c.Sign, "/"); c.Keys == nil && suiteKeys()[key] != nil {
			c.Steps[0].Keys = []keySpec{{Key: key}}
		}
	}
	if len(c.Steps) > 0 {
		problem := playSteps(t, p, c.Steps, c.Want, c.Decision != "")
		if problem == "" && c.With != nil {
			for i := range c.Steps {
				c.Steps[i].Ours = ""
			}
			if problem = playSteps(t, c.With, c.Steps, c.Want, false); problem != "" {
				problem = "with the option: " + problem
			}
		}
		return problem
	}
	return judge(c.Theirs, c.Ours, c.HTTP.play(t, p, &c.tokenSpec, c.Keys), c.Decision != "")
}

// judge compares an outcome with what the other project demands, and with what we do.
func judge(theirs, ours, outcome string, decided bool) string {
	class := func(outcome string) string {
		if outcome == "accept" || outcome == "config" || len(outcome) == 3 { // a status
			return outcome
		}
		return "reject"
	}
	if want := cmp.Or(ours, theirs); want != outcome && (want != "reject" || class(outcome) != want) {
		return fmt.Sprintf("%s, want %s", outcome, want)
	}
	if same := class(outcome) == theirs; same && decided {
		return outcome + ": we do not differ"
	} else if !same && !decided {
		return fmt.Sprintf("%s, theirs is %s", outcome, theirs)
	}
	return ""
}
