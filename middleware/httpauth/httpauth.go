// Package httpauth protects net/http handlers with access tokens.
//
// It answers by RFC 6750: 401 where there is no token or a bad one, 400 where credentials are presented in a way that is
// not allowed, 403 where a good token does not grant what the route demands. Where the token cannot be judged now it
// answers 503 with Retry-After and without a challenge, so that clients keep their tokens.
//
// On top of that, and each only where it is asked for: tokens from a cookie or a named header, anonymous requests, tokens that
// are bound to a key of their sender (DPoP, RFC 9449; client certificates, RFC 8705), step-up (RFC 9470), and the metadata of
// the protected resource (RFC 9728).
package httpauth

import (
	"crypto/x509"
	"errors"
	"net/http"
	"slices"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/dpop"
	"github.com/regionjwt/regionjwt/verifier"
)

// Config configures a Middleware. Verifier is required.
type Config struct {
	Verifier middleware.Verifier

	// Sources lists where a request may carry its token: FromAuthorization, FromCookie, FromHeader. A request that carries one
	// in two of them is refused. Empty means the Authorization header only.
	Sources []Source

	// Realm is named in challenges; optional.
	Realm string

	// AllowAnonymous lets requests without a token pass, but for routes with requirements. A bad token never passes, nor do
	// credentials of another scheme.
	AllowAnonymous bool

	// Metadata describes the protected resource (RFC 9728). Challenges then name its document, which MetadataHandler serves.
	Metadata *Metadata

	// DPoP judges the proofs of tokens that are bound to a key of their sender: RFC 9449. Nil means that DPoP is off. It needs
	// Metadata or ExternalURL.
	DPoP *dpop.Checker
	// DPoPMode says whether tokens have to be bound by DPoP. With DPoP set, Off means Accepted.
	DPoPMode middleware.Mode
	// ExternalURL returns the URL of a request as its client sees it, with scheme, host and path, for the htu of proofs (RFC
	// 9449, section 4.3). Nil makes it from the origin of Metadata.Resource and the path of the request line. DPoP needs one of
	// the two.
	//
	// Return a configured origin. The client chooses Host and every header that a proxy does not overwrite, X-Forwarded-Host and
	// Forwarded included; this package reads none of them. Behind a proxy that changes the path, add what it has removed.
	ExternalURL func(*http.Request) string

	// Certificates says whether tokens may or have to be bound to the certificate of the client: RFC 8705, section 3.
	Certificates middleware.Mode
	// ClientCertificate returns the certificate that the client has proved, or nil. Nil takes that of the TLS connection. Behind
	// a proxy that ends TLS it reads what the proxy says, and has to be sure that nobody but the proxy can say it.
	ClientCertificate func(*http.Request) *x509.Certificate

	// Observe is called once for each decision: with the token of a request that passes, or with the error; with neither for an
	// anonymous request. See middleware.LogAttr for what to log of it. It must not block. A panic of it changes no answer; the
	// first one is reported to standard error.
	Observe func(r *http.Request, t *verifier.Token, err error)

	// WriteError writes the answer to a request that does not pass, in place of the default. status and the headers
	// WWW-Authenticate, DPoP-Nonce, Retry-After and Cache-Control are set on w beforehand, and not yet written. err is for
	// logs; nothing of it belongs into the answer but middleware.Classify's outcome.
	WriteError func(w http.ResponseWriter, r *http.Request, status int, err error)
}

// Middleware protects handlers. It is safe for concurrent use.
type Middleware struct {
	config   Config
	metadata string   // URL of the metadata document, or ""
	origin   string   // of Metadata.Resource, or ""
	schemes  []string // that the Authorization header may have
}

