package middleware_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/verifier"
)

// An adapter for another transport reads the token of a request, verifies it, checks what the route requires, and tells the
// client what package httpauth would.
func Example() {
	server := issuertest.New(nil, issuer.Cognito("us-east-1_AbCdEf123", "us-west-2"), issuertest.Config{Algorithm: "ES256"})
	defer server.Close()
	v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{server.Policy()}})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	if err := v.Preload(ctx); err != nil {
		fmt.Println(err)
		return
	}

	route := middleware.Scopes("orders/read")
	authorize := func(ctx context.Context, authorization ...string) error {
		raw, err := middleware.BearerToken(authorization...)
		if err != nil {
			return err
		}
		token, err := v.Verify(ctx, raw)
		if err != nil {
			return err
		}
		return middleware.Check(token, route)
	}
	fmt.Println(authorize(ctx, "Bearer "+server.Issue("us-west-2", issuertest.Claims{})))
	for _, authorization := range [][]string{
		nil,
		{"Bearer one", "Bearer two"},
		{"Bearer " + server.Issue("us-west-2", issuertest.Claims{Forged: true})},
		{"Bearer " + server.Issue("us-west-2", issuertest.Claims{Scope: "openid"})},
	} {
		status, code, _ := middleware.Classify(authorize(ctx, authorization...))
		fmt.Println(status, code)
	}
	// Output:
	// <nil>
	// 401 token_missing
	// 400 invalid_request
	// 401 invalid_token
	// 403 insufficient_scope
}

// An agent that acts for a user presents a token with the user as sub, and itself as act (RFC 8693). It is a bearer token
// like all others; only the requirements of the route tell the difference.
func ExampleActors() {
	server := issuertest.New(nil, issuer.OIDC("https://idp.example.com"), issuertest.Config{Audience: "https://api.example.com"})
	defer server.Close()
	v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{server.Policy()}})
	if err != nil {
		fmt.Println(err)
		return
	}
	orders := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := verifier.FromContext(r.Context())
		_, _ = fmt.Fprint(w, "order of ", token.Subject())
		if actor := token.Actor(); actor != nil {
			_, _ = fmt.Fprint(w, ", by ", actor.Subject)
		}
	})
	mux := http.NewServeMux()
	mux.Handle("POST /orders", httpauth.Require(v, middleware.Actors("travel-agent"))(orders))
	mux.Handle("DELETE /orders", httpauth.Require(v, middleware.NoActor())(orders))

	acting := func(act map[string]any) string {
		return server.Issue("default", issuertest.Claims{Subject: "alice", Set: map[string]any{"act": act}})
	}
	for _, token := range []string{
		server.Issue("default", issuertest.Claims{Subject: "alice"}),
		acting(map[string]any{"sub": "travel-agent"}),
		acting(map[string]any{"sub": "gateway", "act": map[string]any{"sub": "travel-agent"}}), // it acted earlier
		acting(map[string]any{"name": "travel-agent"}),                                         // not alice either
	} {
		for _, method := range []string{http.MethodPost, http.MethodDelete} {
			r := httptest.NewRequestWithContext(context.Background(), method, "/orders", nil)
			r.Header.Set("Authorization", "Bearer "+token)
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, r)
			fmt.Println(method, w.Code, strings.TrimSpace(w.Body.String()))
		}
	}
	// Output:
	// POST 403 {"error":"insufficient_scope"}
	// DELETE 200 order of alice
	// POST 200 order of alice, by travel-agent
	// DELETE 403 {"error":"insufficient_scope"}
	// POST 403 {"error":"insufficient_scope"}
	// DELETE 403 {"error":"insufficient_scope"}
	// POST 401 {"error":"invalid_token"}
	// DELETE 401 {"error":"invalid_token"}
}
