// Package adapters tests middleware/httpauth in front of the routers and RPC libraries that others wrote, over real
// connections. What it takes to put them together is in the functions that are named recipe: they are there to be copied.
package adapters_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/verifier"
)

const (
	east  = "us-east-1"
	west  = "us-west-2"
	read  = "orders/read"
	write = "orders/write"

	patience = 20 * time.Second // for what has to come about, on a busy machine
	tick     = 20 * time.Millisecond
)

// service is what every framework serves: orders, shown to whom the middleware lets through.
type service struct {
	fake      *fakeissuer.Server
	validator *regionjwt.Validator
	auth      *httpauth.Middleware
	served    atomic.Int64 // how often a handler ran
}

func newService(t *testing.T, c httpauth.Config) *service {
	t.Helper()
	s := &service{fake: fakeissuer.New(t, fakeissuer.Config{Algorithm: "ES256"})}
	var err error
	s.validator, err = regionjwt.New(regionjwt.Config{
		Keys: jwks.Config{HTTPClient: s.fake.Client()}, Tokens: verifier.Config{Leeway: -1},
		Policies: []verifier.Policy{{
			Provider: s.fake.Provider(), Audience: verifier.CognitoAccess(fakeissuer.ClientID), Algorithms: []string{"ES256"},
		}},
	})
	require.NoError(t, err)
	s.auth, err = httpauth.New(s.validator, c)
	require.NoError(t, err)
	return s
}

// warm fetches the keys of all regions: until each has answered, nobody can tell a bad signature from that of another key.
func (s *service) warm(t *testing.T) {
	t.Helper()
	require.NoError(t, s.validator.Preload(t.Context()))
}

// claims are what a handler reads of a token in a type of its own.
type claims struct {
	Username string `json:"username"`
	Scope    string `json:"scope"`
}

// order is the work of handlers that have the token only.
func (s *service) order(token *verifier.Token, id string) string {
	s.served.Add(1)
	if token == nil {
		return "no token"
	}
	c, err := verifier.ClaimsOf[claims](token)
	if err != nil {
		return "no claims"
	}
	return fmt.Sprintf("order %s for %s (%s) of %s", id, c.Username, c.Scope, token.Provider())
}

// orderOf is the work of handlers that have the request.
func (s *service) orderOf(r *http.Request, id string) string {
	token := verifier.FromContext(r.Context())
	if token == nil || !token.HasScope(read) {
		return "no token"
	}
	return s.order(token, id)
}

// framework is one way to build the service.
type framework struct {
	build      func(s *service) http.Handler
	request    func(url string) (*http.Request, error) // for order 7, which demands the scope read
	writeError func(w http.ResponseWriter, r *http.Request, status int, err error)
	refusal    func(status int, reason string) string // the JSON of an answer that refuses
}

