package fakeissuer_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
)

// fetch gets a document of the provider and returns its status and body, or the error.
func fetch(t *testing.T, c *http.Client, url string, limit time.Duration) (int, string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	require.NoError(t, err)
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

func TestFaults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := fakeissuer.New(t, fakeissuer.Config{Algorithm: "ES256", Mode: issuer.CognitoOriginal})
		testFaults(t, w, w.Client(), w.Provider().Regions[1].JWKSURLs[0], 2*time.Second)
		began := time.Now()
		w.Slow("us-west-2", time.Minute)
		status, _, err := fetch(t, w.Client(), w.Provider().Regions[1].JWKSURLs[0], time.Hour)
		require.NoError(t, err)
		require.Equal(t, 200, status)
		require.Equal(t, time.Minute, time.Since(began))
		_, _, err = fetch(t, w.Client(), "https://elsewhere.example", time.Second)
		require.ErrorContains(t, err, "no such host")
	})
}

func TestFaultsOnListeners(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fakeissuer.Config{Algorithm: "ES256", Mode: issuer.CognitoOriginal})
	w.Serve()
	url := w.Provider().Regions[1].JWKSURLs[0]
	require.True(t, strings.HasPrefix(url, "http://127.0.0.1:"))
	testFaults(t, w, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, url, 200*time.Millisecond)
}

func testFaults(t *testing.T, w *fakeissuer.Server, c *http.Client, url string, patience time.Duration) {
	t.Helper()
	const region = "us-west-2"
	get := func() (int, string, error) { return fetch(t, c, url, patience) }
	status, body, err := get()
	require.NoError(t, err)
	require.Equal(t, 200, status)
	require.Contains(t, body, w.KeyID(region))

	w.Break(region)
	_, _, err = get()
	require.Error(t, err)
	w.Hang(region)
	_, _, err = get()
	require.ErrorIs(t, err, context.DeadlineExceeded)
	w.Status(region, 429, http.Header{"Retry-After": {"7"}})
	status, _, err = get()
	require.NoError(t, err)
	require.Equal(t, 429, status)
	w.Corrupt(region, []byte("junk"))
	status, body, err = get()
	require.NoError(t, err)
	require.Equal(t, "200 junk", fmt.Sprint(status, " ", body))
	w.Restore(region)

	old := w.KeyID(region)
	w.Lag(region)
	w.Rotate(region)
	_, body, err = get()
	require.NoError(t, err)
	require.NotContains(t, body, w.KeyID(region), "it lags")
	w.Restore(region)
	_, body, err = get()
	require.NoError(t, err)
	require.Contains(t, body, w.KeyID(region))
	require.Contains(t, body, old)
	w.Withdraw(region)
	_, body, err = get()
	require.NoError(t, err)
	require.NotContains(t, body, old)
	require.Equal(t, 8, w.Fetches(region))
}

func TestRestoreReleasesWhatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := fakeissuer.New(t, fakeissuer.Config{Algorithm: "ES256"})
		w.Hang("us-east-1")
		result := make(chan error, 1)
		go func() {
			_, _, err := fetch(t, w.Client(), w.Provider().Regions[0].JWKSURLs[0], time.Hour)
			result <- err
		}()
		synctest.Wait()
		w.Restore("us-east-1")
		require.ErrorIs(t, <-result, io.ErrUnexpectedEOF)
	})
}

// The host of the updated mode answers for the primary of a pool in that mode, and 403 for any other.
func TestHostOfTheUpdatedMode(t *testing.T) {
	t.Parallel()
	for mode, want := range map[issuer.CognitoMode]int{issuer.CognitoOriginal: 403, issuer.CognitoUpdated: 200, issuer.CognitoAny: 200} {
		for _, serve := range []bool{false, true} {
			w := fakeissuer.New(t, fakeissuer.Config{Algorithm: "ES256", Mode: mode})
			client := w.Client()
			url := "https://issuer-cognito-idp.us-east-1.amazonaws.com/us-east-1_Testing01/.well-known/jwks.json"
			if serve {
				w.Serve()
				client = &http.Client{Transport: new(http.Transport)}
				url = w.Provider().Regions[0].JWKSURLs[0]
				if mode == issuer.CognitoOriginal {
					url = strings.Replace(url, "/us-east", "/issuer-cognito-idp.us-east-1.amazonaws.com/us-east", 1)
					want = 404
				}
			}
			status, _, err := fetch(t, client, url, 10*time.Second)
			require.NoError(t, err)
			require.Equal(t, want, status)
		}
	}
}

