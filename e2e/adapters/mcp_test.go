package adapters_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	mcpauth "github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/verifier"
)

// recipeMCP puts httpauth in front of an MCP handler. httpauth verifies and rejects; the middleware of the SDK only takes
// over the verified token, so that tools see it and a session stays with the user who began it.
func recipeMCP(auth *httpauth.Middleware, v middleware.Verifier, h http.Handler, requirements ...middleware.Requirement) http.Handler {
	return auth.Require(requirements...)(recipeWatched(v, mcpauth.RequireBearerToken(recipeTokenInfo, nil)(h)))
}

// recipeTokenInfo copies the Token of the request. ValidUntil rather than Expiry, since the SDK compares without leeway. An
// the provider's ID has no space, so no two users share a UserID.
func recipeTokenInfo(ctx context.Context, _ string, _ *http.Request) (*mcpauth.TokenInfo, error) {
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

// recipeCaller is the Token of the HTTP request that a tool call came with. The context of a tool is that of the request which
// began the session: the token in it may be an older one.
func recipeCaller(r *mcp.CallToolRequest) (*verifier.Token, error) {
	if r.Extra != nil && r.Extra.TokenInfo != nil {
		if token, ok := r.Extra.TokenInfo.Extra["token"].(*verifier.Token); ok {
			return token, nil
		}
	}
	return nil, errors.New("nobody has verified who calls")
}

type orderID struct {
	ID string `json:"id"`
}

type orderText struct {
	Text string `json:"text"`
	User string `json:"user"`
}

// newTools returns a server with a tool for every client that may use it at all, and one that demands more.
func newTools(s *service) *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "orders", Version: "1"}, nil)
	add := func(name string, requirements ...middleware.Requirement) {
		mcp.AddTool(server, &mcp.Tool{Name: name},
			func(_ context.Context, r *mcp.CallToolRequest, in orderID) (*mcp.CallToolResult, orderText, error) {
				token, err := recipeCaller(r)
				if err != nil {
					return nil, orderText{}, err
				}
				if err := middleware.Check(token, requirements...); err != nil {
					_, code, _ := middleware.Classify(err)
					return nil, orderText{}, errors.New(code)
				}
				return nil, orderText{s.order(token, in.ID), r.Extra.TokenInfo.UserID}, nil
			})
	}
	add("show_order")
	add("cancel_order", middleware.Scopes(write))
	return server
}

// buildMCP has no sessions, so that one request is a whole call.
func buildMCP(s *service) http.Handler {
	tools := newTools(s)
	h := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return tools },
		&mcp.StreamableHTTPOptions{Stateless: true, JSONResponse: true})
	return recipeMCP(s.auth, s.validator, h, middleware.Scopes(read))
}

func mcpRequest(url string) (*http.Request, error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url+"/mcp", strings.NewReader(
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"show_order","arguments":{"id":"7"}}}`))
	if err == nil {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", "application/json, text/event-stream")
	}
	return r, err
}
