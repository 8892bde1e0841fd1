// Package albauth verifies the tokens of Application Load Balancers: the header x-amzn-oidc-data, which a load balancer adds to
// the requests of users that it has authenticated (actions authenticate-oidc and authenticate-cognito). A [Verifier] is a
// middleware.Verifier, so requirements, revocation rules and answers are those of any other token:
//
//	m, err := httpauth.New(v, httpauth.Config{Extractors: []func(*http.Request) (string, error){albauth.FromHeader}})
//
// # What is checked
//
// Such a token is not a JWT of the provider. The load balancer signs what the provider has said about the user, and says in the
// JOSE header who has signed (signer), for which client, until when (exp), and who the provider is (iss). The server of the
// keys has the keys of all load balancers of all accounts of its Region. So a good signature alone proves nothing: signer must
// be the ARN of one of Config.LoadBalancers, byte for byte, client one of Config.Clients, and iss one that Config.Provider
// lists. These members and exp are those of the header, and required; if the payload has iss or exp, it must be the same. The
// payload must have a sub. The algorithm is ES256, and kid is a UUID in lower case.
//
// The segments are padded with "=", which RFC 7515 does not allow, and the signature is over the padding. That is accepted for
// these tokens only, and only where it belongs. A token that is not accepted has the Reason that any other token would have;
// Detail names the member.
//
// Token.Region is the region of the load balancer, and Token.ClientID the client of the header. The tokens have no iat, jti and
// aud: rules that need them match none. Token.Provider and Token.Subject are those of the access tokens of the same user.
//
// # Keys
//
// The key of a token is fetched when the first token names it, from the server of the Region that its load balancer is
// configured with. A key never changes. One that has verified a token is kept for 24 hours after the server has last returned
// it, and renewed after 12 hours, when a token uses it; no token waits for that. There are 64 places for such keys of each load
// balancer, and 8 for keys that have verified nothing.
//
// For an unknown key, Verify waits at most 3 seconds. A token gets 401 only if the server answers 404 or 403 to a request for
// its own key that began after the token had arrived. For each load balancer, 5 of these requests may begin at once and then
// one in 2 seconds: other tokens with unknown keys get 429. If the server does not answer, they get 503, or 429 after three in
// a row. Load balancers have no influence on each other. A key is in one Region only, and so is the load balancer: a Region
// that is unavailable takes its own tokens with it, and only those whose key is not known yet.
//
// # Before you use it
//
// Let the security group of the targets accept traffic from the load balancer only. Otherwise a token that somebody has copied
// can be presented until it expires. The header x-amzn-oidc-identity is not signed: use Token.Subject.
package albauth

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/regionjwt/regionjwt/internal/albtoken"
	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/verifier"
)

// Config configures a Verifier. Provider, LoadBalancers and Clients are required. The zero value of every other field is the
// default. All functions must be safe for concurrent use.
type Config struct {
	// Provider is the identity provider that the load balancers send users to. Its ID becomes Token.Provider, and every iss
	// that its regions list is accepted. Its key sets are not used.
	Provider issuer.Provider
	// LoadBalancers lists the load balancers whose tokens are accepted, at most 64: one in each Region, for example.
	LoadBalancers []LoadBalancer
	// Clients lists the IDs of the clients that the listeners have at the provider. verifier.AllowAnyClient alone accepts any.
	Clients []string

	// RequiredClaims, ScopeClaims, GroupClaims, RegionPolicy and Check are the fields of verifier.Policy with these names.
	RequiredClaims []string
	ScopeClaims    []string
	GroupClaims    []string
	RegionPolicy   func(provider string, regions []string, issuedAt time.Time) error
	Check          func(context.Context, *verifier.Token) error

	// Tokens says how tokens are verified. Set Revocation to apply the rules of a Validator: v.Revocation().
	Tokens verifier.Config
	// HTTPClient sends the requests for keys. Nil means a client of this package. It follows no redirect.
	HTTPClient *http.Client
	// Logger gets a line when requests for keys begin to fail, and when they succeed again. Nil is silent.
	Logger *slog.Logger
}

// LoadBalancer is an Application Load Balancer whose tokens are accepted.
type LoadBalancer struct {
	// ARN is the signer of its tokens:
	// arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/shop/50dc6c495c0c9188.
	ARN string
	// Region is the Token.Region of its tokens. "" means the Region of the ARN.
	Region string
	// KeysURL is the URL of the keys, to which a slash and the kid are added. "" means the server of the Region of the ARN,
	// which is known for AWS, AWS GovCloud (US) and the Regions in China. It must be https, except for loopback hosts.
	KeysURL string
}

