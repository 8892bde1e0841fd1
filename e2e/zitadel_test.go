package e2e_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/verifier"
)

// zitadel runs a region of zitadel/oidc in a process of its own, which is this program.
func zitadel(t *testing.T, address string) *live {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	p := launch(t, ".", []string{childAddress + "=" + address}, self)
	ready := p.read(t, "ready")
	p.issuer, p.kid = ready.Issuer, ready.Kid
	return &live{
		process: p, rotate: p.rotate,
		issue: func(t *testing.T) string { t.Helper(); return p.machineOfZitadel(t) },
		again: func(t *testing.T) *live { t.Helper(); return zitadel(t, strings.TrimPrefix(p.issuer, "http://")) },
	}
}

// post sends a form with the credentials of a client and decodes the tokens.
func (p *process) post(t *testing.T, client, password string, form url.Values) (got struct {
	Access string `json:"access_token"`
	ID     string `json:"id_token"`
},
) {
	t.Helper()
	body := strings.NewReader(form.Encode())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.issuer+"/oauth/token", body)
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(client, password)
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	require.NoError(t, err)
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", answer)
	require.NoError(t, json.Unmarshal(answer, &got))
	return got
}

func (p *process) machineOfZitadel(t *testing.T) string {
	t.Helper()
	return p.post(t, "sid1", machineSecret, url.Values{"grant_type": {"client_credentials"}, "scope": {"openid"}}).Access
}

// userOfZitadel goes the way of a browser: authorization request, login, code, tokens.
func (p *process) userOfZitadel(t *testing.T) (access, id string) {
	t.Helper()
	query := url.Values{
		"client_id": {"web"}, "redirect_uri": {"http://127.0.0.1/callback"}, "response_type": {"code"},
		"scope": {"openid profile"}, "nonce": {"n-0"}, "state": {"s-0"},
	}
	next := p.issuer + "/authorize?" + query.Encode()
	for !strings.HasPrefix(next, "http://127.0.0.1/callback") {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, next, nil)
		require.NoError(t, err)
		resp, err := http.DefaultTransport.RoundTrip(req)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusFound, resp.StatusCode, "%s", body)
		to, err := resp.Location()
		require.NoError(t, err)
		next = to.String()
	}
	u, err := url.Parse(next)
	require.NoError(t, err)
	require.NotEmpty(t, u.Query().Get("code"), next)
	got := p.post(t, "web", secret, url.Values{
		"grant_type": {"authorization_code"}, "code": {u.Query().Get("code")}, "redirect_uri": {"http://127.0.0.1/callback"},
	})
	return got.Access, got.ID
}

func zitadelPolicy(eastern, western *live, audience verifier.AudiencePolicy) verifier.Policy {
	return verifier.Policy{
		Provider: issuer.Provider{ID: "tenant", Regions: []issuer.Region{
			{Name: east, Issuers: []string{eastern.issuer}}, {Name: west, Issuers: []string{western.issuer}},
		}},
		Audience: audience,
	}
}

// The audience of a user's access token is the client, as that of the ID token: at_hash tells them apart.
func TestZitadel(t *testing.T) {
	t.Parallel()
	eastern, western := zitadel(t, "127.0.0.1:0"), zitadel(t, "127.0.0.1:0")
	apis := validator(t, nil, zitadelPolicy(eastern, western, verifier.Audience("web")))
	apps := validator(t, nil, zitadelPolicy(eastern, western, verifier.IDToken("web")))
	for region, r := range map[string]*live{east: eastern, west: western} {
		access, id := r.userOfZitadel(t)
		tok := accepted(t, apis, access)
		require.Equal(t, []string{region, "id1", r.kid}, []string{tok.Region(), tok.Subject(), tok.Key().ID()})
		require.Equal(t, region, accepted(t, apps, id).Region())
		refused(t, apis, id, verifier.ReasonBadAudience)
		require.Contains(t, payload(t, id), "at_hash")
	}
	machines := validator(t, nil, zitadelPolicy(eastern, western, verifier.Audience("sid1")))
	outlives(t, machines, map[string]*live{east: eastern, west: western})
}
