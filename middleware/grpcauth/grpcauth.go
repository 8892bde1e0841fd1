// Package grpcauth protects gRPC servers with access tokens, and sends the tokens of a client.
//
// Every call needs a valid token in its metadata, under "authorization", except the methods of [Config.Exempt]. The handler finds
// the token with verifier.FromContext. The incoming "authorization" is not added to the calls that a handler makes.
//
// A call that is not admitted ends with a status whose message is an error code of middleware.Classify and whose details have an
// ErrorInfo with the same code in upper case and the domain "regionjwt":
//
//	Unauthenticated   TOKEN_MISSING; INVALID_TOKEN, also if the sender did not prove that it has the key of the token;
//	                  INSUFFICIENT_USER_AUTHENTICATION with acr_values and max_age in seconds (RFC 9470 section 3)
//	PermissionDenied  INSUFFICIENT_SCOPE
//	InvalidArgument   INVALID_REQUEST: credentials are presented in a way that is not allowed
//	Unavailable       TEMPORARILY_UNAVAILABLE, with a RetryInfo: it could not be found out whether the token is valid. Keep the
//	                  token and retry; a retry policy for UNAVAILABLE does that.
//	ResourceExhausted RATE_LIMITED, with a RetryInfo: the same, because too many tokens with unknown keys arrive
//
// Unauthenticated and PermissionDenied name the required scopes in the metadata "scope" of the ErrorInfo (RFC 6750 section 3).
//
// A token with a cnf claim (RFC 7800) is bound to a key. If it is bound to a client certificate (RFC 8705), the connection must
// have that certificate; if it is bound in another way, it is rejected.
//
// A unary call is checked once, at its start. A stream ends when its token does: see [Interceptor.Stream].
package grpcauth

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/regionjwt/regionjwt/internal/authz"
	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/verifier"
)

// Config configures an Interceptor. The zero value of every field is the default. A method has its full name, as in gRPC:
// "/pkg.Service/Method". All functions must be safe for concurrent use.
type Config struct {
	// Exempt lists the methods that need no token, and prefixes of such methods that end with "/": "/grpc.health.v1.Health/" for
	// all methods of that service. Their metadata is not read, and their handlers find no token. Empty means none.
	Exempt []string

	// Requirements lists the requirements of methods. An entry replaces Default for its method; an empty entry means that any
	// valid token is enough.
	Requirements map[string][]middleware.Requirement

	// Default lists the requirements of all methods that are not in Requirements. Empty means that any valid token is enough.
	Default []middleware.Requirement

	// Grace is how long a stream may continue after its token has expired. 0 means not at all. A stream whose token is revoked,
	// or whose key is withdrawn, ends at once.
	Grace time.Duration

	// RequireCertificate rejects tokens that are not bound to the certificate of the client (RFC 8705 section 3).
	RequireCertificate bool

	// ClientCertificate returns the certificate of the client, whose key the client has proven, or nil. A panic ends the call
	// with Unavailable. Nil means the certificate of the TLS connection. Behind a proxy that ends TLS, read what the proxy
	// sends, and make sure that only the proxy can send it.
	ClientCertificate func(ctx context.Context) *x509.Certificate

	// InsecureIgnoreConfirmation accepts tokens that are bound to a key without a proof, as bearer tokens. A stolen token can
	// then be used by anyone.
	InsecureIgnoreConfirmation bool

	// OnDecision is called once for each call: with the token if it is admitted, or with the error if it is not; and again,
	// with both, for a stream that its token ends. It is not called for exempt methods. It must not block. A panic changes no
	// answer; the first one is written to standard error.
	OnDecision func(ctx context.Context, method string, t *verifier.Token, err error)
}

// Interceptor protects the methods of a server. New makes it; the zero Interceptor admits no call. It is safe for concurrent use.
type Interceptor struct {
	verifier middleware.Verifier
	config   Config
	exempt   map[string]bool // methods, and prefixes that end with "/"
	routes   map[string]*route
	rest     *route // of methods that are not in routes
}

