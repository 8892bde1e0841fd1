package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
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
	authority issuer.Provider
	clients   []string
	resource  string // URL of the server as its clients know it
	scope     string // that every request needs; "" means none
	logger    *slog.Logger
}

// server is the MCP endpoint behind httpauth, and its metadata document.
type server struct {
	handler   http.Handler
	validator *regionjwt.Validator
}

func newServer(c config) (*server, error) {
	v, err := regionjwt.New(regionjwt.Config{
		Policies: []verifier.Policy{{
			Provider: c.authority,
			// A token that was asked for with a resource has to name this one; those of machines name none.
			Audience: verifier.CognitoAccess(c.clients...).WithAudience(c.resource),
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
	auth, err := httpauth.New(httpauth.Config{Verifier: v, Realm: "orders", Metadata: &httpauth.Metadata{
		Resource: c.resource, Name: "Orders", Scopes: scopes,
		AuthorizationServers: func() []string { return servers(c.authority, v) },
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
		DisableLocalhostProtection: !issuer.IsLoopback(u.Hostname()),
	})
	// From the outside in: httpauth verifies and refuses; watched ends streams that outlive their token; the SDK's own middleware
	// takes over what was verified, so that tools see it and a session stays with the user who began it.
	inner := watched(auth, mcpauth.RequireBearerToken(tokenInfo, nil)(sessions))
	mux := http.NewServeMux()
	mux.Handle("/mcp", auth.Handler(inner, requirements...))
	mux.Handle(auth.MetadataPath(), auth.MetadataHandler())
	return &server{mux, v}, nil
}

// servers lists the issuer of each region, those of regions that answer first.
func servers(a issuer.Provider, v *regionjwt.Validator) []string {
	dark := map[string]bool{}
	for _, s := range v.Keys().Status() {
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

func watched(auth *httpauth.Middleware, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, stop := auth.Watch(r, 0)
		defer stop()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// tokenInfo hands the SDK the token that httpauth has verified. The SDK compares the time without leeway, so it gets ValidUntil.
// An authority's ID has no space, so no two users share a UserID.
func tokenInfo(ctx context.Context, _ string, _ *http.Request) (*mcpauth.TokenInfo, error) {
	token, ok := verifier.FromContext(ctx)
	if !ok {
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

// newTools returns the tools: one for whoever may use the server, one that demands a scope of its own.
func newTools() *mcp.Server {
	s := mcp.NewServer(&mcp.Implementation{Name: "orders", Version: "1"}, nil)
	mcp.AddTool(s, &mcp.Tool{Name: showOrder, Description: "Shows an order."}, tool("order %s for %s, who is %s %s"))
	mcp.AddTool(s, &mcp.Tool{Name: cancelOrder, Description: "Cancels an order."},
		tool("order %s is cancelled for %s, who is %s %s", middleware.Scopes(cancelScope)))
	return s
}

// tool answers with the order and the caller. What it demands is looked for in the token of each call.
func tool(format string, requirements ...middleware.Requirement) mcp.ToolHandlerFor[order, any] {
	return func(_ context.Context, r *mcp.CallToolRequest, in order) (*mcp.CallToolResult, any, error) {
		token, err := caller(r)
		if err != nil {
			return nil, nil, err
		}
		if err := middleware.Require(token, requirements); err != nil {
			outcome, _ := middleware.Classify(err)
			return nil, nil, fmt.Errorf("%s: %s", outcome, strings.Join(middleware.ScopesOf(requirements), " "))
		}
		var claims struct {
			Username string `json:"username"`
		}
		if err := token.Claims(&claims); err != nil {
			return nil, nil, errors.New("the claims are not those of a user")
		}
		text := fmt.Sprintf(format, in.ID, claims.Username, token.Provider(), token.Subject())
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}, nil, nil
	}
}