// New returns a Middleware, or everything that is wrong with c.
func New(c Config) (*Middleware, error) {
	m := &Middleware{config: c, schemes: []string{"Bearer"}}
	var errs []error
	add := func(wrong bool, what string) {
		if wrong {
			errs = append(errs, errors.New("httpauth: "+what))
		}
	}
	add(nils.Is(c.Verifier), "Verifier is not set, or nil")
	add(c.DPoP != nil && len(c.DPoP.Algorithms()) == 0, "DPoP was not made by dpop.New")
	add(!quotable(c.Realm), "Realm holds a character that a challenge cannot")
	add(c.DPoP == nil && c.DPoPMode != middleware.Off, "DPoPMode is set, and DPoP is not")
	add(c.DPoPMode < middleware.Off || c.DPoPMode > middleware.Required, "DPoPMode is none of the modes")
	add(c.Certificates < middleware.Off || c.Certificates > middleware.Required, "Certificates is none of the modes")
	m.config.Sources = slices.Clone(c.Sources)
	if len(c.Sources) == 0 {
		m.config.Sources = []Source{FromAuthorization()}
	}
	for i, s := range m.config.Sources {
		add(s.kind == 0 || s.kind != fromAuthorization && s.name == "", "a Source is empty")
		add(slices.Contains(m.config.Sources[:i], s), "a Source is listed twice")
	}
	if c.DPoP != nil {
		m.config.DPoPMode = max(c.DPoPMode, middleware.Accepted)
		m.schemes = []string{"Bearer", "DPoP"}
		if m.config.DPoPMode == middleware.Required {
			m.schemes = []string{"DPoP"}
		}
		add(!slices.Contains(m.config.Sources, FromAuthorization()), "DPoP needs the Authorization header among Sources")
		add(c.Metadata == nil && c.ExternalURL == nil, "DPoP needs Metadata.Resource or ExternalURL, to compare htu with")
	}
	if c.Metadata != nil {
		var err error
		m.config.Metadata, m.metadata, m.origin, err = c.Metadata.compile()
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return m, nil
}

// Check verifies the token of r, and the proof of the key that it is bound to. It returns nil and no error for an anonymous
// request where those are allowed. The error is that of the Verifier, or a *verifier.Error of package middleware.
func (m *Middleware) Check(r *http.Request) (*verifier.Token, error) {
	if m == nil || m.config.Verifier == nil {
		return nil, errNotNew
	}
	c, err := m.credentials(r)
	if err != nil {
		return nil, err
	}
	if c.token == "" {
		if m.config.AllowAnonymous {
			return nil, nil
		}
		return nil, &verifier.Error{Reason: verifier.ReasonTokenMissing}
	}
	token, err := middleware.Verify(r.Context(), m.config.Verifier, c.token)
	if err != nil {
		return nil, err
	}
	if err := m.checkSender(r, c, token); err != nil {
		return nil, err
	}
	return token, nil
}

var errNotNew = errors.New("httpauth: the middleware was not made by New")

// Handler returns a handler that passes on requests whose token is valid and meets the requirements. The token is in the
// request's context: see verifier.FromContext, Token and Claims. Handler panics if next is nil.
func (m *Middleware) Handler(next http.Handler, requirements ...middleware.Requirement) http.Handler {
	if nils.Is(next) {
		panic("httpauth: Handler: next is nil") //nolint:forbidigo // when the routes are made, not when a request comes
	}
	m = m.orNone()
	route := newRoute(requirements)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := m.Check(r)
		if err == nil {
			err = middleware.Require(token, route.requirements)
		}
		if m.config.Observe != nil {
			if err != nil {
				token = nil
			}
			guard.Report(guard.Call("Observe", func() { m.config.Observe(r, token, err) }))
		}
		m.giveNonce(w.Header())
		if err != nil {
			m.refuse(w, r, err, route)
			return
		}
		if token != nil || Token(r) != nil { // an anonymous request has no token, not even that of an outer Handler
			r = r.WithContext(verifier.NewContext(r.Context(), token))
		}
		next.ServeHTTP(w, r)
	})
}

// orNone is m, or one that lets nothing pass where m is nil.
func (m *Middleware) orNone() *Middleware {
	if m == nil {
		return &Middleware{}
	}
	return m
}

// route is what a handler demands, with what challenges say of it.
type route struct {
	requirements []middleware.Requirement
	scopes       string
	stepUp       middleware.StepUpChallenge
}
