package e2e_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// cognitoLocalKey is the thumbprint of the one key of cognito-local. Its private half is published, so it is allowed in tests
// and nowhere else.
const cognitoLocalKey = "jS8J3RuOy291lpsiFe2NfKV6VkdfMF4Q_840qOLXAjs"

// cognitoLocal is a region of a user pool in the emulator cognito-local, with a user who can sign in.
type cognitoLocal struct {
	*process
	iss, client string
}

var listening = regexp.MustCompile(`running on (http://127\.0\.0\.1:\d+)`)

// startCognitoLocal runs cognito-local. Its tokens have the iss of Cognito itself.
func startCognitoLocal(t *testing.T, region, port string) *cognitoLocal {
	t.Helper()
	require.NoError(t, installed())
	program, err := filepath.Abs("idp/node_modules/cognito-local/lib/bin/start.js")
	require.NoError(t, err)
	host := "https://cognito-idp." + region + ".amazonaws.com"
	dir := t.TempDir()
	for name, content := range map[string]any{
		"config.json":          map[string]any{"TokenConfig": map[string]string{"IssuerDomain": host}},
		"db/" + pool + ".json": map[string]any{"Users": map[string]any{}, "Options": map[string]any{"Id": pool}},
	} {
		doc, err := json.Marshal(content)
		require.NoError(t, err)
		file := filepath.Join(dir, ".cognito", name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
		require.NoError(t, os.WriteFile(file, doc, 0o600))
	}
	p := launch(t, dir, []string{"HOST=127.0.0.1", "PORT=" + port}, "node", program)
	c := &cognitoLocal{process: p, iss: host + "/" + pool}
	found := listening.FindSubmatch(c.line(t))
	require.NotNil(t, found, "it says where it listens")
	go func() {
		for range c.lines { // what it logs
		}
	}()
	c.issuer = string(found[1])
	c.signUp(t)
	return c
}

// call sends a request of the Cognito API.
func (c *cognitoLocal) call(t *testing.T, action string, input, output any) {
	t.Helper()
	body, err := json.Marshal(input)
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.issuer+"/", bytes.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "AWSCognitoIdentityProviderService."+action)
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	require.NoError(t, err)
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s: %s", action, answer)
	require.NoError(t, json.Unmarshal(answer, output), "%s", answer)
}

const (
	email    = "alice@example.com"
	password = "Correct-horse-1"
)

// signUp makes a client, and a user in a group.
func (c *cognitoLocal) signUp(t *testing.T) {
	t.Helper()
	var made struct{ UserPoolClient struct{ ClientId string } }
	c.call(t, "CreateUserPoolClient", map[string]any{"UserPoolId": pool, "ClientName": "app"}, &made)
	c.client = made.UserPoolClient.ClientId
	require.NotEmpty(t, c.client)
	var none map[string]any
	c.call(t, "SignUp", map[string]any{
		"ClientId": c.client, "Username": email, "Password": password,
		"UserAttributes": []map[string]string{{"Name": "email", "Value": email}},
	}, &none)
	user := map[string]any{"UserPoolId": pool, "Username": email, "GroupName": "admins"}
	c.call(t, "AdminConfirmSignUp", user, &none)
	c.call(t, "CreateGroup", user, &none)
	c.call(t, "AdminAddUserToGroup", user, &none)
}

// signIn returns the tokens of the user.
func (c *cognitoLocal) signIn(t *testing.T) (access, id string) {
	t.Helper()
	var got struct {
		AuthenticationResult struct{ AccessToken, IdToken string }
	}
	c.call(t, "InitiateAuth", map[string]any{
		"ClientId": c.client, "AuthFlow": "USER_PASSWORD_AUTH",
		"AuthParameters": map[string]string{"USERNAME": email, "PASSWORD": password},
	}, &got)
	return got.AuthenticationResult.AccessToken, got.AuthenticationResult.IdToken
}

// liveCognito is a region of cognito-local. The emulator has one key, in every region and for ever.
func liveCognito(t *testing.T, c *cognitoLocal, region string) *live {
	t.Helper()
	return &live{
		process: c.process,
		issue:   func(t *testing.T) string { t.Helper(); access, _ := c.signIn(t); return access },
		again: func(t *testing.T) *live {
			t.Helper()
			port := c.port(t)
			c = startCognitoLocal(t, region, port)
			return liveCognito(t, c, region)
		},
	}
}

// localPool returns a validator of the pool whose keys are fetched from the emulators.
func localPool(
	t *testing.T, regions map[string]*cognitoLocal, audience verifier.AudiencePolicy, known ...string,
) *regionjwt.Validator {
	t.Helper()
	provider := issuer.UserPool{
		ID: pool, Replicas: []string{west}, Mode: issuer.CognitoOriginal,
		Endpoint: func(region string, _ issuer.CognitoMode) string { return regions[region].issuer },
	}.Provider()
	v, err := regionjwt.New(regionjwt.Config{
		Policies: []verifier.Policy{{Provider: provider, Audience: audience}}, Keys: jwks.Config{InsecureKnownKeys: known},
	})
	require.NoError(t, err)
	return v
}

// Access and ID tokens are told apart, and the key is refused unless it is allowed by name. The replica may write the iss of the
// primary, so its key verifies both. The key of the primary proves nothing about the iss of the replica, though it is the same.
func TestCognitoLocal(t *testing.T) {
	t.Parallel()
	regions := map[string]*cognitoLocal{east: startCognitoLocal(t, east, "0"), west: startCognitoLocal(t, west, "0")}
	clients := []string{regions[east].client, regions[west].client}
	apis := localPool(t, regions, verifier.CognitoAccess(clients...), cognitoLocalKey)
	apps := localPool(t, regions, verifier.CognitoID(clients...), cognitoLocalKey)
	strict := localPool(t, regions, verifier.CognitoAccess(clients...))
	raws := map[string]string{}
	for region, c := range regions {
		access, id := c.signIn(t)
		raws[region] = access
		for v, raw := range map[*regionjwt.Validator]string{apis: access, apps: id} {
			tok := accepted(t, v, raw)
			require.Equal(t, []string{c.iss, pool}, []string{tok.Issuer(), tok.Provider()})
			require.Contains(t, tok.Regions(), region)
			require.True(t, tok.HasGroup("admins"))
			require.NotEmpty(t, tok.Subject())
		}
		require.Equal(t, c.client, accepted(t, apis, access).ClientID())
		require.True(t, accepted(t, apis, access).HasScope("aws.cognito.signin.user.admin"))
		refused(t, apis, id, verifier.ReasonBadAudience)
		refused(t, apps, access, verifier.ReasonBadAudience)
		refused(t, strict, access, verifier.ReasonKeysUnavailable)
	}
	for _, status := range strict.Status().Keys {
		require.Len(t, status.Skipped, 1)
		require.Contains(t, status.Skipped[0], "CognitoLocal: ", "it says why there is no usable key")
	}
	regions[west].freeze(t)
	cold := localPool(t, regions, verifier.CognitoAccess(clients...), cognitoLocalKey)
	accepted(t, cold, raws[east])
	refused(t, cold, raws[west], verifier.ReasonKeysUnavailable)
	regions[west].thaw(t)

	anyClient := localPool(t, regions, verifier.CognitoAccess(verifier.AllowAnyClient), cognitoLocalKey)
	outlives(t, anyClient, map[string]*live{ // a region that restarts makes a new client
		east: liveCognito(t, regions[east], east), west: liveCognito(t, regions[west], west),
	})
}
