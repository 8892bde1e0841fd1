package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	mcpauth "github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/verifier"
)

const (
	showOrder   = "show_order"
	cancelOrder = "cancel_order"
	cancelScope = "orders/write"
)

type config struct {
	provider issuer.Provider
	clients  []string
	resource string // URL of the server as its clients know it
	scope    string // that every request needs; "" means none
	logger   *slog.Logger
}

// server is the MCP endpoint behind httpauth, and its metadata document.
type server struct {
	handler   http.Handler
	validator *regionjwt.Validator
}

func newServer(c config) (*server, error) {
	clients := verifier.CognitoAccess(c.clients...)
	v, err := regionjwt.New(regionjwt.Config{
		Policies: []verifier.Policy{{
			Provider: c.provider,
			// A token that was asked for with a resource has to name this one; those of machines name none.
			Audience: verifier.AnyOf(clients, verifier.AllOf(clients, verifier.Audience(c.resource))),
		}},
		Logger: c.logger,
	})
	if err != nil {
		return nil, err
	}
	var requirements []middleware.Requirement
	scopes := []string{cancelScope}
	if c.scope != "" {
		requirements = append(requirements, middleware.Scopes(c.scope))
		scopes = []string{c.scope, cancelScope}
	}
	auth, err := httpauth.New(v, httpauth.Config{Metadata: &httpauth.Metadata{
		Resource: c.resource, Scopes: scopes, Extra: map[string]any{"resource_name": "Orders"},
		AuthorizationServers: func() []string { return servers(c.provider, v) },
	}})
	if err != nil {
		return nil, err
	}
	tools := newTools()
	u, err := url.Parse(c.resource)
	if err != nil {
		return nil, err
	}
	sessions := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return tools }, &mcp.StreamableHTTPOptions{
		// Behind a proxy on this host the Host header is not a local one. Pages in browsers have no token to get in with.
		DisableLocalhostProtection: !isLoopback(u.Hostname()),
	})
	// From the outside in: httpauth verifies and rejects; watched ends streams that outlive their token; the middleware of the
	// SDK takes over the verified token, so that tools see it and a session stays with the user who began it.
	inner := watched(v, mcpauth.RequireBearerToken(tokenInfo, nil)(sessions))
	mux := http.NewServeMux()
	mux.Handle("/mcp", auth.Require(requirements...)(inner))
	mux.Handle(auth.ResourceMetadata())
	return &server{mux, v}, nil
}

// servers lists the issuer of each region, those of regions that answer first.
func servers(a issuer.Provider, v *regionjwt.Validator) []string {
	dark := map[string]bool{}
	for _, s := range v.Status().Keys {
		dark[s.Region] = dark[s.Region] || s.Failures > 0 && s.State != "not_enabled"
	}
	var up, down []string
	for _, r := range a.Regions {
		if dark[r.Name] {
			down = append(down, r.Issuers[0])
		} else {
			up = append(up, r.Issuers[0])
		}
	}
	return append(up, down...)
}

// watched ends a response when the token of its request ends.
func watched(v middleware.Verifier, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, stop := middleware.Watch(r.Context(), v, verifier.FromContext(r.Context()), 0)
		defer stop()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// tokenInfo gives the SDK the token that httpauth has verified. The SDK compares the time without leeway, so it gets ValidUntil.
// The ID of a provider has no space, so two users never share a UserID.
func tokenInfo(ctx context.Context, _ string, _ *http.Request) (*mcpauth.TokenInfo, error) {
	token := verifier.FromContext(ctx)
	if token == nil {
		return nil, mcpauth.ErrInvalidToken // it is not behind httpauth
	}
	return &mcpauth.TokenInfo{
		Scopes:     slices.Collect(token.Scopes()),
		Expiration: token.ValidUntil(),
		UserID:     token.Provider() + " " + token.Subject(),
		Extra:      map[string]any{"token": token},
	}, nil
}

// caller is the token of the HTTP request that a call came with. The context of a tool is that of the request which began the
// session: the token in it may be an older one.
func caller(r *mcp.CallToolRequest) (*verifier.Token, error) {
	if r.Extra != nil && r.Extra.TokenInfo != nil {
		if token, ok := r.Extra.TokenInfo.Extra["token"].(*verifier.Token); ok {
			return token, nil
		}
	}
	return nil, errors.New("nobody has verified who calls")
}

type order struct {
	ID string `json:"id" jsonschema:"number of the order"`
}

// newTools returns the tools: one for everyone who may use the server, and one that requires another scope.
func newTools() *mcp.Server {
	s := mcp.NewServer(&mcp.Implementation{Name: "orders", Version: "1"}, nil)
	mcp.AddTool(s, &mcp.Tool{Name: showOrder, Description: "Shows an order."}, tool("order %s for %s, who is %s %s"))
	mcp.AddTool(s, &mcp.Tool{Name: cancelOrder, Description: "Cancels an order."},
		tool("order %s is cancelled for %s, who is %s %s", cancelScope))
	return s
}

// tool answers with the order and the caller. The token of each call needs the scopes.
func tool(format string, scopes ...string) mcp.ToolHandlerFor[order, any] {
	var requirements []middleware.Requirement
	if len(scopes) > 0 {
		requirements = append(requirements, middleware.Scopes(scopes...))
	}
	return func(_ context.Context, r *mcp.CallToolRequest, in order) (*mcp.CallToolResult, any, error) {
		token, err := caller(r)
		if err != nil {
			return nil, nil, err
		}
		if err := middleware.Check(token, requirements...); err != nil {
			_, code, _ := middleware.Classify(err)
			return nil, nil, fmt.Errorf("%s: %s", code, strings.Join(scopes, " "))
		}
		username, _ := token.Claim("username").(string)
		text := fmt.Sprintf(format, in.ID, username, token.Provider(), token.Subject())
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}, nil, nil
	}
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