// New returns an Interceptor that verifies tokens with v, or every problem with its arguments as one joined error.
func New(v middleware.Verifier, c Config) (*Interceptor, error) {
	i := &Interceptor{
		verifier: v, config: c, exempt: map[string]bool{}, routes: map[string]*route{}, rest: newRoute(c.Default),
	}
	if c.ClientCertificate == nil {
		i.config.ClientCertificate = peerCertificate
	}
	var errs []error
	add := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("grpcauth: "+format, args...))
		}
	}
	add(nils.Is(v), "New: the Verifier is nil")
	add(c.Grace < 0, "Grace %v is negative", c.Grace)
	add(c.InsecureIgnoreConfirmation && (c.RequireCertificate || c.ClientCertificate != nil),
		"InsecureIgnoreConfirmation contradicts RequireCertificate and ClientCertificate")
	add(slices.ContainsFunc(c.Default, authz.IsZero), "Default has a zero Requirement")
	for _, m := range c.Exempt {
		add(!isMethod(m) && !isPrefix(m), "Exempt: %q is neither /pkg.Service/Method nor /pkg.Service/", m)
		add(i.exempt[m], "Exempt: %q is listed twice", m)
		i.exempt[m] = true
	}
	for _, m := range c.Exempt {
		add(isMethod(m) && i.exempt[prefixOf(m)], "Exempt: %q is listed, and so is its service", m)
	}
	for _, m := range slices.Sorted(maps.Keys(c.Requirements)) {
		add(!isMethod(m), "Requirements: %q is not of the form /pkg.Service/Method", m)
		add(isMethod(m) && i.isExempt(m), "%q is exempt and has requirements", m)
		add(slices.ContainsFunc(c.Requirements[m], authz.IsZero), "Requirements: %q has a zero Requirement", m)
		i.routes[m] = newRoute(c.Requirements[m])
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return i, nil
}

// isMethod reports whether s is the full name of a method.
func isMethod(s string) bool {
	rest, ok := strings.CutPrefix(s, "/")
	service, method, found := strings.Cut(rest, "/")
	return ok && found && isName(service) && isName(method)
}

// isPrefix reports whether s is a service between slashes.
func isPrefix(s string) bool {
	rest, ok := strings.CutPrefix(s, "/")
	service, found := strings.CutSuffix(rest, "/")
	return ok && found && isName(service)
}

func isName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' || c == '/' || c == '*' })
}

// prefixOf returns the prefix that all methods of a service have.
func prefixOf(method string) string { return method[:strings.LastIndexByte(method, '/')+1] }

func (i *Interceptor) isExempt(method string) bool {
	return i.exempt[method] || i.exempt[prefixOf(method)]
}

// Validate returns an error for each method and service of Config that s does not have, as one joined error. Call it when all
// services are registered: if a name is misspelled, the intended method gets the default requirements.
func (i *Interceptor) Validate(s *grpc.Server) error {
	if i == nil || i.verifier == nil {
		return errNotNew
	}
	if s == nil {
		return errors.New("grpcauth: Validate: the server is nil")
	}
	known := map[string]bool{}
	for service, info := range s.GetServiceInfo() {
		known["/"+service+"/"] = true
		for _, m := range info.Methods {
			known["/"+service+"/"+m.Name] = true
		}
	}
	var errs []error
	for _, m := range slices.Sorted(maps.Keys(i.exempt)) {
		if !known[m] {
			errs = append(errs, fmt.Errorf("grpcauth: Exempt: the server has no %q", m))
		}
	}
	for _, m := range slices.Sorted(maps.Keys(i.routes)) {
		if !known[m] {
			errs = append(errs, fmt.Errorf("grpcauth: Requirements: the server has no %q", m))
		}
	}
	return errors.Join(errs...)
}

// Unary returns the interceptor for unary calls. A call is checked only at its start: it continues if its token expires or is
// revoked meanwhile.
func (i *Interceptor) Unary() grpc.UnaryServerInterceptor {
	i = i.orZero()
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		method := fullMethod(info.FullMethod)
		if i.isExempt(method) {
			return handler(ctx, req)
		}
		token, err := i.admit(ctx, method)
		if err != nil {
			return nil, err
		}
		return handler(verifier.NewContext(ctx, token), req)
	}
}

// orZero returns i, or the zero Interceptor if i is nil.
func (i *Interceptor) orZero() *Interceptor {
	if i == nil {
		return &Interceptor{}
	}
	return i
}

// fullMethod adds the slash that old clients of gRPC may omit, so that the route is found.
func fullMethod(name string) string {
	if strings.HasPrefix(name, "/") {
		return name
	}
	return "/" + name
}

var errNotNew = errors.New("grpcauth: the Interceptor was not made by New")
