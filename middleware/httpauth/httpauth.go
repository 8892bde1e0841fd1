// Package httpauth protects net/http handlers with bearer tokens.
//
// It answers by RFC 6750: 401 where there is no token or a bad one, 400 where credentials are presented in a way that is
// not allowed, 403 where a good token does not grant what the route demands. Where the token cannot be judged now it
// answers 503 with Retry-After and without a challenge, so that clients keep their tokens.
package httpauth

import (
	"errors"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/verifier"
)

// Config configures a Middleware. Verifier is required.
type Config struct {
	Verifier middleware.Verifier

	// Realm is named in challenges; optional.
	Realm string

	// AllowAnonymous lets requests without an Authorization header pass, but for routes with requirements. A bad token never
	// passes, nor do credentials of another scheme.
	AllowAnonymous bool

	// WriteError writes the answer to a request that does not pass, in place of the default. status and the headers
	// WWW-Authenticate, Retry-After and Cache-Control are set on w beforehand, and not yet written. err is for logs;
	// nothing of it belongs into the answer.
	WriteError func(w http.ResponseWriter, r *http.Request, status int, err error)
}

// Middleware protects handlers. It is safe for concurrent use.
type Middleware struct {
	config Config
}

// New returns a Middleware, or everything that is wrong with c.
func New(c Config) (*Middleware, error) {
	var errs []error
	if c.Verifier == nil {
		errs = append(errs, errors.New("httpauth: Verifier is not set"))
	}
	for _, ch := range c.Realm {
		if ch < ' ' || ch > '~' || ch == '"' || ch == '\\' {
			errs = append(errs, errors.New("httpauth: Realm holds a character that a challenge cannot"))
			break
		}
	}
	return &Middleware{config: c}, errors.Join(errs...)
}

// Check verifies the token of r. It returns nil and no error for an anonymous request where those are allowed. The error
// is that of the Verifier, or a *verifier.Error of package middleware.
func (m *Middleware) Check(r *http.Request) (*verifier.Token, error) {
	credentials := r.Header["Authorization"]
	if len(credentials) == 0 && m.config.AllowAnonymous {
		return nil, nil
	}
	raw, err := middleware.Bearer(credentials)
	if err != nil {
		return nil, err
	}
	if m.config.Verifier == nil {
		return nil, errNotNew
	}
	token, err := m.config.Verifier.Verify(r.Context(), raw)
	if err == nil && token == nil {
		err = errNoToken
	}
	return token, err
}

var (
	errNotNew  = errors.New("httpauth: the middleware was not made by New")
	errNoToken = errors.New("httpauth: the verifier returned neither a token nor an error")
)

// Handler returns a handler that passes on requests whose token is valid and meets the requirements. The token is in the
// request's context: see verifier.FromContext.
func (m *Middleware) Handler(next http.Handler, requirements ...middleware.Requirement) http.Handler {
	requirements = slices.Clone(requirements)
	scopes := strings.Join(middleware.ScopesOf(requirements), " ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := m.Check(r)
		if err == nil && token == nil { // anonymous
			if len(requirements) == 0 {
				next.ServeHTTP(w, r)
				return
			}
			err = &verifier.Error{Reason: verifier.TokenMissing}
		}
		if err == nil {
			err = middleware.Require(token, requirements)
		}
		if err != nil {
			m.refuse(w, r, err, scopes)
			return
		}
		next.ServeHTTP(w, r.WithContext(verifier.NewContext(r.Context(), token)))
	})
}

// refuse sets the status and the headers that RFC 6750, section 3, and RFC 9110, section 10.2.3, ask for.
func (m *Middleware) refuse(w http.ResponseWriter, r *http.Request, err error, scopes string) {
	outcome, retryAfter := middleware.Classify(err)
	status, code := http.StatusServiceUnavailable, ""
	switch outcome {
	case middleware.Missing:
		status = http.StatusUnauthorized
	case middleware.BadRequest:
		status, code = http.StatusBadRequest, "invalid_request"
	case middleware.Invalid:
		status, code = http.StatusUnauthorized, "invalid_token"
	case middleware.Forbidden:
		status, code = http.StatusForbidden, "insufficient_scope"
	case middleware.Unavailable:
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(retryAfter.Seconds()))))
	} else {
		w.Header().Set("WWW-Authenticate", m.challenge(code, scopes))
	}
	for _, name := range []string{"Content-Length", "Content-Encoding", "ETag", "Last-Modified"} {
		w.Header().Del(name) // of an answer that is not given
	}
	w.Header().Set("Cache-Control", "no-store")
	write := m.config.WriteError
	if write == nil {
		write = writeError
	}
	write(w, r, status, err)
}

func (m *Middleware) challenge(code, scopes string) string {
	var parameters []string
	add := func(name, value string) {
		if value != "" {
			parameters = append(parameters, name+`="`+value+`"`)
		}
	}
	add("realm", m.config.Realm)
	add("error", code)
	if code == "insufficient_scope" && quotable(scopes) {
		add("scope", scopes)
	}
	if len(parameters) == 0 {
		return "Bearer"
	}
	return "Bearer " + strings.Join(parameters, ", ")
}

// quotable reports whether s holds only what a scope parameter may: RFC 6750, section 3.
func quotable(s string) bool {
	for _, c := range s {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// writeError writes the error code of the challenge as JSON, and nothing else.
func writeError(w http.ResponseWriter, _ *http.Request, status int, err error) {
	code := map[int]string{
		http.StatusBadRequest:         "invalid_request",
		http.StatusUnauthorized:       "invalid_token",
		http.StatusForbidden:          "insufficient_scope",
		http.StatusServiceUnavailable: "temporarily_unavailable",
	}[status]
	if o, _ := middleware.Classify(err); o == middleware.Missing {
		code = "token_missing"
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(`{"error":"` + code + `"}` + "\n"))
}
