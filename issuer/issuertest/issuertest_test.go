package issuertest_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

func ExampleServer() {
	pool := issuer.Cognito("us-east-1_AbCdEf123", "us-west-2")
	server := issuertest.New(nil, pool, issuertest.Config{Algorithm: "ES256"}) // in a test, pass t
	defer server.Close()
	server.Break("us-east-1")
	v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{server.Policy()}})
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := v.Verify(context.Background(), server.Issue("us-west-2", issuertest.Claims{Subject: "alice"}))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(token.Subject())
	// Output: alice
}

func ExampleToken() {
	orders := func(w http.ResponseWriter, r *http.Request) {
		token := verifier.FromContext(r.Context())
		_, _ = fmt.Fprint(w, "orders of ", token.Subject())
	}
	token := issuertest.Token(nil, issuertest.Claims{Subject: "alice"}) // in a test, pass t
	ctx := verifier.NewContext(context.Background(), token)
	w := httptest.NewRecorder()
	orders(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/orders", nil))
	fmt.Println(w.Body)
	// Output: orders of alice
}

// providers are descriptions as users write them; the regions are those of which tokens are issued.
var providers = map[string]issuer.Provider{
	"user pool":           issuer.Cognito("us-east-1_AbCdEf123", "us-west-2"),
	"user pool, original": issuer.UserPool{ID: "us-east-1_AbCdEf123", Replicas: []string{"us-west-2"}, Mode: issuer.CognitoOriginal}.Provider(),
	"user pool, updated":  issuer.UserPool{ID: "us-east-1_AbCdEf123", Replicas: []string{"us-west-2"}, Mode: issuer.CognitoUpdated}.Provider(),
	"private link": issuer.UserPool{ID: "us-east-1_AbCdEf123", Endpoint: func(region string, _ issuer.CognitoMode) string {
		return "https://" + region + ".vpce.example"
	}}.Provider(),
	"one region": issuer.OIDC("https://idp.example/t/"),
	"Keycloak": {ID: "shop", Regions: []issuer.Region{
		{Name: "eu", Issuers: []string{"https://eu.idp.example/realms/shop"}},
		{Name: "us", Issuers: []string{"https://us.idp.example/realms/shop"}},
	}},
	"shared keys": {ID: "shop", Regions: []issuer.Region{
		{Name: "eu", Issuers: []string{"https://idp.example"}, JWKSURLs: []string{"https://idp.example/eu", "https://idp.example/us"}},
		{Name: "us", Issuers: []string{"https://idp.example"}, JWKSURLs: []string{"https://idp.example/us", "https://idp.example/eu"}},
	}},
	"own keys": {ID: "shop", Regions: []issuer.Region{
		{Name: "eu", Issuers: []string{"https://idp.example"}, JWKSURLs: []string{"https://eu.idp.example/keys"}},
		{Name: "us", Issuers: []string{"https://idp.example"}, JWKSURLs: []string{"https://us.idp.example/keys"}},
	}},
	"named issuer": {ID: "cluster", Regions: []issuer.Region{
		{Name: "a", Issuers: []string{"kubernetes/serviceaccount"}, JWKSURLs: []string{"https://a.example/openid/v1/jwks"}},
		{Name: "b", Issuers: []string{"b"}, DiscoveryURL: "https://b.example/metadata"},
	}},
}

func TestTheServerServesAnyProvider(t *testing.T) {
	t.Parallel()
	for name, p := range providers {
		for _, sockets := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, sockets %v", name, sockets), func(t *testing.T) {
				t.Parallel()
				s := issuertest.New(t, p, issuertest.Config{Algorithm: "EdDSA"})
				if sockets {
					s.Serve()
				}
				v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{s.Policy()}})
				require.NoError(t, err)
				for i, r := range p.Regions {
					require.Equal(t, r.Issuers, s.Provider().Regions[i].Issuers)
					token, err := v.Verify(t.Context(), s.Issue(r.Name, issuertest.Claims{Groups: []string{"g"}}))
					require.NoError(t, err)
					require.Equal(t, r.Issuers[0], token.Issuer())
					require.Equal(t, "test-client", token.ClientID())
					require.True(t, token.HasGroup("g"))
					_, err = v.Verify(t.Context(), s.Issue(r.Name, issuertest.Claims{Forged: true}))
					require.Error(t, err)
					_, err = v.Verify(t.Context(), s.Issue(r.Name, issuertest.Claims{ExpiresIn: -time.Hour}))
					require.ErrorIs(t, err, verifier.ErrInvalid)
				}
			})
		}
	}
}

