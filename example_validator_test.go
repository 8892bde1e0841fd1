package regionjwt_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// Both regions go dark. Tokens verify on with the keys that are at hand, and a forged one is still refused.
func ExampleValidator() {
	world := issuertest.New(nil, issuertest.Config{Algorithm: "ES256"})
	defer world.Close()
	v, err := regionjwt.New(regionjwt.Config{Keys: jwks.Config{HTTPClient: world.Client()}, Policies: []verifier.Policy{{
		Provider: world.Provider(), Audience: verifier.CognitoAccess(issuertest.ClientID), Algorithms: []string{"ES256"},
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := v.Keys().Preload(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	world.Break("us-east-1")
	world.Break("us-west-2")
	for _, raw := range []string{
		world.Token("us-east-1", issuertest.Claims{Subject: "ann"}),
		world.Token("us-west-2", issuertest.Claims{Subject: "bob"}),
		world.Token("us-west-2", issuertest.Claims{Subject: "eve", Forge: true}),
	} {
		token, err := v.Verify(context.Background(), raw)
		var refused *verifier.Error
		if errors.As(err, &refused) {
			fmt.Println("refused:", refused.Reason)
			continue
		}
		fmt.Println("accepted:", token.Subject())
	}
	// Output:
	// accepted: ann
	// accepted: bob
	// refused: bad_signature
}
