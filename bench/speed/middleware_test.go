package speed_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	auth0 "github.com/auth0/go-jwt-middleware/v3"

	"github.com/regionjwt/regionjwt/bench/speed"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/verifier"
)

// guard puts a middleware around a handler.
type guard struct {
	name     string
	audience bool
	wrap     func(tb testing.TB, s *site, next http.Handler) http.Handler
}

func guards() []guard {
	return []guard{
		{name: "regionjwt.cached", wrap: func(tb testing.TB, s *site, next http.Handler) http.Handler {
			tb.Helper()
			return httpauthWith(tb, newValidator(tb, s, 0), next)
		}},
		{name: "regionjwt", wrap: func(tb testing.TB, s *site, next http.Handler) http.Handler {
			tb.Helper()
			return httpauthWith(tb, newValidator(tb, s, -1), next)
		}},
		{name: "auth0", audience: true, wrap: auth0Middleware},
	}
}

func httpauthWith(tb testing.TB, v middleware.Verifier, next http.Handler) http.Handler {
	tb.Helper()
	return httpauth.Require(v)(next)
}

// knowing is a Verifier to whom every token is the same.
type knowing struct{ token *verifier.Token }

// Verify implements middleware.Verifier.
func (k knowing) Verify(context.Context, string) (*verifier.Token, error) { return k.token, nil }

// Recheck implements middleware.Verifier.
func (knowing) Recheck(context.Context, *verifier.Token) error { return nil }

// Changed implements middleware.Verifier.
func (knowing) Changed() <-chan struct{} { return nil }

// middlewareAlone shows what the middleware itself costs, without any verification.
func middlewareAlone(tb testing.TB, s *site, next http.Handler) http.Handler {
	tb.Helper()
	token, err := newValidator(tb, s, -1).Verify(context.Background(), issue(tb, s, claims(s, user), nil))
	if err != nil {
		tb.Fatal(err)
	}
	return httpauthWith(tb, knowing{token}, next)
}

func auth0Middleware(tb testing.TB, s *site, next http.Handler) http.Handler {
	tb.Helper()
	m, err := auth0.New(auth0.WithValidator(newAuth0(tb, s)))
	if err != nil {
		tb.Fatal(err)
	}
	return m.CheckJWT(next)
}

func (g guard) tokens(tb testing.TB, s *site) []string {
	tb.Helper()
	return mintPool(tb, s, user, library{audience: g.audience}.changes())
}

var bare = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })

// response notes the status of an answer and nothing else.
type response struct {
	header http.Header
	status int
}

func (r *response) Header() http.Header         { return r.header }
func (r *response) Write(b []byte) (int, error) { return len(b), nil }
func (r *response) WriteHeader(status int)      { r.status = status }

// BenchmarkHandler calls a handler behind a middleware, without a network, against the bare handler; regionjwt.context is the
// middleware alone against a middleware that adds a value to the context.
func BenchmarkHandler(b *testing.B) {
	s := theSite(b, "RS256")
	alone, beside := guard{name: "regionjwt.alone", wrap: middlewareAlone}, guard{name: "regionjwt.context", wrap: middlewareAlone}
	for _, g := range append(guards(), alone, beside) {
		b.Run(g.name, func(b *testing.B) {
			var requests []*http.Request
			for _, token := range g.tokens(b, s) {
				r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/orders", nil)
				r.Header.Set("Authorization", "Bearer "+token)
				requests = append(requests, r)
			}
			serve := func(h http.Handler) func() {
				w := &response{header: http.Header{}}
				pool := ring[*http.Request]{all: requests}
				return func() {
					w.status = 0
					if h.ServeHTTP(w, pool.next()); w.status != http.StatusNoContent {
						b.Fatal("the token was refused")
					}
				}
			}
			beside := bare
			if g.name == "regionjwt.context" {
				beside = withContextValue(bare)
			}
			guarded := serve(g.wrap(b, s, bare))
			for range requests {
				guarded()
			}
			unguarded := serve(beside)
			r := pair(b, unguarded, guarded)
			allocs, _ := speed.Allocations(1000, unguarded)
			b.ReportMetric(r.Over, "ns-over")
			b.ReportMetric(r.Allocs-allocs, "allocs-over")
		})
	}
}

// withContextValue does the least that a middleware can do that hands something on.
func withContextValue(next http.Handler) http.HandlerFunc {
	type key struct{}
	return func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, w)))
	}
}

// BenchmarkLoopback sends requests over a loopback connection that is kept alive, against a bare handler.
func BenchmarkLoopback(b *testing.B) {
	s := theSite(b, "RS256")
	for _, g := range append(guards(), guard{name: "bare", wrap: func(_ testing.TB, _ *site, next http.Handler) http.Handler {
		return next
	}}) {
		b.Run(g.name, func(b *testing.B) {
			tokens := g.tokens(b, s)
			r := pair(b, requesting(b, bare, tokens), requesting(b, g.wrap(b, s, bare), tokens))
			b.ReportMetric(r.Ratio, "x-bare")
			b.ReportMetric(r.Over/1e3, "us-over")
			b.ReportMetric(r.Floor/1e3, "us-bare")
		})
	}
}

// requesting returns a function that sends a request with a token in turn to a server of the handler.
func requesting(b *testing.B, h http.Handler, tokens []string) func() {
	b.Helper()
	server := httptest.NewServer(h)
	b.Cleanup(server.Close)
	client := server.Client()
	pool := ring[string]{all: tokens}
	return func() {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, server.URL+"/orders", http.NoBody)
		if err != nil {
			b.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+pool.next())
		answer, err := client.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusNoContent {
			b.Fatal("the token was refused")
		}
	}
}
