package clientcredentials_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/issuer"
)

// byRegion returns a CredentialsFunc.
func byRegion(eastern, western clientcredentials.Credentials) func(context.Context, string) (clientcredentials.Credentials, error) {
	return func(_ context.Context, region string) (clientcredentials.Credentials, error) {
		return map[string]clientcredentials.Credentials{east: eastern, west: western}[region], nil
	}
}

// Each region gets its own credentials, in the way that they demand.
func TestRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.set(east, status(503))
		w.set(west, reply{header: map[string]string{"Set-Cookie": "a=b; Max-Age=86400"}})
		jar, err := cookiejar.New(nil)
		require.NoError(t, err)
		client := &http.Client{Transport: w, Jar: jar}
		params := url.Values{"tenant": {"a b"}, "resource": {"https://api.example.com", "urn:x"}, "audience": {"api"}}
		s := w.source(t, func(c *setup) {
			c.Credentials, c.CredentialsFunc = clientcredentials.Credentials{}, byRegion(
				clientcredentials.Credentials{ClientID: "ma:chine", Secret: "a+b c%&ü~"},
				clientcredentials.Credentials{ClientID: "other", Secret: "s&x", SecretInBody: true},
			)
			c.Scopes, c.Params, c.Provider.HTTPClient = []string{"orders/read", "b"}, params, client
		})
		params.Set("tenant", "changed")
		common := url.Values{
			"grant_type": {"client_credentials"}, "scope": {"orders/read b"}, "resource": {"https://api.example.com", "urn:x"},
			"audience": {"api"}, "tenant": {"a b"},
		}
		have(t, s, west, 0)
		require.Empty(t, w.last.Header.Get("Authorization"))
		require.Empty(t, jar.Cookies(w.last.URL))
		require.Nil(t, client.CheckRedirect, "it was copied")
		common.Set("client_id", "other")
		common.Set("client_secret", "s&x")
		require.Equal(t, common, w.form)

		w.set(east, reply{})
		time.Sleep(2 * time.Hour)
		have(t, s, east, 0)
		id, secret, ok := w.last.BasicAuth()
		require.True(t, ok)
		require.Equal(t, []string{"ma%3Achine", "a%2Bb+c%25%26%C3%BC~"}, []string{id, secret}, "RFC 6749, section 2.3.1")
		common.Del("client_id")
		common.Del("client_secret")
		require.Equal(t, common, w.form)
		require.Equal(t, "POST", w.last.Method)
		require.Equal(t, "application/x-www-form-urlencoded", w.last.Header.Get("Content-Type"))
		require.Equal(t, "application/json", w.last.Header.Get("Accept"))
	})
}

// kms signs with a key that it does not show.
type kms struct {
	crypto.Signer
	err error
}

func (k *kms) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if k.err != nil {
		return nil, k.err
	}
	return k.Signer.Sign(r, digest, opts)
}

func curveKey(t *testing.T, c elliptic.Curve) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(c, rand.Reader)
	require.NoError(t, err)
	return key
}

// An assertion of each algorithm verifies, is made for the region's token endpoint, and is never used twice.
func TestPrivateKeyJWT(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	for _, c := range []struct {
		key       crypto.Signer
		algorithm string
		want      string
	}{
		{rsaKey, "", "RS256"},
		{rsaKey, "PS256", "PS256"},
		{curveKey(t, elliptic.P256()), "", "ES256"},
		{curveKey(t, elliptic.P384()), "ES384", "ES384"},
		{curveKey(t, elliptic.P521()), "", "ES512"},
		{edKey, "", "EdDSA"},
		{edKey, "Ed25519", "Ed25519"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.set(east, reply{life: 1})
			s := w.source(t, func(config *setup) {
				config.Credentials = clientcredentials.Credentials{
					ClientID: "machine", Key: &kms{Signer: c.key}, KeyID: "k1", Algorithm: c.algorithm,
				}
			})
			seen := map[string]bool{}
			for range 20 { // a short number of an ECDSA signature has to be padded
				have(t, s, east, 0)
				require.Equal(t, "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", w.form.Get("client_assertion_type"))
				require.Equal(t, "machine", w.form.Get("client_id"))
				require.Empty(t, w.form.Get("client_secret"))
				header, claims := open(t, w.form.Get("client_assertion"), c.key.Public())
				require.Equal(t, map[string]any{"alg": c.want, "typ": "JWT", "kid": "k1"}, header)
				jti, _ := claims["jti"].(string)
				require.GreaterOrEqual(t, len(jti), 20)
				require.False(t, seen[jti])
				seen[jti] = true
				now := float64(time.Now().Unix())
				require.Equal(t, map[string]any{
					"iss": "machine", "sub": "machine", "aud": "https://east.example.com/token", "jti": jti, "iat": now, "exp": now + 60,
				}, claims)
				time.Sleep(time.Second)
			}
		})
	}
}

