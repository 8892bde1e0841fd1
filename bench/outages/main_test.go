package main_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	outages "github.com/regionjwt/regionjwt/bench/outages"
)

// The command measures cells that are known beforehand.
func TestRegionjwt(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "OUTAGES.md")
	var out, progress bytes.Buffer
	args := []string{"-libraries", "regionjwt", "-scenarios", "signatures,odd", "-write", file}
	require.NoError(t, outages.Run(t.Context(), args, &out, &progress))
	require.Regexp(t, `bad signature: fetches \| [01] \|`, out.String()) // a wrong signature may cause one
	require.Contains(t, out.String(), "| 4 of 4 |")
	document, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(document), out.String())
	require.Contains(t, progress.String(), "regionjwt    odd")
}

func TestJSON(t *testing.T) {
	t.Parallel()
	var out, progress bytes.Buffer
	args := []string{"-libraries", "regionjwt", "-scenarios", "tokens", "-json"}
	require.NoError(t, outages.Run(t.Context(), args, &out, &progress))
	require.Contains(t, out.String(), `"regionjwt": "all 6 refused"`)
}

func TestMisuse(t *testing.T) {
	t.Parallel()
	var out, progress bytes.Buffer
	require.ErrorContains(t, outages.Run(t.Context(), []string{"-libraries", "none"}, &out, &progress), "there is no none")
	require.ErrorContains(t, outages.Run(t.Context(), []string{"-scenarios", "none"}, &out, &progress), "there is no none")
	require.Empty(t, out.String())
}