// The kit issues tokens of every algorithm that this build supports, and refuses the others at the start.
func TestTheServerSignsWithAnyAlgorithm(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{
		"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA", "ML-DSA-44", "ML-DSA-65", "ML-DSA-87",
	} {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			if jose.Support(alg) != nil {
				r := new(recorder)
				require.Panics(t, func() { issuertest.New(r, issuer.OIDC("https://idp.example"), issuertest.Config{Algorithm: alg}) })
				require.Contains(t, r.failed, `"`+alg+`"`)
				return
			}
			s := issuertest.New(t, issuer.OIDC("https://idp.example"), issuertest.Config{Algorithm: alg})
			v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{s.Policy()}})
			require.NoError(t, err)
			for range 2 {
				raw := s.Issue("default", issuertest.Claims{Subject: "alice"})
				header, err := base64.RawURLEncoding.DecodeString(raw[:strings.IndexByte(raw, '.')])
				require.NoError(t, err)
				require.Contains(t, string(header), `"alg":"`+alg+`"`)
				for range 2 { // the second time, from the cache
					token, err := v.Verify(t.Context(), raw)
					require.NoError(t, err)
					require.Equal(t, "alice", token.Subject())
				}
				_, err = v.Verify(t.Context(), s.Issue("default", issuertest.Claims{Forged: true}))
				require.ErrorIs(t, err, verifier.ErrInvalid)
				s.Rotate("default")
			}
		})
	}
}

func TestRegionsBreakOnTheirOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := issuertest.New(t, providers["Keycloak"], issuertest.Config{Algorithm: "ES256", Audience: "orders", ClientID: "web"})
		verify := func(region string) error {
			v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{s.Policy()}})
			require.NoError(t, err)
			token, err := v.Verify(t.Context(), s.Issue(region, issuertest.Claims{}))
			if err == nil {
				require.Equal(t, "web", token.ClientID())
			}
			return err
		}
		for _, spoil := range []func(string){
			s.Break, s.Hang,
			func(region string) { s.Handle(region, http.NotFoundHandler()) },
			func(region string) {
				s.Handle(region, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
			},
		} {
			spoil("us")
			require.ErrorIs(t, verify("us"), verifier.ErrUnavailable)
			require.NoError(t, verify("eu"))
			s.Restore("us")
			require.NoError(t, verify("us"))
		}
	})
}

func TestKeysAreRotatedAndWithdrawn(t *testing.T) {
	t.Parallel()
	s := issuertest.New(t, issuer.OIDC("https://idp.example"), issuertest.Config{Algorithm: "ES256"})
	old := s.Issue("default", issuertest.Claims{})
	verify := func(token string) error {
		v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{s.Policy()}, Keys: jwks.Config{UnknownKeyWait: -1}})
		require.NoError(t, err)
		require.NoError(t, v.Preload(t.Context()))
		_, err = v.Verify(t.Context(), token)
		return err
	}
	s.Rotate("default")
	require.NoError(t, verify(old))
	require.NoError(t, verify(s.Issue("default", issuertest.Claims{})))
	s.Withdraw("default")
	require.Error(t, verify(old))
	require.NoError(t, verify(s.Issue("default", issuertest.Claims{})))
}

