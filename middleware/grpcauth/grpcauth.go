// Package grpcauth protects gRPC servers with bearer tokens.
//
// Every call needs a valid token in its metadata, under "authorization", but for the methods that [Config.Exempt] names one
// by one. The handler finds the token in its context: see verifier.FromContext. What came in under "authorization" is not
// added to the calls that a handler makes in turn.
//
// A call that does not pass is answered with a status whose message is one of the public reasons of middleware.Outcome and
// whose details hold an ErrorInfo with the same reason in upper case, of the domain [Domain]:
//
//	Unauthenticated   TOKEN_MISSING; INVALID_TOKEN, which includes one whose key the sender has not proved;
//	                  INSUFFICIENT_USER_AUTHENTICATION with acr_values and max_age in seconds, as in RFC 9470, section 3
//	PermissionDenied  INSUFFICIENT_SCOPE, with the scope that is demanded, as in RFC 6750, section 3
//	InvalidArgument   credentials in a way that is not allowed: INVALID_REQUEST
//	Unavailable       the token cannot be judged now: TEMPORARILY_UNAVAILABLE, with a RetryInfo. The token may be a good one,
//	                  so a client keeps it and asks again; a retry policy on UNAVAILABLE does so.
//	ResourceExhausted the same, because too many tokens with unknown keys arrive: RATE_LIMITED, with a RetryInfo
//
// A unary call is judged once, at its start. A stream ends when its token does: see [Interceptor.Stream].
package grpcauth

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/verifier"
)

// Config configures an Interceptor. Verifier is required. Methods are named in full, as gRPC does: "/pkg.Service/Method".
type Config struct {
	// Verifier judges the tokens. Where it is a middleware.Rechecker, streams also end on revocation and withdrawn keys.
	Verifier middleware.Verifier

	// Exempt names the methods that need no token. Their metadata is not looked at, and their handlers find no token. Empty
	// means none. See Health and Reflection.
	Exempt []string

	// Requirements lists what methods demand of a token beyond its validity. An entry replaces Default for its method; an
	// empty one demands nothing more.
	Requirements map[string][]middleware.Requirement

	// Default is what the methods that are not in Requirements demand. Empty means nothing beyond a valid token.
	Default []middleware.Requirement

	// Grace is how long a stream may go on after its token has expired. 0 means not at all. It does not defer the end of a
	// token that is revoked or whose key is withdrawn.
	Grace time.Duration

	// Certificates says whether tokens may or have to be bound to the certificate of the client: RFC 8705, section 3. With any
	// mode but Off, a token that is bound to a key in another way is refused: nothing proves it here.
	Certificates middleware.Mode

	// ClientCertificate returns the certificate that the client of a call has proved, or nil. Nil takes that of the TLS
	// connection. Behind a proxy that ends TLS it reads what the proxy says, and has to be sure that nobody but the proxy can
	// say it.
	ClientCertificate func(ctx context.Context) *x509.Certificate

	// Observe is called once for each decision: with the token of a call that passes, or with the error; and with both for a
	// stream that its token ends. Not for exempt methods. See middleware.LogAttr for what to log of it. It must be safe for
	// concurrent use, and must not block. A panic of it changes no answer; the first one is reported to standard error.
	Observe func(ctx context.Context, fullMethod string, t *verifier.Token, err error)
}

// Health names the methods of the standard health service, for Config.Exempt.
func Health() []string {
	return []string{"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/List", "/grpc.health.v1.Health/Watch"}
}

// Reflection names the methods of the reflection services, v1 and v1alpha, for Config.Exempt. Reflection tells everyone what
// the server can be asked.
func Reflection() []string {
	return []string{
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
		"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
	}
}

// Interceptor protects the methods of a server. It is made by New, and safe for concurrent use; the zero Interceptor lets
// nothing pass.
type Interceptor struct {
	verifier     middleware.Verifier
	exempt       map[string]bool
	rules        map[string]*rule
	rest         *rule // of methods that have none in rules
	grace        time.Duration
	certificates middleware.Mode
	certificate  func(context.Context) *x509.Certificate
	observe      func(context.Context, string, *verifier.Token, error)
}

