package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	runner "github.com/regionjwt/regionjwt/bench/conformance"
)

const corpus = "-corpus=../../conformance"

// run returns the results of an adapter.
func run(t *testing.T, h http.Handler, args ...string) runner.Result {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	var out, progress bytes.Buffer
	err := runner.Run(t.Context(), append(args, corpus, "-url", server.URL, "-json"), &out, &progress)
	var results []runner.Result
	require.NoError(t, json.Unmarshal(out.Bytes(), &results), "%s", &progress)
	require.Len(t, results, 1)
	require.Equal(t, len(results[0].Failures) > 0, errors.Is(err, runner.ErrWrong), "the status of -json: %v", err)
	return results[0]
}

// regionjwt does nothing wrong. How long callers wait is tested in virtual time, and so is every case.
func TestRegionjwt(t *testing.T) {
	t.Parallel()
	var out, progress bytes.Buffer
	args := []string{corpus, "-local", "regionjwt", "-workers", "16", "-every", "4", "-json"}
	if err := runner.Run(t.Context(), args, &out, &progress); !errors.Is(err, runner.ErrWrong) {
		require.NoError(t, err, "%s", &progress)
	}
	var results []runner.Result
	require.NoError(t, json.Unmarshal(out.Bytes(), &results))
	for _, f := range results[0].Failures {
		if f.Kind != "slow" {
			t.Errorf("%s: %s: %s", f.ID, f.Kind, f.Detail)
		}
	}
	require.Greater(t, results[0].Cases, 150)
	require.Greater(t, results[0].Stories, 50)
}

// always answers every token in one way.
type always struct {
	result      string
	unsupported []string
}

func (a always) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	reply := map[string]any{"unsupported": a.unsupported}
	if r.URL.Path == "/verify" {
		reply = map[string]any{"result": a.result, "detail": "always"}
	}
	_ = json.NewEncoder(w).Encode(reply)
}

// quick are the stories that need no time.
const quick = "jwks-http/"

// Verifiers that are wrong are noticed: one that accepts everything, one that rejects everything, one that never knows, and one
// that answers nonsense.
func TestWrongVerifiersAreNoticed(t *testing.T) {
	t.Parallel()
	for result, want := range map[string]struct{ cases, stories map[string]bool }{
		"accept":      {map[string]bool{"accepted": true}, map[string]bool{"accepted": true}},
		"invalid":     {map[string]bool{"refused": true}, map[string]bool{"refused": true, "said bad": true}},
		"unavailable": {map[string]bool{"refused": true}, map[string]bool{"refused": true}},
		"perhaps":     {map[string]bool{"crash": true}, map[string]bool{"crash": true}},
	} {
		t.Run(result, func(t *testing.T) {
			t.Parallel()
			stories := run(t, always{result: result}, "-only", quick)
			require.NotZero(t, stories.Stories)
			kinds := map[string]bool{}
			for _, f := range stories.Failures {
				require.True(t, strings.HasPrefix(f.ID, "story:"))
				kinds[f.Kind] = true
			}
			require.Equal(t, want.stories, kinds)

			cases := run(t, always{result: result}, "-only", "time/")
			kinds = map[string]bool{}
			for _, f := range cases.Failures {
				kinds[f.Kind] = true
			}
			require.Equal(t, want.cases, kinds)
		})
	}
}

// What a verifier does not have is not judged.
func TestWhatDoesNotApply(t *testing.T) {
	t.Parallel()
	r := run(t, always{"accept", []string{"fetch"}}, "-only", quick)
	require.Zero(t, r.Stories)
	require.NotEmpty(t, r.Skipped)
	require.Empty(t, r.Failures)
	r = run(t, always{"accept", []string{"scopes"}}, "-only", "scope/")
	require.Zero(t, r.Cases)
	require.Empty(t, r.Failures)
}

// A verifier that asks too often is noticed.
func TestRequestsAreCounted(t *testing.T) {
	t.Parallel()
	var url string
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Issuers []struct {
				URI string `json:"jwks_uri"`
			}
		}
		if r.URL.Path == "/configure" {
			_ = json.NewDecoder(r.Body).Decode(&q)
			url = q.Issuers[0].URI
		} else if req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, url, nil); err == nil {
			if resp, err := http.DefaultClient.Do(req); err == nil {
				_ = resp.Body.Close()
			}
		}
		_, _ = w.Write([]byte(`{"result":"unavailable"}`))
	})
	for _, id := range []string{"jwks-http/plain", "jwks-cache/unknown-issuer-flood", "jwks-cache/outage-flood"} {
		r := run(t, h, "-only", id)
		found := false
		for _, f := range r.Failures {
			found = found || f.Kind == "requests"
		}
		require.True(t, found, id)
	}
}

func TestWriteAndMisuse(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(always{result: "accept"})
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "RESULTS.md")
	var out, progress bytes.Buffer
	err := runner.Run(t.Context(), []string{corpus, "-url", server.URL, "-only", "crit/", "-write", file}, &out, &progress)
	require.ErrorIs(t, err, runner.ErrWrong)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(text), "- accepted, must not: crit/b64-false-detached")
	require.Contains(t, string(text), out.String())

	err = runner.Run(t.Context(), []string{corpus, "-url", server.URL, "-only", "timme/"}, &out, &progress)
	require.ErrorIs(t, err, runner.ErrNothing)

	known := filepath.Join(t.TempDir(), "known.txt")
	args := []string{corpus, "-url", server.URL, "-only", "crit/", "-known", known}
	require.ErrorIs(t, runner.Run(t.Context(), args, &out, &progress), os.ErrNotExist)
	var ids []string
	for _, f := range run(t, always{result: "accept"}, "-only", "crit/").Failures {
		ids = append(ids, f.ID)
	}
	require.NoError(t, os.WriteFile(known, []byte(strings.Join(ids, "\n")+"\n"), 0o600))
	require.NoError(t, runner.Run(t.Context(), args, &out, &progress), "every failure is known")
	require.NoError(t, os.WriteFile(known, []byte(strings.Join(ids[1:], "\n")), 0o600))
	require.ErrorContains(t, runner.Run(t.Context(), args, &out, &progress), "beginning with "+ids[0])

	for _, args := range [][]string{{}, {"-adapter", "none"}, {"-local", "none"}} {
		require.ErrorIs(t, runner.Run(t.Context(), args, &out, &progress), runner.ErrNoAdapter)
	}
	require.Error(t, runner.Run(t.Context(), []string{"-url", server.URL, "-corpus", t.TempDir()}, &out, &progress))
}
