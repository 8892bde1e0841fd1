// Package httpauth protects net/http handlers with access tokens.
//
// Require is enough for bearer tokens in the Authorization header. New is for more: tokens from a cookie or another header,
// routes that a token is optional for, tokens that are bound to a key of their sender (DPoP, RFC 9449; client certificates, RFC
// 8705), and the metadata of the protected resource (RFC 9728).
//
// Requests are answered as RFC 6750 and docs/answers.md say: 401 if there is no token or an invalid one, 400 if credentials are
// presented in a way that is not allowed, 403 if a valid token does not meet the requirements. If it cannot be found out whether
// the token is valid, the answer is 503, or 429, with Retry-After and without a challenge, so that clients keep their tokens.
//
// A token with a cnf claim (RFC 7800) is bound to a key, and its sender must prove that it has the key. If that cannot be
// checked, the token is rejected.
package httpauth

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/regionjwt/regionjwt/internal/authz"
	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/dpop"
	"github.com/regionjwt/regionjwt/verifier"
)

// Config configures a Middleware. The zero value of every field is the default. All functions must be safe for concurrent use.
type Config struct {
	// Extractors lists the functions that find the token of a request: FromAuthorization, FromCookie, FromHeader, or your own. An
	// extractor returns "" and no error if the request has no token for it. An error rejects the request: return a
	// *verifier.Error with ReasonTokenMissing (401) or ReasonBadRequest (400); another error, or a panic, is 503. A request in
	// which two extractors find a token is rejected with 400. Empty means FromAuthorization.
	Extractors []func(*http.Request) (string, error)

	// Metadata describes the protected resource (RFC 9728). Challenges then name its document; see ResourceMetadata.
	Metadata *Metadata

	// DPoP checks the proofs of tokens that are bound by DPoP (RFC 9449). Nil rejects these tokens. DPoP needs FromAuthorization
	// among Extractors, and Metadata or ExternalURL to compare the htu of proofs with.
	DPoP *dpop.Checker
	// RequireDPoP rejects tokens that are not bound by DPoP. It needs DPoP.
	RequireDPoP bool
	// ExternalURL returns the URL of a request as its client sees it, with scheme, host and path, for the htu of proofs (RFC 9449
	// section 4.3). A panic is 503. Nil means the origin of Metadata.Resource and the path of the request line.
	//
	// Return a configured origin: the client chooses Host and every header that a proxy does not overwrite, including Forwarded
	// and X-Forwarded-Host. This package reads none of them. If a proxy removes a part of the path, add it.
	ExternalURL func(*http.Request) string

	// RequireCertificate rejects tokens that are not bound to the certificate of the client (RFC 8705 section 3).
	RequireCertificate bool
	// ClientCertificate returns the certificate of the client, whose key the client has proven, or nil. A panic is 503. Nil means
	// the certificate of the TLS connection. Behind a proxy that ends TLS, read what the proxy sends, and make sure that only the
	// proxy can send it.
	ClientCertificate func(*http.Request) *x509.Certificate

	// InsecureIgnoreConfirmation accepts tokens that are bound to a key without a proof, as bearer tokens. A stolen token can
	// then be used by anyone.
	InsecureIgnoreConfirmation bool

	// OnDecision is called once for each request: with the token if it is admitted, with the error if it is not, or with
	// neither if it is admitted without a token. It must not block. A panic changes no answer; the first one is written to
	// standard error.
	OnDecision func(r *http.Request, t *verifier.Token, err error)

	// WriteError writes the answer to a request that is not admitted, instead of the default, a JSON object with the error code.
	// status and the headers WWW-Authenticate, DPoP-Nonce, Retry-After and Cache-Control are set on w and not yet written. Do not
	// send err to the client: middleware.Classify returns the error code that may be sent.
	WriteError func(w http.ResponseWriter, r *http.Request, status int, err error)
}

// Middleware protects handlers. New makes it; the zero Middleware admits no request and answers 503. It is safe for concurrent
// use.
type Middleware struct {
	verifier middleware.Verifier
	config   Config
	resource resource
	schemes  []string // of the Authorization header
}

// Require returns middleware that admits requests with a valid bearer token that meets the requirements. It is Require of a
// Middleware with the zero Config. It panics if v is nil, and as Middleware.Require does.
func Require(v middleware.Verifier, reqs ...middleware.Requirement) func(http.Handler) http.Handler {
	if nils.Is(v) {
		misuse("Require: the Verifier is nil")
	}
	m := &Middleware{verifier: v, schemes: []string{authz.Bearer}}
	m.config.Extractors = []func(*http.Request) (string, error){FromAuthorization}
	return m.Require(reqs...)
}

