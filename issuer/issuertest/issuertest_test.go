package issuertest_test

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

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
)

func ExampleWorld() {
	world := issuertest.New(nil, issuertest.Config{Layout: issuertest.IssuerPerRegion, Algorithm: "EdDSA"})
	defer world.Close()
	world.Status("us-east-1", http.StatusServiceUnavailable, nil)
	for _, r := range world.Provider().Regions {
		resp, err := world.Client().Get(r.JWKSURLs[0])
		if err != nil {
			fmt.Println(err)
			return
		}
		_ = resp.Body.Close()
		fmt.Println(r.Name, resp.StatusCode)
	}
	// Output:
	// us-east-1 503
	// us-west-2 200
}

// fetch gets a document of the world and returns its status and body, or the error.
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
		w := issuertest.New(t, issuertest.Config{Algorithm: "ES256", Issuer: issuer.Original})
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
	w := issuertest.New(t, issuertest.Config{Algorithm: "ES256", Issuer: issuer.Original})
	w.Serve()
	url := w.Provider().Regions[1].JWKSURLs[0]
	require.True(t, strings.HasPrefix(url, "http://127.0.0.1:"))
	testFaults(t, w, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, url, 200*time.Millisecond)
}

func testFaults(t *testing.T, w *issuertest.World, c *http.Client, url string, patience time.Duration) {
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
	w.Mend(region)

	old := w.KeyID(region)
	w.Lag(region)
	w.Rotate(region)
	_, body, err = get()
	require.NoError(t, err)
	require.NotContains(t, body, w.KeyID(region), "it lags")
	w.Mend(region)
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

func TestMendReleasesWhatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := issuertest.New(t, issuertest.Config{Algorithm: "ES256"})
		w.Hang("us-east-1")
		result := make(chan error, 1)
		go func() {
			_, _, err := fetch(t, w.Client(), w.Provider().Regions[0].JWKSURLs[0], time.Hour)
			result <- err
		}()
		synctest.Wait()
		w.Mend("us-east-1")
		require.ErrorIs(t, <-result, io.ErrUnexpectedEOF)
	})
}

// The host of the updated mode answers for the primary of a pool in that mode, and 403 for any other.
func TestUpdatedHost(t *testing.T) {
	t.Parallel()
	for mode, want := range map[issuer.IssuerType]int{issuer.Original: 403, issuer.Updated: 200, issuer.AnyIssuer: 200} {
		for _, serve := range []bool{false, true} {
			w := issuertest.New(t, issuertest.Config{Algorithm: "ES256", Issuer: mode})
			client := w.Client()
			url := "https://issuer-cognito-idp.us-east-1.amazonaws.com/us-east-1_Testing01/.well-known/jwks.json"
			if serve {
				w.Serve()
				client = &http.Client{Transport: new(http.Transport)}
				url = strings.Replace(w.Provider().Regions[0].JWKSURLs[len(w.Provider().Regions[0].JWKSURLs)-1], "/us-east", "/updated/us-east", 1)
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
	pool := issuertest.New(t, issuertest.Config{Algorithm: "ES256"})
	user := claimsOf(t, pool.Token("us-west-2", issuertest.Claims{Groups: []string{"g"}}), 1)
	require.Equal(t, "access", user["token_use"])
	require.Equal(t, "alice", user["username"])
	require.Equal(t, []any{"g"}, user["cognito:groups"])
	require.NotContains(t, user, "aud")
	require.Equal(t, "https://cognito-idp.us-west-2.amazonaws.com/us-east-1_Testing01", user["iss"])
	machine := claimsOf(t, pool.Token("us-east-1", issuertest.Claims{Machine: true}), 1)
	require.Equal(t, issuertest.ClientID, machine["sub"])
	require.NotContains(t, machine, "username")
	id := claimsOf(t, pool.Token("us-east-1", issuertest.Claims{Use: "id"}), 1)
	require.Equal(t, issuertest.ClientID, id["aud"])
	require.NotContains(t, id, "client_id")
	require.Contains(t, id, "cognito:username")

	plain := issuertest.New(t, issuertest.Config{Layout: issuertest.OneIssuer, Algorithm: "ES256"})
	token := plain.Token("us-east-1", issuertest.Claims{Set: map[string]any{"x": 1, "jti": nil}, Header: map[string]any{"typ": "at+jwt"}})
	require.Equal(t, issuertest.Audience, claimsOf(t, token, 1)["aud"])
	require.NotContains(t, claimsOf(t, token, 1), "jti")
	require.Equal(t, "at+jwt", claimsOf(t, token, 0)["typ"])
	require.NotEqual(t, token, issuertest.Tamper(token))
	require.Equal(t, "xA", issuertest.Tamper("x"))
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
	require.Panics(t, func() { issuertest.New(tb, issuertest.Config{Algorithm: "ES256"}).Break("mars") })
	require.Contains(t, tb.failed, `no region "mars"`)
	require.Panics(t, func() { issuertest.New(nil, issuertest.Config{Algorithm: "HS256"}) })
}
