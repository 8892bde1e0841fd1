package e2e_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/luikyv/go-oidc/pkg/goidc"
	"github.com/luikyv/go-oidc/pkg/provider"
	"github.com/stretchr/testify/require"
)

const (
	secret   = "secret" // of every client
	scope    = "orders/read"
	api      = "https://api.example.com"
	otherAPI = "https://other.example.com"
)

// ring holds the signing keys of a region, the one in use first.
type ring struct {
	mu   sync.Mutex
	keys []goidc.JSONWebKey
	of   []*ring // whose keys are published instead
}

func newRing(t *testing.T, alg goidc.SignatureAlgorithm) *ring {
	t.Helper()
	r := &ring{}
	r.rotate(t, alg)
	return r
}

// rotate puts a new key in use; the older ones stay published.
func (r *ring) rotate(t *testing.T, alg goidc.SignatureAlgorithm) {
	t.Helper()
	var key any
	var err error
	switch alg {
	case goidc.ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	require.NoError(t, err)
	id := make([]byte, 32)
	_, _ = rand.Read(id)                         // never fails
	kid := base64.StdEncoding.EncodeToString(id) // 44 characters, as Cognito has them
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = slices.Insert(r.keys, 0, goidc.JSONWebKey{Key: key, KeyID: kid, Algorithm: string(alg), Use: "sig"})
}

func (r *ring) set(context.Context) (set goidc.JSONWebKeySet, err error) {
	for _, part := range slices.Concat(r.of, []*ring{r}) {
		part.mu.Lock()
		set.Keys = append(set.Keys, part.keys...)
		part.mu.Unlock()
	}
	return set, nil
}

// alg is the algorithm in use.
func (r *ring) alg() goidc.SignatureAlgorithm {
	set, _ := r.set(context.Background()) // never fails
	return goidc.SignatureAlgorithm(set.Keys[0].Algorithm)
}

// newProvider returns a certified OpenID provider that issues tokens with the claims of Cognito's: for the client "machine"
// by client credentials, for "app" by a user, whose name is the assertion; and for "plain" without those claims.
func newProvider(t *testing.T, iss string, keys *ring) http.Handler {
	t.Helper()
	client := func(id string, grants ...goidc.GrantType) provider.Option {
		return provider.WithStaticClient(&goidc.Client{ID: id, Secret: secret, ClientMeta: goidc.ClientMeta{
			TokenAuthnMethod: goidc.AuthnMethodSecretBasic, GrantTypes: grants, ScopeIDs: scope + " openid",
		}})
	}
	op, err := provider.New(goidc.ProfileOpenID, iss, keys.set,
		provider.WithJWKSEndpoint("/.well-known/jwks.json"),
		provider.WithTokenEndpoint("/oauth2/token"),
		provider.WithTokenAuthnMethods(goidc.AuthnMethodSecretBasic),
		provider.WithScopes(goidc.NewScope(scope)),
		provider.WithClientCredentialsGrant(),
		provider.WithJWTBearerGrant(func(_ *http.Request, user string) (goidc.JWTBearerGrantInfo, error) {
			return goidc.JWTBearerGrantInfo{Subject: user}, nil
		}),
		provider.WithResourceIndicators(api, otherAPI),
		provider.WithIDTokenSignatureAlgs(keys.alg()),
		provider.WithTokenOptions(func(context.Context, *goidc.Grant, *goidc.Client) goidc.TokenOptions {
			return goidc.NewJWTTokenOptions(keys.alg(), 600)
		}),
		provider.WithTokenClaims(accessClaims),
		provider.WithIDTokenClaims(func(_ context.Context, g *goidc.Grant) map[string]any {
			return map[string]any{"token_use": "id", "cognito:username": g.Subject}
		}),
		client("machine", goidc.GrantClientCredentials),
		client("app", goidc.GrantJWTBearer),
		client("plain", goidc.GrantClientCredentials),
	)
	require.NoError(t, err)
	return op.Handler()
}

// accessClaims adds what Cognito's access tokens have beside client_id, scope and the registered claims.
func accessClaims(_ context.Context, g *goidc.Grant) map[string]any {
	switch g.ClientID {
	case "plain":
		return nil
	case "machine":
		return map[string]any{"token_use": "access", "version": 2}
	}
	return map[string]any{
		"token_use": "access", "version": 2, "username": g.Subject, "auth_time": g.CreatedAtTimestamp,
		"origin_jti": g.ID, "cognito:groups": []string{"admins"},
	}
}
