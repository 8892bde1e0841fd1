package middleware_test

import (
	"context"
	"fmt"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/middleware"
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
	ctx := context.Background()
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
