package issuertest_test

import (
	"crypto"
	"crypto/ed25519"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/verifier"
)

// A header can be changed: a token without kid is rejected by default, and accepted where the policy allows it.
// A Policy that is asked for again has the same client, so that an Update with it keeps the keys.
func TestAPolicyOfTheServerKeepsTheKeys(t *testing.T) {
	t.Parallel()
	idp := issuertest.New(t, issuer.OIDC("https://idp.example.com"), issuertest.Config{Algorithm: "ES256"})
	v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{idp.Policy()}})
	require.NoError(t, err)
	require.NoError(t, v.Preload(t.Context()))
	idp.Break("default")
	require.NoError(t, v.Update([]verifier.Policy{idp.Policy()}))
	_, err = v.Verify(t.Context(), idp.Issue("default", issuertest.Claims{}))
	require.NoError(t, err)
}

func TestATokenWithoutKeyID(t *testing.T) {
	t.Parallel()
	s := issuertest.New(t, issuer.OIDC("https://idp.example"), issuertest.Config{Algorithm: "ES256"})
	token := s.Issue("default", issuertest.Claims{Header: map[string]any{"kid": nil}})
	for allow, want := range map[bool]error{false: verifier.ErrInvalid, true: nil} {
		policy := s.Policy()
		policy.AllowMissingKeyID = allow
		v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{policy}})
		require.NoError(t, err)
		_, err = v.Verify(t.Context(), token)
		require.ErrorIs(t, err, want)
	}
}

// One of two JWKS URLs can be broken; the other one is asked then.
func TestOneURLIsBroken(t *testing.T) {
	t.Parallel()
	p := issuer.Provider{ID: "shop", Regions: []issuer.Region{{
		Name: "eu", Issuers: []string{"https://idp.example"}, JWKSURLs: []string{"https://idp.example/one", "https://idp.example/two"},
	}}}
	for _, sockets := range []bool{false, true} {
		s := issuertest.New(t, p, issuertest.Config{Algorithm: "ES256"})
		if sockets {
			s.Serve()
		}
		urls := s.Provider().Regions[0].JWKSURLs
		client := s.Provider().HTTPClient
		if client == nil {
			client = http.DefaultClient
		}
		answers := func(url string) bool {
			resp, err := client.Get(url)
			if err != nil {
				return false
			}
			require.NoError(t, resp.Body.Close())
			return resp.StatusCode == http.StatusOK
		}
		s.BreakURL(urls[0])
		require.False(t, answers(urls[0]))
		require.True(t, answers(urls[1]))
		v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{s.Policy()}})
		require.NoError(t, err)
		_, err = v.Verify(t.Context(), s.Issue("eu", issuertest.Claims{}))
		require.NoError(t, err)
		s.Restore("eu")
		require.True(t, answers(urls[0]))
	}
	bad := new(recorder)
	require.Panics(t, func() {
		issuertest.New(bad, p, issuertest.Config{Algorithm: "ES256"}).BreakURL("https://other.example/x")
	})
	require.Contains(t, bad.failed, "there is nothing at")
}

// With fixed keys, ports and clock, two Servers are one for their clients.
func TestFixedKeysPortsAndClock(t *testing.T) {
	t.Parallel()
	at := time.Now().Add(-10 * time.Minute).Truncate(time.Second).UTC()
	config := issuertest.Config{
		Algorithm: "EdDSA", Now: func() time.Time { return at },
		Keys: map[string]crypto.Signer{"default": ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", ed25519.SeedSize)))},
	}
	first := issuertest.New(t, issuer.OIDC("https://idp.example"), config)
	second := issuertest.New(t, issuer.OIDC("https://idp.example"), config)
	v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{second.Policy()}})
	require.NoError(t, err)
	token, err := v.Verify(t.Context(), first.Issue("default", issuertest.Claims{}))
	require.NoError(t, err)
	require.Equal(t, at.Add(time.Hour), token.Expiry().UTC())

	config.Addresses = map[string]string{"default": "127.0.0.1:0"}
	third := issuertest.New(t, issuer.OIDC("https://idp.example"), config)
	third.Serve()
	address := strings.TrimPrefix(third.Provider().Regions[0].JWKSURLs[0], "http://")
	address, _, _ = strings.Cut(address, "/")
	third.Close()
	config.Addresses = map[string]string{"default": address}
	fourth := issuertest.New(t, issuer.OIDC("https://idp.example"), config)
	fourth.Serve()
	require.Equal(t, third.Provider().Regions[0].JWKSURLs, fourth.Provider().Regions[0].JWKSURLs)

	bad := new(recorder)
	config.Algorithm = "ES256"
	require.Panics(t, func() { issuertest.New(bad, issuer.OIDC("https://idp.example"), config) })
	require.Contains(t, bad.failed, `Keys["default"]`)
}