// open verifies a JWS and returns its parts.
func open(t *testing.T, raw string, key crypto.PublicKey) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(raw, ".")
	require.Len(t, parts, 3)
	var decoded [3][]byte
	for i, part := range parts {
		var err error
		decoded[i], err = base64.RawURLEncoding.DecodeString(part)
		require.NoError(t, err)
	}
	require.NoError(t, json.Unmarshal(decoded[0], &header))
	require.NoError(t, json.Unmarshal(decoded[1], &claims))
	alg, _ := header["alg"].(string)
	if alg == "Ed25519" {
		alg = jose.EdDSA
	}
	require.NoError(t, jose.Verify(alg, key, []byte(parts[0]+"."+parts[1]), decoded[2]))
	return header, claims
}

// A key that does not sign is an outage of ours; the other region's may.
func TestSignerFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("throttled")
		key := curveKey(t, elliptic.P256())
		w := newWorld()
		s := w.source(t, func(c *setup) {
			each := clientcredentials.Credentials{ClientID: "machine", Audience: "https://idp.example.com"}
			good, bad := each, each
			good.Key, bad.Key = key, &kms{Signer: key, err: broken}
			c.Credentials, c.CredentialsFunc = clientcredentials.Credentials{}, byRegion(bad, good)
		})
		have(t, s, west, 0)
		_, claims := open(t, w.form.Get("client_assertion"), key.Public())
		require.Equal(t, "https://idp.example.com", claims["aud"])
		w.set(west, status(503))
		time.Sleep(time.Hour)
		require.ErrorIs(t, requireError(t, s, clientcredentials.ErrUnavailable), broken)
	})
}

// New reports every mistake at once.
func TestConfig(t *testing.T) {
	t.Parallel()
	short := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 1023, 1), E: 65537}} // 1,024 bits
	_, err := clientcredentials.New(issuer.Provider{}, clientcredentials.Config{})
	require.ErrorContains(t, err, "one of Credentials and CredentialsFunc is required")
	require.ErrorContains(t, err, "no region has a TokenURL")
	require.ErrorContains(t, err, "no regions")
	plain := issuer.Provider{ID: "x", Regions: []issuer.Region{
		{Name: "plain", Issuers: []string{"https://i"}, TokenURL: "http://i.example.com/token"},
	}}
	for _, c := range []struct {
		credentials clientcredentials.Credentials
		want        string
	}{
		{clientcredentials.Credentials{Secret: "s3cret"}, "a ClientID is required"},
		{clientcredentials.Credentials{ClientID: "x"}, "a Secret, a Key, or a Provider.HTTPClient with a client certificate is required"},
		{clientcredentials.Credentials{ClientID: "x", SecretInBody: true}, "a Secret, a Key, or a Provider.HTTPClient with a client certificate is required"},
		{clientcredentials.Credentials{ClientID: "x", Secret: "s3cret", KeyID: "k"}, "KeyID, Algorithm and Audience need a Key"},
		{clientcredentials.Credentials{ClientID: "x", Key: short}, "the Key has less than 2048 bits"},
		{clientcredentials.Credentials{ClientID: "x", Secret: "s3cret", Key: curveKey(t, elliptic.P256())}, "cannot be used with a Key"},
		{clientcredentials.Credentials{ClientID: "x", SecretInBody: true, Key: curveKey(t, elliptic.P256())}, "cannot be used with a Key"},
		{clientcredentials.Credentials{ClientID: "x", Key: curveKey(t, elliptic.P224())}, `the Algorithm "" does not fit the Key`},
		{clientcredentials.Credentials{ClientID: "x", Key: curveKey(t, elliptic.P256()), Algorithm: "ES384"}, `the Algorithm "ES384" does not fit the Key`},
	} {
		_, err = clientcredentials.New(plain, clientcredentials.Config{
			Credentials: c.credentials, CredentialsFunc: byRegion(c.credentials, c.credentials),
			Scopes: []string{"a b"}, Params: url.Values{"client_id": {"y"}, "resource": {"/here", "https://x#y"}},
		})
		for _, want := range []string{
			c.want, "one of Credentials and CredentialsFunc is required",
			`"a b" is not a scope`, `"/here" is not`, `"https://x#y" is not`, `Params cannot have "client_id"`,
			`region "plain": TokenURL "http://i.example.com/token": https is required`,
		} {
			require.ErrorContains(t, err, want)
		}
		require.NotContains(t, err.Error(), "s3cret")
	}
}