func frameworks() map[string]framework {
	get := func(url string) (*http.Request, error) {
		return http.NewRequestWithContext(context.Background(), http.MethodGet, url+"/orders/7", nil)
	}
	plain := func(_ int, reason string) string { return `{"error":"` + reason + `"}` }
	return map[string]framework{
		"net/http":   {build: buildMux, request: get, refusal: plain},
		"chi":        {build: buildChi, request: get, refusal: plain},
		"echo":       {build: buildEcho, request: get, refusal: plain},
		"gin":        {build: buildGin, request: get, refusal: plain},
		"connect-go": {build: buildConnect, request: connectRequest, refusal: connectRefusal, writeError: recipeConnectError()},
		"mcp go-sdk": {build: buildMCP, request: mcpRequest, refusal: plain},
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	require.Len(t, frameworks(), 6)
	for name, f := range frameworks() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, httpauth.Config{WriteError: f.writeError})
			s.warm(t)
			ask := client(t, s, f)
			good := s.fake.Issue(east, fakeissuer.Claims{})
			for _, c := range []struct {
				name          string
				authorization []string
				status        int
				challenge     string
				reason        string
			}{
				{"a good token", []string{"Bearer " + good}, 200, "", ""},
				{"of the other region", []string{"bearer " + s.fake.Issue(west, fakeissuer.Claims{})}, 200, "", ""},
				{"no token", nil, 401, `Bearer scope="orders/read"`, "token_missing"},
				{"another scheme", []string{"Basic YTpi"}, 401, `Bearer scope="orders/read"`, "token_missing"},
				{"a tampered token", []string{"Bearer " + fakeissuer.Tamper(good)}, 401, invalidToken, "invalid_token"},
				{"a forged token", []string{"Bearer " + s.fake.Issue(east, fakeissuer.Claims{Forged: true})}, 401, invalidToken, "invalid_token"},
				{"an expired token", []string{"Bearer " + s.fake.Issue(east, fakeissuer.Claims{
					ExpiresIn: -time.Minute, IssuedAgo: time.Hour,
				})}, 401, invalidToken, "invalid_token"},
				{
					"a scope is missing",
					[]string{"Bearer " + s.fake.Issue(east, fakeissuer.Claims{Scope: "openid"})},
					403,
					`Bearer error="insufficient_scope", scope="orders/read"`, "insufficient_scope",
				},
				{"two tokens", []string{"Bearer " + good, "Bearer " + good}, 400, `Bearer error="invalid_request"`, "invalid_request"},
			} {
				before := s.served.Load()
				resp, body := ask(c.authorization)
				require.Equal(t, c.status, resp.StatusCode, "%s: %s", c.name, body)
				require.Equal(t, c.challenge, strings.Join(resp.Header.Values("WWW-Authenticate"), "; "), c.name)
				require.Empty(t, resp.Header.Get("Retry-After"), c.name)
				if c.status == http.StatusOK {
					require.Contains(t, body, "order 7 for alice (openid orders/read) of us-east-1_Testing01", c.name)
					require.Equal(t, before+1, s.served.Load(), c.name)
					continue
				}
				require.JSONEq(t, f.refusal(c.status, c.reason), body, c.name)
				require.Equal(t, "no-store", resp.Header.Get("Cache-Control"), c.name)
				require.Equal(t, before, s.served.Load(), "%s: the handler ran", c.name)
			}
			s.fake.Break(east) // the keys are known: the other region, and this one, serve on
			resp, body := ask([]string{"Bearer " + s.fake.Issue(east, fakeissuer.Claims{})})
			require.Equal(t, 200, resp.StatusCode, body)
		})
	}
}

const invalidToken = `Bearer error="invalid_token", scope="orders/read"`

// While nobody can tell, nobody is told to throw a token away; and the service comes back by itself.
func TestOutage(t *testing.T) {
	t.Parallel()
	for name, f := range frameworks() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, httpauth.Config{WriteError: f.writeError})
			ask := client(t, s, f)
			authorization := []string{"Bearer " + s.fake.Issue(west, fakeissuer.Claims{})}
			s.fake.Break(east)
			s.fake.Break(west)
			resp, body := ask(authorization)
			require.Equal(t, 503, resp.StatusCode, body)
			require.Empty(t, resp.Header.Values("WWW-Authenticate"))
			after, err := strconv.Atoi(resp.Header.Get("Retry-After"))
			require.NoError(t, err)
			require.GreaterOrEqual(t, after, 1)
			require.JSONEq(t, f.refusal(503, "temporarily_unavailable"), body)
			require.Zero(t, s.served.Load(), "the handler ran")
			resp, body = ask(nil)
			require.Equal(t, 401, resp.StatusCode, "no key is needed to see that there is no token: %s", body)

			s.fake.Restore(west)
			eventually(t, func() bool {
				resp, _ = ask(authorization)
				return resp.StatusCode == http.StatusOK
			})
			require.EqualValues(t, 1, s.served.Load())
		})
	}
}

// client serves f on a loopback address, and returns a function that asks for order 7.
func client(t *testing.T, s *service, f framework) func(authorization []string) (*http.Response, string) {
	t.Helper()
	server := httptest.NewServer(f.build(s))
	t.Cleanup(server.Close)
	return func(authorization []string) (*http.Response, string) {
		t.Helper()
		r, err := f.request(server.URL)
		require.NoError(t, err)
		for _, a := range authorization {
			r.Header.Add("Authorization", a)
		}
		return do(t, server.Client(), r)
	}
}

func do(t *testing.T, c *http.Client, r *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := c.Do(r)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(body)
}

// send asks for path with a token.
func send(t *testing.T, server *httptest.Server, method, path, token string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
	require.NoError(t, err)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, body := do(t, server.Client(), r)
	return resp.StatusCode, body
}

// eventually asks until the answer is yes.
func eventually(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	again := time.NewTicker(tick)
	defer again.Stop()
	for !done() {
		require.True(t, time.Now().Before(deadline), "still waiting after %v", patience)
		<-again.C
	}
}

// recipeWatched ends responses that outlive their token, such as streams: next must end with the context of its request. It goes
// between Require and next.
func recipeWatched(v middleware.Verifier, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, stop := middleware.Watch(r.Context(), v, verifier.FromContext(r.Context()), 0)
		defer stop()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
