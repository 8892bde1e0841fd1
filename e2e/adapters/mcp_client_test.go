package adapters_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
)

// mcpService is an MCP server with sessions and a metadata document, on a loopback address.
type mcpService struct {
	*service
	resource string
}

func newMCPService(t *testing.T) *mcpService {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	m := &mcpService{resource: "http://" + server.Listener.Addr().String() + "/mcp"}
	m.service = newService(t, httpauth.Config{Metadata: &httpauth.Metadata{
		Resource: m.resource, Scopes: []string{read, write},
		AuthorizationServers: func() []string {
			var all []string
			for _, region := range m.fake.Provider().Regions {
				all = append(all, region.Issuers[0])
			}
			return all
		},
	}})
	tools := newTools(m.service)
	h := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return tools }, nil)
	mux := http.NewServeMux()
	mux.Handle("/mcp", recipeMCP(m.auth, m.validator, h, middleware.Scopes(read)))
	mux.Handle(m.auth.ResourceMetadata())
	server.Config.Handler = mux
	server.Start()
	t.Cleanup(server.Close)
	return m
}

// wallet is an OAuthHandler that gets its token from the authorization server which the challenge leads to.
type wallet struct {
	fake     *fakeissuer.Server
	resource string
	token    atomic.Pointer[string]
	asked    []int // the statuses that it was asked about
	servers  []string
}

// TokenSource implements mcpauth.OAuthHandler.
func (w *wallet) TokenSource(context.Context) (oauth2.TokenSource, error) {
	token := w.token.Load()
	if token == nil {
		return nil, nil
	}
	return oauth2.StaticTokenSource(&oauth2.Token{AccessToken: *token}), nil
}

func (w *wallet) put(token string) { w.token.Store(&token) }

// Authorize implements mcpauth.OAuthHandler: RFC 9728, section 5.
func (w *wallet) Authorize(ctx context.Context, _ *http.Request, resp *http.Response) error {
	defer func() { _ = resp.Body.Close() }()
	w.asked = append(w.asked, resp.StatusCode)
	challenges, err := oauthex.ParseWWWAuthenticate(resp.Header.Values("WWW-Authenticate"))
	if err != nil || len(challenges) != 1 {
		return fmt.Errorf("%d challenges: %w", len(challenges), err)
	}
	about, err := oauthex.GetProtectedResourceMetadata(ctx, challenges[0].Params["resource_metadata"], w.resource, &http.Client{})
	if err != nil {
		return err
	}
	w.servers = about.AuthorizationServers
	if challenges[0].Params["error"] == "insufficient_scope" && challenges[0].Params["scope"] != read {
		return errors.New("no such scope")
	}
	w.put(w.fake.Issue(west, fakeissuer.Claims{}))
	return nil
}

// transport reaches m with the tokens of w.
func (m *mcpService) transport(w *wallet) *mcp.StreamableClientTransport {
	w.fake, w.resource = m.fake, m.resource
	return &mcp.StreamableClientTransport{Endpoint: m.resource, HTTPClient: &http.Client{}, OAuthHandler: w, MaxRetries: -1}
}

// begin begins a session. version is that of the protocol, "" the newest.
func begin(t *testing.T, transport mcp.Transport, version string) *mcp.ClientSession {
	t.Helper()
	session, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).
		Connect(t.Context(), transport, &mcp.ClientSessionOptions{ProtocolVersion: version})
	require.NoError(t, err)
	t.Cleanup(func() { _ = session.Close() })
	return session
}

// call calls a tool for order 7.
func call(t *testing.T, session *mcp.ClientSession, tool string) (answer map[string]any, failed string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: tool, Arguments: orderID{"7"}})
	if err != nil {
		return nil, "", err
	}
	if result.IsError {
		return nil, result.Content[0].(*mcp.TextContent).Text, nil
	}
	return result.StructuredContent.(map[string]any), "", nil
}

// versions of the protocol: the newest, and the last with sessions.
var versions = []string{"", withSessions}

const (
	withSessions = "2025-11-25"
	alice        = "us-east-1_Testing01 " + fakeissuer.Subject
)

