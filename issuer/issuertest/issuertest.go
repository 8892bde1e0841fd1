// Package issuertest helps to test services: it has a fake identity provider that serves your issuer.Provider, and verified
// tokens for tests of handlers.
//
// [Token] returns a verified token without a provider or a network: put it into a context with verifier.NewContext.
//
// A [Server] publishes new keys for each region of a provider, at its URLs, and issues tokens. It is in memory: the HTTPClient of
// [Server.Provider] reaches it without sockets, also in a testing/synctest bubble. [Server.Serve] makes it listen on loopback
// addresses, for other processes. Its regions can be broken: keys are refreshed every 15 minutes, so a test that wants to see a
// failed refresh soon after [Server.Break] sets jwks.Config.RefreshInterval.
package issuertest

import (
	"cmp"
	"context"
	"crypto"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// tb is the part of testing.TB that this package needs.
type tb interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// Claims describes a token. The zero Claims is an access token of a user, issued 1 minute ago, that is valid for 1 hour.
type Claims struct {
	// IDToken selects an ID token; otherwise it is an access token.
	IDToken bool

	// Subject is the sub; "" means a fixed UUID.
	Subject string

	// Scope is the scope of an access token, separated by spaces; "" means "openid orders/read".
	Scope string

	// Groups are the groups of the user: cognito:groups for a Cognito user pool, otherwise groups. Nil means no such claim.
	Groups []string

	// ExpiresIn is the time until exp. 0 means 1 hour. With -time.Minute the token has expired; within
	// the Leeway of a verifier (30 s by default) after exp it is still accepted.
	ExpiresIn time.Duration

	// Set adds or replaces claims; a nil value removes one.
	Set map[string]any

	// Header adds or replaces parameters of the header; a nil value removes one: {"kid": nil} makes a token without kid.
	Header map[string]any

	// Forged signs with a key that is not published, under the kid of one that is.
	Forged bool
}

func (c Claims) fake() fakeissuer.Claims {
	return fakeissuer.Claims{
		IDToken: c.IDToken, Subject: c.Subject, Scope: c.Scope, Groups: c.Groups,
		ExpiresIn: c.ExpiresIn, Set: c.Set, Header: c.Header, Forged: c.Forged,
	}
}

// Config configures a Server. The zero Config is valid.
type Config struct {
	// Algorithm is the alg of the keys: RS256 (the default), RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, Ed25519,
	// EdDSA or, with Go 1.27, ML-DSA-44, ML-DSA-65 or ML-DSA-87. RSA keys take a moment to generate.
	Algorithm string

	// ClientID is the client that tokens are issued to: client_id, and the aud of ID tokens. "" means "test-client".
	ClientID string

	// Audience is the aud of access tokens; "" means "https://api.example.com". Access tokens of a Cognito user pool have no aud,
	// so it must be "" for one; Claims.Set can add an aud.
	Audience string

	// Addresses are where Serve listens, by region: "127.0.0.1:9001". None means a free port of 127.0.0.1.
	Addresses map[string]string

	// Keys are what regions sign with until Rotate, by region, such as keys from a file; Algorithm must fit them. The kid is the
	// thumbprint. Of regions that share their keys the first one counts. None means new keys.
	Keys map[string]crypto.Signer

	// Now is the clock for tokens and proofs. Nil means time.Now.
	Now func() time.Time
}

// Server is a fake identity provider. It is safe for concurrent use.
//
// A URL that several regions list is served by the region that lists it first in its list, then by the one that is first in the
// provider. Regions that share a JWKS URL share their keys, and so do all regions of a Cognito user pool. If a region has no
// JWKSURLs, the Server serves its discovery document.
//
// A TokenURL answers the client credentials grant with a token for a machine client, and token exchange (RFC 8693) of tokens
// of the Server, without authenticating the client. The parameters audience and resource become the aud. With a DPoP proof,
// the token is bound to its key.
type Server struct {
	fake   *fakeissuer.Server
	client *http.Client // the same for each Provider: an Update with another one would drop the keys
	config Config
	served atomic.Bool
}

// New returns a Server for p with new signing keys. Problems with p and with c fail the test. The Server is closed when the test
// ends. If t is nil, for programs, problems panic, and the caller must call Close.
func New(t tb, p issuer.Provider, c Config) *Server {
	fake := fakeissuer.New(t, fakeissuer.Config{
		Provider: &p, Algorithm: c.Algorithm, ClientID: c.ClientID, Audience: c.Audience,
		Addresses: c.Addresses, Keys: c.Keys, Now: c.Now,
	})
	if fake.Cognito() && c.Audience != "" {
		fake.Fatalf("Config.Audience is set, and access tokens of a user pool have no aud: set it in Claims.Set")
	}
	return &Server{fake: fake, client: fake.Client(), config: c}
}

// Close closes the listeners of Serve and releases hanging requests. It may be called more than once.
func (s *Server) Close() { s.fake.Close() }

// Provider returns the provider to configure: the one given to New, with an HTTPClient that reaches the Server in memory. After
// Serve, its JWKSURLs and TokenURL are those of the listeners and HTTPClient is nil. Its issuers do not change.
func (s *Server) Provider() issuer.Provider {
	p := s.fake.Provider()
	p.HTTPClient = nil
	if !s.served.Load() {
		p.HTTPClient = s.client
	}
	return p
}

// Policy returns a policy that accepts the access tokens of the Server.
func (s *Server) Policy() verifier.Policy {
	p := verifier.Policy{
		Provider:   s.Provider(),
		Audience:   verifier.Audience(cmp.Or(s.config.Audience, fakeissuer.Audience)),
		Algorithms: []string{cmp.Or(s.config.Algorithm, fakeissuer.Algorithm)},
	}
	if s.fake.Cognito() {
		p.Audience = verifier.CognitoAccess(cmp.Or(s.config.ClientID, fakeissuer.ClientID))
	}
	return p
}

// Issue returns a token of a region, signed with its current key. Its iss is the first of the region's issuers.
func (s *Server) Issue(region string, c Claims) string { return s.fake.Issue(region, c.fake()) }

// Rotate makes a region, and those that share its keys, sign with a new key. The old keys stay published.
func (s *Server) Rotate(region string) { s.fake.Rotate(region) }

// Withdraw makes a region, and those that share its keys, publish only the key that it signs with.
func (s *Server) Withdraw(region string) { s.fake.Withdraw(region) }

// Break makes a region refuse connections until Restore.
func (s *Server) Break(region string) { s.fake.Break(region) }

// BreakURL makes one URL of the provider refuse connections, such as one of two JWKSURLs, until Restore of the region that serves
// it.
func (s *Server) BreakURL(url string) { s.fake.BreakURL(url) }

// Hang makes a region accept requests and not answer until Restore, which releases them.
func (s *Server) Hang(region string) { s.fake.Hang(region) }

// Handle makes h answer the requests to a region until Restore: key sets, discovery and tokens. In memory, the response is sent
// when h returns, and a panic of h breaks the connection.
func (s *Server) Handle(region string, h http.Handler) { s.fake.Handle(region, h) }

// Restore ends Break, BreakURL, Hang and Handle.
func (s *Server) Restore(region string) { s.fake.Restore(region) }

// Serve makes every region listen on a loopback address. Call it before Provider and Policy.
func (s *Server) Serve() {
	s.fake.Serve()
	s.served.Store(true)
}

// Token returns a verified token with the claims, for tests of handlers. It has been verified with a fixed key, and any audience
// is accepted; claims that make it invalid fail the test. Its provider is "https://idp.example.com", its region "default".
func Token(t tb, c Claims) *verifier.Token {
	const region, algorithm = "default", "ES256"
	p := issuer.OIDC("https://idp.example.com")
	fake := fakeissuer.New(t, fakeissuer.Config{Provider: &p, Algorithm: algorithm})
	keys, err := jwks.NewStatic(map[string][]byte{p.ID: fake.KeySet(region)})
	if err != nil {
		fake.Fatalf("%v", err)
		return nil
	}
	v, err := verifier.New([]verifier.Policy{{
		Provider: p, Audience: verifier.InsecureAnyAudience(), Algorithms: []string{algorithm},
	}}, keys, verifier.Config{})
	if err != nil {
		fake.Fatalf("%v", err)
		return nil
	}
	token, err := v.Verify(context.Background(), fake.Issue(region, c.fake()))
	if err != nil {
		fake.Fatalf("the token is not valid: %v", err)
	}
	return token
}
