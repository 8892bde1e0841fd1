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
	world := issuertest.New(nil, issuertest.Config{Layout: issuertest.IssuerPerRegion, Algorithm: "ES256"})
	defer world.Close()
	keys, err := jwks.New([]issuer.Provider{world.Provider()}, jwks.Config{HTTPClient: world.Client()})
	if err != nil {
		fmt.Println(err)
		return
	}
	v, err := verifier.New(verifier.Config{Keys: keys, Policies: []verifier.Policy{
		{Provider: world.Provider(), Audience: verifier.Audience(issuertest.Audience)},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	token, err := v.Verify(ctx, world.Token("us-west-2", issuertest.Claims{}))
	fmt.Println(token.Provider(), token.Region(), token.HasScope("orders/read"), err)

	_, err = v.Verify(ctx, world.Token("us-west-2", issuertest.Claims{Audience: []string{"somebody else"}}))
	var refused *verifier.Error
	if errors.As(err, &refused) {
		fmt.Println(refused.Reason, errors.Is(err, verifier.ErrInvalid))
	}
	// Output:
	// test-authority us-west-2 true <nil>
	// bad_audience true
}