// A client that knows nothing but the address finds out from the challenge where to get a token, and from a rejection
// which scope it needs.
func TestMCPDiscovery(t *testing.T) {
	t.Parallel()
	for _, version := range versions {
		m := newMCPService(t)
		w := &wallet{}
		session := begin(t, m.transport(w), version)
		require.Equal(t, []int{401}, w.asked)
		require.Equal(t, []string{m.fake.Provider().Regions[0].Issuers[0], m.fake.Provider().Regions[1].Issuers[0]}, w.servers)
		answer, _, err := call(t, session, "show_order")
		require.NoError(t, err)
		require.Equal(t, map[string]any{
			"text": "order 7 for alice (openid orders/read) of us-east-1_Testing01", "user": alice,
		}, answer)

		w.put(m.fake.Issue(east, fakeissuer.Claims{Scope: "openid"}))
		_, _, err = call(t, session, "show_order")
		require.NoError(t, err, "it asked for the scope")
		require.Equal(t, []int{401, 403}, w.asked)
		require.EqualValues(t, 2, m.served.Load())
	}
}

// A tool may demand more than the endpoint, and judges the token of each call: not that of the session's first request.
func TestMCPToolScope(t *testing.T) {
	t.Parallel()
	for _, version := range versions {
		m := newMCPService(t)
		w := &wallet{}
		session := begin(t, m.transport(w), version)
		_, failed, err := call(t, session, "cancel_order")
		require.NoError(t, err)
		require.Equal(t, "insufficient_scope", failed)
		require.Zero(t, m.served.Load())
		w.put(m.fake.Issue(east, fakeissuer.Claims{Scope: read + " " + write}))
		answer, _, err := call(t, session, "cancel_order")
		require.NoError(t, err)
		require.Contains(t, answer["text"], "(orders/read orders/write)")
		w.put(m.fake.Issue(east, fakeissuer.Claims{}))
		_, failed, err = call(t, session, "cancel_order")
		require.NoError(t, err)
		require.Equal(t, "insufficient_scope", failed)
	}
}

// A session is its user's, with tokens of either region, and nobody else's.
func TestMCPSession(t *testing.T) {
	t.Parallel()
	m := newMCPService(t)
	w := &wallet{}
	w.put(m.fake.Issue(east, fakeissuer.Claims{}))
	session := begin(t, m.transport(w), withSessions)
	require.NotEmpty(t, session.ID())
	w.put(m.fake.Issue(west, fakeissuer.Claims{}))
	_, _, err := call(t, session, "show_order")
	require.NoError(t, err)
	require.Empty(t, w.asked)

	r, err := mcpRequest(strings.TrimSuffix(m.resource, "/mcp"))
	require.NoError(t, err)
	r.Header.Set("Mcp-Session-Id", session.ID())
	r.Header.Set("Authorization", "Bearer "+m.fake.Issue(east, fakeissuer.Claims{Subject: "mallory"}))
	resp, body := do(t, &http.Client{}, r)
	require.Equal(t, 403, resp.StatusCode)
	require.Contains(t, body, "session user mismatch")
	require.EqualValues(t, 1, m.served.Load())
}

// A session survives an outage, since 503 is not the end of it: no region can be asked about a new key, until one can.
func TestMCPOutage(t *testing.T) {
	t.Parallel()
	for _, version := range versions {
		m := newMCPService(t)
		w := &wallet{}
		session := begin(t, m.transport(w), version)
		m.fake.Break(east)
		m.fake.Break(west)
		_, _, err := call(t, session, "show_order")
		require.NoError(t, err, "the key is known")
		m.fake.Rotate(west)
		w.put(m.fake.Issue(west, fakeissuer.Claims{}))
		_, _, err = call(t, session, "show_order")
		require.ErrorContains(t, err, http.StatusText(http.StatusServiceUnavailable))
		require.EqualValues(t, 1, m.served.Load())
		m.fake.Restore(west)
		eventually(t, func() bool {
			_, _, err = call(t, session, "show_order")
			return err == nil
		})
		require.Equal(t, []int{401}, w.asked, "503 is no reason to ask for another token")
	}
}

// The stream of a session's notifications ends with the token that it was opened with; the session does not.
func TestMCPStreamEnds(t *testing.T) {
	t.Parallel()
	m := newMCPService(t)
	w := &wallet{}
	transport := m.transport(w)
	transport.DisableStandaloneSSE = true
	session := begin(t, transport, withSessions)

	token := m.fake.Issue(east, fakeissuer.Claims{ExpiresIn: 2 * time.Second})
	verified, err := m.validator.Verify(t.Context(), token)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, m.resource, nil)
	require.NoError(t, err)
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Mcp-Session-Id", session.ID())
	r.Header.Set("Authorization", "Bearer "+token)
	resp, events := do(t, &http.Client{}, r)
	require.Equal(t, 200, resp.StatusCode, events)
	require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	require.False(t, time.Now().Before(verified.ValidUntil()), "it ended early")
	_, _, err = call(t, session, "show_order")
	require.NoError(t, err)
}
