package middleware_test

import (
	"context"
	"fmt"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/verifier"
)

// An adapter for another transport takes the token of a request, has it verified, looks at what the route requires, and tells
// the client what package httpauth would.
func Example() {
	world := issuertest.New(nil, issuertest.Config{Algorithm: "ES256"})
	defer world.Close()
	v, err := regionjwt.New(regionjwt.Config{Keys: jwks.Config{HTTPClient: world.Client()}, Policies: []verifier.Policy{{
		Provider: world.Provider(), Audience: verifier.CognitoAccess(issuertest.ClientID), Algorithms: []string{"ES256"},
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}

	route := []middleware.Requirement{middleware.Scopes("orders/read")}
	authorize := func(ctx context.Context, authorization ...string) error {
		raw, err := middleware.Bearer(authorization)
		if err != nil {
			return err
		}
		token, err := middleware.Verify(ctx, v, raw)
		if err != nil {
			return err
		}
		return middleware.Require(token, route)
	}
	ctx := context.Background()
	fmt.Println(authorize(ctx, "Bearer "+world.Token("us-west-2", issuertest.Claims{})))
	for _, authorization := range [][]string{
		nil,
		{"Bearer one", "Bearer two"},
		{"Bearer " + world.Token("us-west-2", issuertest.Claims{Forge: true})},
		{"Bearer " + world.Token("us-west-2", issuertest.Claims{Scope: "openid"})},
	} {
		outcome, _ := middleware.Classify(authorize(ctx, authorization...))
		fmt.Println(outcome)
	}
	// Output:
	// <nil>
	// token_missing
	// invalid_request
	// invalid_token
	// insufficient_scope
}
