package adapters_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/verifier"
)

// buildMux demands of each route what it needs; /health demands nothing.
func buildMux(s *service) http.Handler {
	mux := http.NewServeMux()
	order := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, s.orderOf(r, r.PathValue("id")))
	})
	mux.Handle("GET /orders/{id}", s.auth.Require(middleware.Scopes(read))(order))
	mux.Handle("DELETE /orders/{id}", s.auth.Require(middleware.Scopes(read, write))(order))
	mux.HandleFunc("GET /health", health)
	return mux
}

func health(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "up") }

func buildChi(s *service) http.Handler {
	router := chi.NewRouter()
	order := func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, s.orderOf(r, chi.URLParam(r, "id")))
	}
	router.Get("/health", health)
	router.Route("/orders", func(router chi.Router) {
		router.Use(s.auth.Require(middleware.Scopes(read)))
		router.Get("/{id}", order)
		router.With(s.auth.Require(middleware.Scopes(write))).Delete("/{id}", order)
	})
	return router
}

func buildEcho(s *service) http.Handler {
	e := echo.New()
	order := func(c echo.Context) error { return c.String(http.StatusOK, s.orderOf(c.Request(), c.Param("id"))) }
	e.GET("/health", echo.WrapHandler(http.HandlerFunc(health)))
	orders := e.Group("/orders", echo.WrapMiddleware(s.auth.Require(middleware.Scopes(read))))
	orders.GET("/:id", order)
	orders.DELETE("/:id", order, echo.WrapMiddleware(s.auth.Require(middleware.Scopes(write))))
	return e
}

// recipeGin is Require as a gin middleware. It must call Abort after a rejection: gin runs the rest of the chain even if a
// middleware has written an answer.
func recipeGin(auth *httpauth.Middleware, requirements ...middleware.Requirement) gin.HandlerFunc {
	return func(c *gin.Context) {
		passed := false
		next := func(_ http.ResponseWriter, r *http.Request) { c.Request, passed = r, true } // r carries the token
		auth.Require(requirements...)(http.HandlerFunc(next)).ServeHTTP(c.Writer, c.Request)
		if !passed {
			c.Abort()
		}
	}
}

// quietGin keeps gin from printing its routes.
var quietGin = sync.OnceFunc(func() { gin.SetMode(gin.ReleaseMode) })

func newGin() *gin.Engine {
	quietGin()
	e := gin.New()
	e.ContextWithFallback = true // for handlers that pass on c itself as the context
	return e
}

func buildGin(s *service) http.Handler {
	e := newGin()
	order := func(c *gin.Context) { c.String(http.StatusOK, s.orderOf(c.Request, c.Param("id"))) }
	e.GET("/health", gin.WrapF(health))
	orders := e.Group("/orders", recipeGin(s.auth, middleware.Scopes(read)))
	orders.GET("/:id", order)
	orders.DELETE("/:id", recipeGin(s.auth, middleware.Scopes(write)), order)
	return e
}

// Each route demands what it was given, and no more.
func TestRoutes(t *testing.T) {
	t.Parallel()
	for name, build := range map[string]func(*service) http.Handler{
		"net/http": buildMux, "chi": buildChi, "echo": buildEcho, "gin": buildGin,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, httpauth.Config{})
			server := httptest.NewServer(build(s))
			t.Cleanup(server.Close)
			reader := s.fake.Issue(east, fakeissuer.Claims{})
			writer := s.fake.Issue(west, fakeissuer.Claims{Scope: read + " " + write})
			for _, c := range []struct {
				method, path, token string
				want                int
			}{
				{http.MethodGet, "/health", "", 200},
				{http.MethodGet, "/orders/7", reader, 200},
				{http.MethodGet, "/orders/7", "", 401},
				{http.MethodDelete, "/orders/7", reader, 403},
				{http.MethodDelete, "/orders/7", writer, 200},
				{http.MethodDelete, "/orders/7", "", 401},
				{http.MethodGet, "/nothing", writer, 404},
			} {
				before := s.served.Load()
				status, body := send(t, server, c.method, c.path, c.token)
				require.Equal(t, c.want, status, "%s %s: %s", c.method, c.path, body)
				if c.path == "/orders/7" && c.want == 200 {
					before++
					require.Contains(t, body, "order 7 for alice")
				}
				require.Equal(t, before, s.served.Load(), "%s %s", c.method, c.path)
			}
		})
	}
}

// A mux may be behind the middleware as a whole, and a prefix may be stripped on either side of it.
func TestServeMux(t *testing.T) {
	t.Parallel()
	s := newService(t, httpauth.Config{})
	orders := http.NewServeMux()
	orders.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, s.orderOf(r, r.PathValue("id")))
	})
	all := http.NewServeMux()
	all.Handle("/outside/", s.auth.Require(middleware.Scopes(read))(http.StripPrefix("/outside", orders)))
	all.Handle("/inside/", http.StripPrefix("/inside", s.auth.Require(middleware.Scopes(read))(orders)))
	all.Handle("/orders/", s.auth.Require(middleware.Scopes(read))(orders))
	server := httptest.NewServer(all)
	t.Cleanup(server.Close)
	token := s.fake.Issue(east, fakeissuer.Claims{})
	for _, prefix := range []string{"/outside", "/inside", ""} {
		status, body := send(t, server, http.MethodGet, prefix+"/orders/7", token)
		require.Equal(t, 200, status, body)
		require.Contains(t, body, "order 7 for alice")
		for path, want := range map[string]int{"/orders/7": 405, "/orders/7/items": 404} {
			status, _ = send(t, server, http.MethodPut, prefix+path, token)
			require.Equal(t, want, status, prefix+path)
			status, _ = send(t, server, http.MethodPut, prefix+path, "")
			require.Equal(t, 401, status, "behind the middleware nobody learns which routes there are")
		}
	}
	require.EqualValues(t, 3, s.served.Load())
}

// Nothing behind the shim runs after a refusal: no other middleware, no handler. What ran before it may go on to log.
func TestGinChain(t *testing.T) {
	t.Parallel()
	s := newService(t, httpauth.Config{})
	var ran []string
	note := func(what string) gin.HandlerFunc { return func(*gin.Context) { ran = append(ran, what) } }
	e := newGin()
	e.Use(func(c *gin.Context) {
		c.Next()
		ran = append(ran, fmt.Sprint("logged ", c.Writer.Status(), c.IsAborted()))
	})
	e.GET("/", recipeGin(s.auth, middleware.Scopes(read)), note("middleware"), func(c *gin.Context) {
		for from, ctx := range map[string]context.Context{"request": c.Request.Context(), "gin": c, "copy": c.Copy()} {
			token := verifier.FromContext(ctx)
			require.NotNil(t, token, from)
			require.Equal(t, fakeissuer.Subject, token.Subject())
		}
		ran = append(ran, "handler")
		c.Status(http.StatusNoContent)
	})
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	for _, c := range []struct {
		token string
		want  []string
	}{
		{"", []string{"logged 401 true"}},
		{s.fake.Issue(east, fakeissuer.Claims{Scope: "openid"}), []string{"logged 403 true"}},
		{s.fake.Issue(east, fakeissuer.Claims{}), []string{"middleware", "handler", "logged 204 false"}},
	} {
		ran = nil
		_, _ = send(t, server, http.MethodGet, "/", c.token)
		require.Equal(t, c.want, ran)
	}
}
