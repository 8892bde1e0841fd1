package main_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	report "github.com/regionjwt/regionjwt/bench/report"
)

func TestParse(t *testing.T) {
	t.Parallel()
	sample, err := os.Open("testdata/sample.txt")
	require.NoError(t, err)
	defer func() { _ = sample.Close() }()
	r, err := report.Parse(sample)
	require.NoError(t, err)
	require.Equal(t, []string{
		"Fast/10k/serial", "Fast/10k/two-cores", "Fast/10k/entry", "Flood", "Slow/RS256/user/floor", "Slow/RS256/user/regionjwt",
		"Slow/RS256/user/golang-jwt", "Slow/RS256/user/jwx.v2",
	}, r.Names())
	for unit, want := range map[string]float64{"us-over": 1.812, "x-floor": 1.05, "ns/op": 31984, "allocs/op": 13} {
		got, ok := r.Median("Slow/RS256/user/regionjwt", unit)
		require.True(t, ok, unit)
		require.InDelta(t, want, got, 1e-9, unit)
	}
	require.InDelta(t, 0.02/1.05, r.Spread("Slow/RS256/user/regionjwt", "x-floor"), 1e-9)
	_, ok := r.Median("Slow/RS256/user/regionjwt", "B/entry")
	require.False(t, ok)
	_, ok = r.Median("Slow/ES256/user/regionjwt", "x-floor")
	require.False(t, ok)
}

func TestParseMisuse(t *testing.T) {
	t.Parallel()
	_, err := report.Parse(strings.NewReader("BenchmarkX-2 3 1.0 ns/op 4\n"))
	require.ErrorContains(t, err, "no unit")
	_, err = report.Parse(strings.NewReader("BenchmarkX-2 3 one ns/op\n"))
	require.ErrorContains(t, err, "invalid syntax")
	r, err := report.Parse(strings.NewReader("BenchmarkX is a name in a log line\n--- SKIP: BenchmarkY\n"))
	require.NoError(t, err)
	require.Empty(t, r.Names())
}

func TestReport(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "RESULTS.md")
	var out, progress bytes.Buffer
	require.NoError(t, report.Run(t.Context(), []string{"-from", "testdata/sample.txt", "-write", file}, &out, &progress))
	written, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, out.String(), string(written))
	for _, want := range []string{
		"| ratio 1.050; overhead 1.8 us | yes |",
		"| golang-jwt + keyfunc 0.769 | yes |",
		"| ES256 not measured; EdDSA not measured | – |",
		"10,000 1/100; allocations 0; two cores 1.50 x; raw check on two not measured; an entry 78 B | **no**: two cores |",
		"| from the system not measured; heap not measured | – |",
		"| fetches / bucket 1.00 x; p99 / quiet 1.20 x; p99 / busy otherwise 1.00 x | yes |",
		"| **regionjwt** | 32.0 | 1.050 ± 2 % | 1.8 | 1.08 | 13 | 2.1 |",
		"### Slow path: ES256, a user's token\n\nNot measured.",
		"- Example 3000, ",
		"- github.com/lestrrat-go/jwx/v3 v3.",
		"- github.com/regionjwt/regionjwt of this repository",
		"3 runs: the figures are medians over them",
	} {
		require.Contains(t, out.String(), want)
	}
}

// What needs two cores is not judged where there was only one.
func TestSecondCore(t *testing.T) {
	t.Parallel()
	sample, err := os.ReadFile("testdata/sample.txt")
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "busy.txt")
	busy := string(sample) + "BenchmarkFast/10k/two-cores-2 75 33587 ns/op 0.9668 x-one-core-raw\n"
	require.NoError(t, os.WriteFile(file, []byte(busy), 0o600))
	var out, progress bytes.Buffer
	require.NoError(t, report.Run(t.Context(), []string{"-from", file}, &out, &progress))
	require.Contains(t, out.String(), "two cores 1.50 x (other work held the second core); raw check on two 0.97 x; an entry 78 B | – |")
}

func TestMisuse(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	for wrong, args := range map[string][]string{
		"nothing was measured": {"-from", empty},
		"not one number":       {"-cpu", "1,2"},
		"not positive":         {"-count", "0"},
		"no such file":         {"-from", "absent"},
	} {
		var out, progress bytes.Buffer
		require.ErrorContains(t, report.Run(t.Context(), args, &out, &progress), wrong)
		require.Empty(t, out.String())
	}
}
