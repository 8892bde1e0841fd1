package verifier_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

func ExampleVerifier_Verify() {
	provider := issuer.Provider{ID: "shop", Regions: []issuer.Region{
		{Name: "us-east-1", Issuers: []string{"https://us-east-1.idp.example"}},
		{Name: "us-west-2", Issuers: []string{"https://us-west-2.idp.example"}},
	}}
	server := issuertest.New(nil, provider, issuertest.Config{Algorithm: "ES256"})
	defer server.Close()
	keys, err := jwks.New([]issuer.Provider{server.Provider()}, jwks.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	v, err := verifier.New([]verifier.Policy{server.Policy()}, keys, verifier.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	token, err := v.Verify(ctx, server.Issue("us-west-2", issuertest.Claims{}))
	fmt.Println(token.Provider(), token.Region(), token.HasScope("orders/read"), err)

	_, err = v.Verify(ctx, server.Issue("us-west-2", issuertest.Claims{Set: map[string]any{"aud": "somebody else"}}))
	var refused *verifier.Error
	if errors.As(err, &refused) {
		fmt.Println(refused.Reason, errors.Is(err, verifier.ErrInvalid))
	}
	// Output:
	// shop us-west-2 true <nil>
	// bad_audience true
}
