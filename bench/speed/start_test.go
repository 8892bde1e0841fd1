package speed_test

import (
	"context"
	"net/http"
	"net/url"
	"testing"

	"github.com/MicahParks/keyfunc/v3"
	auth0jwks "github.com/auth0/go-jwt-middleware/v3/jwks"
	"github.com/auth0/go-jwt-middleware/v3/validator"
	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/golang-jwt/jwt/v5"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// BenchmarkStart makes a verifier and verifies a first token. The keys come from memory, not over a network.
func BenchmarkStart(b *testing.B) {
	s := theSite(b, "RS256")
	document := s.document(b)
	client := &http.Client{Transport: inMemory(func(string) []byte { return document })}
	for _, l := range []struct {
		name    string
		changes map[string]any
		start   func(b *testing.B, s *site, client *http.Client, token string)
	}{
		{"regionjwt", nil, startRegionjwt},
		{"golang-jwt", nil, startGolangJWT},
		{"go-oidc", nil, startGoOIDC},
		{"auth0", map[string]any{"aud": audience}, startAuth0},
	} {
		b.Run(l.name, func(b *testing.B) {
			token := issue(b, s, claims(s, user), l.changes)
			b.ReportAllocs()
			for b.Loop() {
				l.start(b, s, client, token)
			}
		})
	}
}

func startRegionjwt(b *testing.B, s *site, client *http.Client, token string) {
	b.Helper()
	v, err := regionjwt.New(regionjwt.Config{
		Policies: []verifier.Policy{{
			Provider: issuer.Provider{ID: "bench", Regions: []issuer.Region{{
				Name: "us-east-1", Issuers: []string{s.iss}, JWKSURLs: []string{s.jwks},
			}}},
			Audience: verifier.CognitoAccess(clientID),
		}},
		Keys: jwks.Config{HTTPClient: client},
	})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := v.Verify(context.Background(), token); err != nil {
		b.Fatal(err)
	}
}

func startGolangJWT(b *testing.B, s *site, client *http.Client, token string) {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	keys, err := keyfunc.NewDefaultOverrideCtx(ctx, []string{s.jwks}, keyfunc.Override{Client: client})
	if err != nil {
		b.Fatal(err)
	}
	var c golangClaims
	if _, err := jwt.ParseWithClaims(token, &c, keys.Keyfunc, jwt.WithValidMethods([]string{s.alg}), jwt.WithIssuer(s.iss),
		jwt.WithExpirationRequired()); err != nil {
		b.Fatal(err)
	}
}

func startGoOIDC(b *testing.B, s *site, client *http.Client, token string) {
	b.Helper()
	keys := oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), client), s.jwks)
	v := oidc.NewVerifier(s.iss, keys, &oidc.Config{SkipClientIDCheck: true})
	if _, err := v.Verify(context.Background(), token); err != nil {
		b.Fatal(err)
	}
}

func startAuth0(b *testing.B, s *site, client *http.Client, token string) {
	b.Helper()
	iss, err := url.Parse(s.iss)
	if err != nil {
		b.Fatal(err)
	}
	uri, err := url.Parse(s.jwks)
	if err != nil {
		b.Fatal(err)
	}
	p, err := auth0jwks.NewCachingProvider(auth0jwks.WithIssuerURL(iss), auth0jwks.WithCustomJWKSURI(uri),
		auth0jwks.WithCustomClient(client))
	if err != nil {
		b.Fatal(err)
	}
	v, err := validator.New(validator.WithKeyFunc(p.KeyFunc), validator.WithIssuer(s.iss), validator.WithAudience(audience),
		validator.WithAlgorithm(validator.RS256))
	if err != nil {
		b.Fatal(err)
	}
	if _, err := v.ValidateToken(context.Background(), token); err != nil {
		b.Fatal(err)
	}
}
