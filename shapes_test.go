package regionjwt_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// emulatorKey is the key of cognito-local, whose private half is in its repository: github.com/jagregory/cognito-local, MIT
// licence.
const (
	emulatorKey = `{"kty":"RSA","e":"AQAB","use":"sig","kid":"CognitoLocal","alg":"RS256","n":"2uLO7yh1_6Icfd89V3nNTc_qhfpDN7vEmOYlm` +
		`JQlc9_RmOns26lg88fXXFntZESwHOm7_homO2Ih6NOtu4P5eskGs8d8VQMOQfF4YrP-pawVz-gh1S7eSvzZRDHBT4ItUuoiVP1B9HN_uScKxIqjmitpPqEQB_o2` +
		`NJv8npCfqUAU-4KmxquGtjdmfctswSZGdz59M3CAYKDfuvLH9_vV6TRGgbUaUAXWC2WJrbbEXzK3XUDBrmF3Xo-yw8f3SgD3JOPl3HaaWMKL1zGVAsge7gQaGiJ` +
		`BzBurg5vwN61uDGGz0QZC1JqcUTl3cZnrx_L8isIR7074SJEuljIZRnCcjQ"}`
	emulatorThumbprint = "jS8J3RuOy291lpsiFe2NfKV6VkdfMF4Q_840qOLXAjs"
)

type answers func(*http.Request) string

func (f answers) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(f(r))), Request: r,
	}, nil
}

// The emulator of Cognito can be used: its key is named, as anybody can sign with it.
func TestTheEmulatorOfCognitoCanBeAllowed(t *testing.T) {
	t.Parallel()
	pool := issuer.UserPool{ID: "us-east-1_AbCdEf123", Endpoint: func(string, issuer.CognitoMode) string { return "http://localhost:9229" }}
	pool.Mode = issuer.CognitoOriginal
	for _, allowed := range [][]string{nil, {emulatorThumbprint}} {
		v, err := regionjwt.New(regionjwt.Config{
			Policies: []verifier.Policy{{Provider: pool.Provider(), Audience: verifier.CognitoAccess("app")}},
			Keys: jwks.Config{
				InsecureKnownKeys: allowed, UnknownKeyWait: -1,
				HTTPClient: &http.Client{Transport: answers(func(*http.Request) string { return `{"keys":[` + emulatorKey + `]}` })},
			},
		})
		require.NoError(t, err)
		err = v.Preload(t.Context())
		st := v.Status().Keys[0]
		if allowed == nil {
			require.Error(t, err)
			require.Equal(t, []string{"CognitoLocal: known_private_key"}, st.Skipped)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, []string{"CognitoLocal"}, st.KeyIDs)
	}
}

// Every limit of the parts can be set in the one Config, and is in effect.
func TestEveryLimitCanBeSet(t *testing.T) {
	t.Parallel()
	p := issuer.Provider{ID: "p", Regions: []issuer.Region{
		{Name: "eu", Issuers: []string{"urn:example:idp"}, JWKSURLs: []string{"http://keys.cluster.local/jwks"}},
	}}
	server := issuertest.New(t, p, issuertest.Config{Algorithm: "ES256"})
	config := regionjwt.Config{Policies: []verifier.Policy{server.Policy()}}
	_, err := regionjwt.New(config)
	require.ErrorContains(t, err, "https is required")
	config.Keys = jwks.Config{
		InsecureHTTPHosts: []string{"keys.cluster.local"}, UnknownKeyInterval: time.Second, UnknownKeyWait: 3 * time.Second,
		RefreshInterval: time.Minute, MaxStale: time.Hour, MaxKeySetBytes: 4 << 10, MaxKeys: 10, MaxRSABits: 8192, MaxRequests: 10,
	}
	config.Tokens = verifier.Config{MaxTokenBytes: 2 << 10, Leeway: time.Minute, CacheSize: 10}
	v, err := regionjwt.New(config)
	require.NoError(t, err)
	_, err = v.Verify(t.Context(), server.Issue("eu", issuertest.Claims{}))
	require.NoError(t, err)
	_, err = v.Verify(t.Context(), server.Issue("eu", issuertest.Claims{ExpiresIn: -45 * time.Second}))
	require.NoError(t, err, "within the leeway")
	_, err = v.Verify(t.Context(), server.Issue("eu", issuertest.Claims{Set: map[string]any{"pad": strings.Repeat("x", 2<<10)}}))
	var e *verifier.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "size, see Config.MaxTokenBytes", e.Detail)
	config.Keys.MaxKeySetBytes = 16
	v, err = regionjwt.New(config)
	require.NoError(t, err)
	require.Error(t, v.Preload(t.Context()))
}