// New returns an Interceptor, or everything that is wrong with c as one joined error.
func New(c Config) (*Interceptor, error) {
	var errs []error
	if nils.Is(c.Verifier) {
		errs = append(errs, errors.New("grpcauth: Verifier is not set, or nil"))
	}
	if c.Grace < 0 {
		errs = append(errs, fmt.Errorf("grpcauth: Grace %v is negative", c.Grace))
	}
	if c.Certificates < middleware.Off || c.Certificates > middleware.Required {
		errs = append(errs, fmt.Errorf("grpcauth: Certificates %d is not a middleware.Mode", c.Certificates))
	}
	i := &Interceptor{
		verifier: c.Verifier, exempt: map[string]bool{}, rules: map[string]*rule{}, rest: newRule(c.Default),
		grace: c.Grace, certificates: c.Certificates, certificate: c.ClientCertificate, observe: c.Observe,
	}
	if i.certificate == nil {
		i.certificate = peerCertificate
	}
	for _, m := range c.Exempt {
		switch {
		case !isFullMethod(m):
			errs = append(errs, fmt.Errorf("grpcauth: Exempt: %q is not of the form /pkg.Service/Method", m))
		case i.exempt[m]:
			errs = append(errs, fmt.Errorf("grpcauth: Exempt: %q is listed twice", m))
		}
		i.exempt[m] = true
	}
	for _, m := range slices.Sorted(maps.Keys(c.Requirements)) {
		switch {
		case !isFullMethod(m):
			errs = append(errs, fmt.Errorf("grpcauth: Requirements: %q is not of the form /pkg.Service/Method", m))
		case i.exempt[m]:
			errs = append(errs, fmt.Errorf("grpcauth: %q is exempt and has requirements", m))
		}
		i.rules[m] = newRule(c.Requirements[m])
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return i, nil
}

// isFullMethod reports whether s is a service and a method, without a wildcard.
func isFullMethod(s string) bool {
	rest, ok := strings.CutPrefix(s, "/")
	service, method, found := strings.Cut(rest, "/")
	return ok && found && isName(service) && isName(method)
}

func isName(s string) bool {
	for _, c := range s {
		if c <= ' ' || c > '~' || c == '/' || c == '*' {
			return false
		}
	}
	return s != ""
}

// Validate reports the exempt methods, and those with requirements, that server does not have, as one joined error. Call it
// when all services are registered: a misspelt name protects another method than was meant.
func (i *Interceptor) Validate(server *grpc.Server) error {
	if i == nil || i.verifier == nil {
		return errNotNew
	}
	if server == nil {
		return errors.New("grpcauth: Validate: the server is nil")
	}
	known := map[string]bool{}
	for service, info := range server.GetServiceInfo() {
		for _, m := range info.Methods {
			known["/"+service+"/"+m.Name] = true
		}
	}
	var errs []error
	for _, m := range slices.Sorted(maps.Keys(i.exempt)) {
		if !known[m] {
			errs = append(errs, fmt.Errorf("grpcauth: Exempt: the server has no method %q", m))
		}
	}
	for _, m := range slices.Sorted(maps.Keys(i.rules)) {
		if !known[m] {
			errs = append(errs, fmt.Errorf("grpcauth: Requirements: the server has no method %q", m))
		}
	}
	return errors.Join(errs...)
}

// Unary returns the interceptor of unary calls. A call is judged at its start only: one that takes long goes on when its token
// expires or is revoked meanwhile.
func (i *Interceptor) Unary() grpc.UnaryServerInterceptor {
	i = i.orNone()
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		method := fullMethod(info.FullMethod)
		if i.exempt[method] {
			return handler(ctx, req)
		}
		token, err := i.admit(ctx, method)
		if err != nil {
			return nil, err
		}
		return handler(verifier.NewContext(ctx, token), req)
	}
}

// orNone is i, or one that lets nothing pass where i is nil.
func (i *Interceptor) orNone() *Interceptor {
	if i == nil {
		return &Interceptor{}
	}
	return i
}

// fullMethod adds the slash that old versions of gRPC let a client leave out, so that no rule is missed.
func fullMethod(name string) string {
	if strings.HasPrefix(name, "/") {
		return name
	}
	return "/" + name
}

var errNotNew = errors.New("grpcauth: the interceptor was not made by New")

// admit returns the token of a call that passes, or the status of one that does not.
func (i *Interceptor) admit(ctx context.Context, method string) (*verifier.Token, error) {
	token, err := i.check(ctx, method)
	if err != nil {
		return nil, i.refuse(ctx, method, nil, err)
	}
	i.tell(ctx, method, token, nil)
	return token, nil
}

// check judges the token of a call. Only the key "authorization" counts, never "authorization-bin".
func (i *Interceptor) check(ctx context.Context, method string) (*verifier.Token, error) {
	if i.verifier == nil {
		return nil, errNotNew
	}
	raw, err := middleware.Presented(metadata.ValueFromIncomingContext(ctx, "authorization"), "Bearer")
	if err != nil {
		return nil, err
	}
	token, err := middleware.Verify(ctx, i.verifier, raw)
	if err != nil {
		return nil, err
	}
	if err := i.confirm(ctx, token); err != nil {
		return nil, err
	}
	return token, middleware.Require(token, i.rule(method).requirements)
}

// rule returns what method demands.
func (i *Interceptor) rule(method string) *rule {
	if r := i.rules[method]; r != nil {
		return r
	}
	return i.rest
}

// pushback tells clients that retry calls by themselves after how many milliseconds to do so: gRFC A6.
const pushback = "grpc-retry-pushback-ms"

// refuse returns the answer to a call that does not pass, or whose token has ended.
func (i *Interceptor) refuse(ctx context.Context, method string, t *verifier.Token, err error) error {
	i.tell(ctx, method, t, err)
	if outcome, after := middleware.Classify(err); outcome == middleware.Unavailable || outcome == middleware.RateLimited {
		_ = grpc.SetTrailer(ctx, metadata.Pairs(pushback, strconv.FormatInt(after.Milliseconds(), 10))) // only in a server
	}
	return i.rule(method).status(err)
}

func (i *Interceptor) tell(ctx context.Context, method string, t *verifier.Token, err error) {
	if i.observe != nil {
		guard.Report(guard.Call("Observe", func() { i.observe(ctx, method, t, err) }))
	}
}