// Verifier verifies tokens of load balancers. It is a middleware.Verifier, safe for concurrent use, and needs no Close. New
// makes it; the zero Verifier answers that it cannot tell.
type Verifier struct {
	verifier *verifier.Verifier
	engine   *engine
}

var _ middleware.Verifier = (*Verifier)(nil)

// New returns a Verifier, or every problem with c as one joined error. It does no I/O and starts no goroutine.
func New(c Config) (*Verifier, error) {
	signers, errs := c.signers()
	if len(c.Clients) == 0 {
		errs = append(errs, errors.New("albauth: Clients is empty: list those of the listeners, or verifier.AllowAnyClient"))
	}
	terms := albtoken.Terms{Signers: map[string]string{}, Issuers: issuersOf(c.Provider), Clients: c.Clients}
	for _, id := range c.Clients {
		switch {
		case id == "":
			errs = append(errs, errors.New("albauth: Clients: an ID is empty"))
		case id == verifier.AllowAnyClient && len(c.Clients) > 1:
			errs = append(errs, errors.New("albauth: Clients: verifier.AllowAnyClient is not the only one"))
		case id == verifier.AllowAnyClient:
			terms.Clients = nil
		}
	}
	if nils.Logger(c.Logger) {
		errs = append(errs, errors.New("albauth: Logger has no handler: make it with slog.New"))
	}
	for _, s := range signers {
		terms.Signers[s.arn] = s.region
	}
	e := newEngine(signers, c.HTTPClient, guard.Logger(c.Logger))
	policy, _ := albtoken.Policy(verifier.Policy{
		Provider: c.Provider, RequiredClaims: c.RequiredClaims, ScopeClaims: c.ScopeClaims, GroupClaims: c.GroupClaims,
		RegionPolicy: c.RegionPolicy, Check: c.Check,
	}, terms).(verifier.Policy)
	v, err := verifier.New([]verifier.Policy{policy}, e, c.Tokens)
	if err := errors.Join(errors.Join(errs...), err); err != nil {
		return nil, err
	}
	return &Verifier{v, e}, nil
}

func issuersOf(p issuer.Provider) (all []string) {
	for _, r := range p.Regions {
		all = append(all, r.Issuers...)
	}
	return all
}

// Verify checks a token: the value of the header x-amzn-oidc-data. The error is a *verifier.Error. It waits only if the key
// that the token names is not in memory, and never beyond ctx.
func (v *Verifier) Verify(ctx context.Context, token string) (*verifier.Token, error) {
	if v == nil || v.verifier == nil {
		return nil, errNotNew()
	}
	t, err := v.verifier.Verify(ctx, token)
	if err == nil {
		v.engine.prove(t)
	}
	return t, err
}

// Recheck checks a verified token again, as verifier.Verifier.Recheck does. The token must be one of this Verifier.
func (v *Verifier) Recheck(ctx context.Context, t *verifier.Token) error {
	if v == nil || v.verifier == nil {
		return errNotNew()
	}
	return v.verifier.Recheck(ctx, t)
}

// Changed returns a channel that is closed when the revocation rules change, so that verified tokens should be rechecked.
func (v *Verifier) Changed() <-chan struct{} {
	if v == nil {
		return nil
	}
	return v.verifier.Changed()
}

// errNotNew is the answer of a Verifier that New has not made.
func errNotNew() error {
	return &verifier.Error{
		Reason: verifier.ReasonKeysUnavailable, RetryAfter: time.Second,
		Err: errors.New("albauth: the Verifier was not made by albauth.New"),
	}
}

// FromHeader returns the token of the header x-amzn-oidc-data, or "" if there is none, for httpauth.Config.Extractors. The
// error is a *verifier.Error with ReasonBadRequest if there are several headers, or one without a value.
func FromHeader(r *http.Request) (string, error) {
	values := r.Header["X-Amzn-Oidc-Data"]
	switch {
	case len(values) == 0:
		return "", nil
	case len(values) > 1, values[0] == "":
		return "", &verifier.Error{Reason: verifier.ReasonBadRequest}
	}
	return values[0], nil
}