// New says, in the log, that a group claim is looked up by its whole name, dots included.
func TestNewSaysHowMembersOfObjectsAreNamed(t *testing.T) {
	t.Parallel()
	for name, help := range map[string]string{
		"realm_access.roles": `/realm_access/roles`, "/realm_access/roles": "", "https://x.example/roles": "", "roles": "", "urn:x.y": "",
	} {
		var log bytes.Buffer
		_, err := regionjwt.New(regionjwt.Config{
			Policies: []verifier.Policy{{
				Provider: issuer.OIDC("https://idp.example"), Audience: verifier.Audience("https://api.example"), GroupClaims: []string{name},
			}},
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		require.NoError(t, err, name)
		if help == "" {
			require.Empty(t, log.String(), name)
			continue
		}
		require.Contains(t, log.String(), help, name)
	}
}

// New says, in the log, whose security events can match no token, as long as no Update brings a Policy for them.
func TestNewSaysWhoseSecurityEventsMatchNothing(t *testing.T) {
	t.Parallel()
	pool := issuer.Cognito("us-east-1_AbCdEf123", "us-west-2")
	var log bytes.Buffer
	_, err := regionjwt.New(regionjwt.Config{
		Policies: []verifier.Policy{{Provider: pool, Audience: verifier.CognitoAccess("app")}},
		Revocation: &revocation.Config{Signals: []revocation.Signals{{
			Replica: store.ReplicaConfig{Stores: []store.Trusted{store.Dir(filepath.Join(t.TempDir(), "d"))}}, Providers: []string{pool.ID, "us-east-1_abcdef123"},
		}}},
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
	require.Contains(t, log.String(), "provider=us-east-1_abcdef123")
}

// New says, in the log, that the access tokens of a user pool have no aud. That no ID token passes is certain there.
func TestNewSaysThatAnAudienceRejectsTheTokensOfAUserPool(t *testing.T) {
	t.Parallel()
	for _, audience := range []verifier.AudiencePolicy{
		verifier.Audience("app"), verifier.AnyOf(verifier.Audience("https://api.example"), verifier.Audience("app")),
	} {
		var log bytes.Buffer
		_, err := regionjwt.New(regionjwt.Config{
			Policies: []verifier.Policy{{Provider: issuer.Cognito("us-east-1_AbCdEf123", "us-west-2"), Audience: audience}},
			Logger:   slog.New(slog.NewTextHandler(&log, nil)),
		})
		require.NoError(t, err, "tokens that were requested with a resource have one")
		require.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
		require.Contains(t, log.String(), "use CognitoAccess")
	}
}

// Update logs what is doubtful about a policy that is new, and nothing that was logged before.
func TestUpdateWarnsOfNewPolicies(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	policy := func(id string, audience verifier.AudiencePolicy) verifier.Policy {
		return verifier.Policy{Provider: issuer.OIDC("https://" + id + ".example"), Audience: audience}
	}
	clear, unclear := policy("one", verifier.Audience("https://api.example")), policy("two", verifier.Audience("app"))
	v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{clear}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, err)
	require.Empty(t, log.String())
	for range 2 {
		require.NoError(t, v.Update([]verifier.Policy{unclear, clear}))
	}
	require.Equal(t, 1, strings.Count(log.String(), "cannot be told apart"))
	require.NoError(t, v.Update([]verifier.Policy{clear}))
	require.NoError(t, v.Update([]verifier.Policy{unclear, clear}))
	require.Equal(t, 2, strings.Count(log.String(), "cannot be told apart"), "it was gone, and is back")
}

// New says, in the log, where access tokens and ID tokens cannot be told apart, and only there.
func TestNewSaysWhereKindsOfTokensAreUnclear(t *testing.T) {
	t.Parallel()
	other := issuer.OIDC("https://idp.example")
	for name, c := range map[string]struct {
		policy verifier.Policy
		want   string
	}{
		"client ID as audience": {verifier.Policy{Provider: other, Audience: verifier.Audience("app")}, "an ID token passes"},
		"a URL as audience":     {verifier.Policy{Provider: other, Audience: verifier.Audience("https://api.example")}, ""},
		"only at+jwt":           {verifier.Policy{Provider: other, Audience: verifier.Audience("app"), Types: []string{"AT+JWT"}}, ""},
		"at+jwt and JWT":        {verifier.Policy{Provider: other, Audience: verifier.Audience("app"), Types: []string{"at+jwt", "JWT"}}, "an ID token passes"},
		"ID tokens":             {verifier.Policy{Provider: other, Audience: verifier.IDToken("app")}, "an access token passes"},
		"ID tokens, at_hash":    {verifier.Policy{Provider: other, Audience: verifier.IDToken("app"), RequiredClaims: []string{"at_hash"}}, ""},
		"both": {
			verifier.Policy{Provider: other, Audience: verifier.AnyOf(verifier.Audience("urn:api", "app"), verifier.IDToken("app"))},
			"an access token passes",
		},
		"Cognito":            {verifier.Policy{Provider: issuer.Cognito("us-east-1_AbCdEf123"), Audience: verifier.CognitoAccess("app")}, ""},
		"Cognito, ID tokens": {verifier.Policy{Provider: issuer.Cognito("us-east-1_AbCdEf123"), Audience: verifier.IDToken("app")}, ""},
		"Cognito and an API": {
			verifier.Policy{
				Provider: issuer.Cognito("us-east-1_AbCdEf123"), Audience: verifier.AllOf(verifier.CognitoAccess("app"), verifier.Audience("api")),
			}, "",
		},
		"Keycloak": {verifier.Policy{Provider: issuer.OIDC("https://idp.example/realms/shop"), Audience: verifier.Audience("orders")}, ""},
		"Entra": {
			verifier.Policy{Provider: issuer.OIDC("https://login.microsoftonline.com/8f6a/v2.0"), Audience: verifier.Audience("0f1e")}, "",
		},
	} {
		var log bytes.Buffer
		_, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{c.policy}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		require.NoError(t, err, name)
		if c.want == "" {
			require.Empty(t, log.String(), name)
			continue
		}
		require.Contains(t, log.String(), c.want, name)
	}
}