// New returns a Middleware that verifies tokens with v, or every problem with its arguments as one joined error. It does no I/O
// and starts no goroutine.
func New(v middleware.Verifier, c Config) (*Middleware, error) {
	m := &Middleware{verifier: v, config: c, schemes: []string{authz.Bearer}}
	var errs []error
	add := func(wrong bool, problem string) {
		if wrong {
			errs = append(errs, errors.New("httpauth: "+problem))
		}
	}
	add(nils.Is(v), "New: the Verifier is nil")
	m.config.Extractors = slices.Clone(c.Extractors)
	if len(c.Extractors) == 0 {
		m.config.Extractors = []func(*http.Request) (string, error){FromAuthorization}
	}
	for i, e := range m.config.Extractors {
		add(e == nil, fmt.Sprintf("Extractors[%d] is nil", i))
		add(isFromAuthorization(e) && slices.ContainsFunc(m.config.Extractors[:i], isFromAuthorization),
			"Extractors lists FromAuthorization twice")
	}
	add(c.RequireDPoP && c.DPoP == nil, "RequireDPoP is set, and DPoP is not")
	add(c.InsecureIgnoreConfirmation && (c.DPoP != nil || c.RequireCertificate || c.ClientCertificate != nil),
		"InsecureIgnoreConfirmation contradicts DPoP, RequireCertificate and ClientCertificate")
	add(c.ExternalURL != nil && c.DPoP == nil, "ExternalURL is set, and DPoP, which uses it, is not")
	if c.DPoP != nil {
		m.schemes = []string{authz.Bearer, authz.DPoP}
		if c.RequireDPoP {
			m.schemes = []string{authz.DPoP}
		}
		add(len(c.DPoP.Algorithms()) == 0, "DPoP was not made by dpop.New")
		add(!m.readsAuthorization(), "DPoP needs FromAuthorization among Extractors")
		add(c.Metadata == nil && c.ExternalURL == nil, "DPoP needs Metadata or ExternalURL, to compare htu with")
	}
	if c.Metadata != nil {
		var err error
		m.resource, err = c.Metadata.compile()
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return m, nil
}

var errNotNew = errors.New("httpauth: the Middleware was not made by New")

// misuse panics when routes are made, not when a request is served.
func misuse(problem string) {
	panic("httpauth: " + problem) //nolint:forbidigo // see above
}

// Require returns middleware that admits requests with a valid token that meets the requirements. A handler finds the token
// with verifier.FromContext. Require panics if a requirement is the zero Requirement, and what it returns panics if the handler
// is nil.
func (m *Middleware) Require(reqs ...middleware.Requirement) func(http.Handler) http.Handler {
	if slices.ContainsFunc(reqs, authz.IsZero) {
		misuse("Require: a requirement was not made by a function of package middleware")
	}
	return m.protect("Require", newRoute(reqs))
}

// Optional returns middleware that admits requests with a valid token and requests without one, for which verifier.FromContext
// returns nil. A request with an invalid token is rejected, and so is one with credentials of another scheme. What Optional
// returns panics if the handler is nil.
func (m *Middleware) Optional() func(http.Handler) http.Handler {
	route := newRoute(nil)
	route.optional = true
	return m.protect("Optional", route)
}

func (m *Middleware) protect(function string, t *route) func(http.Handler) http.Handler {
	if m == nil {
		m = &Middleware{}
	}
	return func(next http.Handler) http.Handler {
		if nils.Is(next) {
			misuse(function + ": the handler is nil")
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { m.serve(w, r, t, next) })
	}
}

func (m *Middleware) serve(w http.ResponseWriter, r *http.Request, t *route, next http.Handler) {
	token, err := m.check(r, t)
	if m.config.OnDecision != nil {
		guard.Report(guard.Call("Config.OnDecision", func() { m.config.OnDecision(r, token, err) }))
	}
	m.setNonce(w.Header())
	if err != nil {
		m.reject(w, r, err, t)
		return
	}
	if token != nil || verifier.FromContext(r.Context()) != nil { // not even the token of an outer middleware
		r = r.WithContext(verifier.NewContext(r.Context(), token))
	}
	next.ServeHTTP(w, r)
}

// check returns the token of a request that is admitted, or nil if it is admitted without one.
func (m *Middleware) check(r *http.Request, t *route) (*verifier.Token, error) {
	if m.verifier == nil {
		return nil, errNotNew
	}
	c, err := m.credentials(r)
	switch {
	case err != nil:
		return nil, err
	case c.token == "" && t.optional:
		return nil, nil //nolint:nilnil // a request without a token
	case c.token == "":
		return nil, &verifier.Error{Reason: verifier.ReasonTokenMissing}
	}
	token, err := authz.Verify(r.Context(), m.verifier, c.token)
	if err != nil {
		return nil, err
	}
	if err := m.confirm(r, c, token); err != nil {
		return nil, err
	}
	if err := middleware.Check(token, t.requirements...); err != nil {
		return nil, err
	}
	return token, nil
}