func TestTheTokenEndpointIssuesMachineTokens(t *testing.T) {
	t.Parallel()
	pool := issuer.UserPool{ID: "us-east-1_AbCdEf123", Domain: "shop"}.Provider()
	for _, sockets := range []bool{false, true} {
		s := issuertest.New(t, pool, issuertest.Config{Algorithm: "ES256", ClientID: "machine"})
		client := s.Provider().HTTPClient
		if sockets {
			s.Serve()
			client = &http.Client{Transport: new(http.Transport)}
		}
		post := func(form url.Values) (status int, answer map[string]any) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Provider().Regions[0].TokenURL, strings.NewReader(form.Encode()))
			require.NoError(t, err)
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.SetBasicAuth("machine", "secret")
			resp, err := client.Do(req)
			require.NoError(t, err)
			defer func() { _ = resp.Body.Close() }()
			require.NoError(t, json.NewDecoder(resp.Body).Decode(&answer))
			return resp.StatusCode, answer
		}
		status, answer := post(url.Values{"grant_type": {"client_credentials"}, "scope": {"orders/write"}})
		require.Equal(t, 200, status)
		v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{s.Policy()}})
		require.NoError(t, err)
		token, err := v.Verify(t.Context(), answer["access_token"].(string))
		require.NoError(t, err)
		require.Equal(t, "machine", token.Subject())
		require.True(t, token.HasScope("orders/write"))
		status, answer = post(url.Values{"grant_type": {"password"}})
		require.Equal(t, 400, status)
		require.Equal(t, "unsupported_grant_type", answer["error"])
	}
}

func TestTokensForHandlers(t *testing.T) {
	t.Parallel()
	token := issuertest.Token(t, issuertest.Claims{Subject: "alice", Scope: "orders/read", Groups: []string{"admins"}, Set: map[string]any{"jti": "1"}})
	require.Equal(t, "alice", token.Subject())
	require.True(t, token.HasScope("orders/read"))
	require.True(t, token.HasGroup("admins"))
	require.Equal(t, "1", token.ID())
	require.Equal(t, "default", token.Region())
	require.False(t, issuertest.Token(t, issuertest.Claims{IDToken: true}).HasScope("openid"))
}

// recorder is a testing.TB that records the failure.
type recorder struct{ failed string }

func (r *recorder) Helper()        {}
func (r *recorder) Cleanup(func()) {}
func (r *recorder) Fatalf(format string, args ...any) {
	r.failed = fmt.Sprintf(format, args...)
	panic(r)
}

func TestMisuseFailsTheTest(t *testing.T) {
	t.Parallel()
	pool := issuer.Cognito("us-east-1_AbCdEf123")
	for want, misuse := range map[string]func(*recorder){
		`no region "mars"`:   func(r *recorder) { issuertest.New(r, pool, issuertest.Config{Algorithm: "ES256"}).Break("mars") },
		"the ID must be":     func(r *recorder) { issuertest.New(r, issuer.Cognito("pool"), issuertest.Config{}) },
		"ID: required":       func(r *recorder) { issuertest.New(r, issuer.Provider{}, issuertest.Config{}) },
		`"HS256"`:            func(r *recorder) { issuertest.New(r, pool, issuertest.Config{Algorithm: "HS256"}) },
		"Config.Audience":    func(r *recorder) { issuertest.New(r, pool, issuertest.Config{Algorithm: "ES256", Audience: "x"}) },
		"token is not valid": func(r *recorder) { issuertest.Token(r, issuertest.Claims{Forged: true}) },
	} {
		r := new(recorder)
		require.Panics(t, func() { misuse(r) })
		require.Contains(t, r.failed, want)
	}
	require.Panics(t, func() { issuertest.New(nil, pool, issuertest.Config{Algorithm: "HS256"}) }, "without a test")
}

func TestCloseReleasesWhatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := issuertest.New(t, issuer.OIDC("https://idp.example"), issuertest.Config{Algorithm: "ES256"})
		s.Hang("default")
		result := make(chan error, 1)
		go func() {
			resp, err := s.Provider().HTTPClient.Get("https://idp.example/.well-known/jwks.json")
			if err == nil {
				_ = resp.Body.Close()
			}
			result <- err
		}()
		synctest.Wait()
		s.Close()
		require.ErrorIs(t, <-result, io.ErrUnexpectedEOF)
	})
}