func claimsOf(t *testing.T, token string, part int) (m map[string]any) {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[part])
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &m))
	return m
}

func TestTokensAreShapedLikeTheRealOnes(t *testing.T) {
	t.Parallel()
	pool := fakeissuer.New(t, fakeissuer.Config{Algorithm: "ES256"})
	user := claimsOf(t, pool.Issue("us-west-2", fakeissuer.Claims{Groups: []string{"g"}}), 1)
	require.Equal(t, "access", user["token_use"])
	require.Equal(t, "alice", user["username"])
	require.Equal(t, []any{"g"}, user["cognito:groups"])
	require.NotContains(t, user, "aud")
	require.Equal(t, "https://cognito-idp.us-west-2.amazonaws.com/us-east-1_Testing01", user["iss"])
	machine := claimsOf(t, pool.Issue("us-east-1", fakeissuer.Claims{Machine: true}), 1)
	require.Equal(t, fakeissuer.ClientID, machine["sub"])
	require.NotContains(t, machine, "username")
	id := claimsOf(t, pool.Issue("us-east-1", fakeissuer.Claims{IDToken: true}), 1)
	require.Equal(t, fakeissuer.ClientID, id["aud"])
	require.NotContains(t, id, "client_id")
	require.Contains(t, id, "cognito:username")

	plain := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.OneIssuer, Algorithm: "ES256"})
	token := plain.Issue("us-east-1", fakeissuer.Claims{Set: map[string]any{"x": 1, "jti": nil}, Header: map[string]any{"typ": "at+jwt"}})
	require.Equal(t, fakeissuer.Audience, claimsOf(t, token, 1)["aud"])
	require.NotContains(t, claimsOf(t, token, 1), "jti")
	require.Equal(t, "at+jwt", claimsOf(t, token, 0)["typ"])
	require.NotEqual(t, token, fakeissuer.Tamper(token))
	require.Equal(t, "xA", fakeissuer.Tamper("x"))
}

// Close returns after each kind of misuse: a test that fails calls it, and would hang until its timeout.
func TestMisuseLeavesNoLock(t *testing.T) {
	t.Parallel()
	for name, misuse := range map[string]func(*fakeissuer.Server){
		"Break":    func(s *fakeissuer.Server) { s.Break("mars") },
		"BreakURL": func(s *fakeissuer.Server) { s.BreakURL("https://mars.example/") },
		"Fetches":  func(s *fakeissuer.Server) { s.Fetches("mars") },
		"Issue":    func(s *fakeissuer.Server) { s.Issue("mars", fakeissuer.Claims{}) },
		"KeyID":    func(s *fakeissuer.Server) { s.KeyID("mars") },
		"KeyOf":    func(s *fakeissuer.Server) { s.Issue(s.Provider().Regions[0].Name, fakeissuer.Claims{KeyOf: "mars"}) },
		"KeySet":   func(s *fakeissuer.Server) { s.KeySet("mars") },
		"Lag":      func(s *fakeissuer.Server) { s.Lag("mars") },
		"Restore":  func(s *fakeissuer.Server) { s.Restore("mars") },
		"Rotate":   func(s *fakeissuer.Server) { s.Rotate("mars") },
		"Serve":    func(s *fakeissuer.Server) { s.Serve() },
		"Withdraw": func(s *fakeissuer.Server) { s.Withdraw("mars") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tb := new(recorder)
			s := fakeissuer.New(tb, fakeissuer.Config{Algorithm: "ES256", Addresses: map[string]string{"us-east-1": "nowhere"}})
			require.Panics(t, func() { misuse(s) })
			require.NotEmpty(t, tb.failed)
			closed := make(chan struct{})
			go func() { defer close(closed); s.Close() }()
			select {
			case <-closed:
			case <-time.After(10 * time.Second):
				t.Fatal("Close hangs")
			}
		})
	}
}

// recorder is a TB that notes what fails.
type recorder struct{ failed string }

func (r *recorder) Helper()        {}
func (r *recorder) Cleanup(func()) {}
func (r *recorder) Fatalf(format string, args ...any) {
	r.failed = fmt.Sprintf(format, args...)
	panic(r)
}

func TestMisuseFails(t *testing.T) {
	t.Parallel()
	tb := new(recorder)
	require.Panics(t, func() { fakeissuer.New(tb, fakeissuer.Config{Algorithm: "ES256"}).Break("mars") })
	require.Contains(t, tb.failed, `no region "mars": the provider has ["us-east-1" "us-west-2"]`)
	require.Panics(t, func() { fakeissuer.New(nil, fakeissuer.Config{Algorithm: "HS256"}) })
}
