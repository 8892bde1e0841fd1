package revocation_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/verifier"
)

// A user's tokens are revoked, and one that was accepted before is refused from the next request on. This List is of one
// process alone; with a Store, and its Run, it reaches a fleet.
func Example() {
	world := issuertest.New(nil, issuertest.Config{Algorithm: "ES256"})
	defer world.Close()
	rules, err := revocation.New(revocation.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	v, err := regionjwt.New(regionjwt.Config{Keys: jwks.Config{HTTPClient: world.Client()}, Revocation: rules, Policies: []verifier.Policy{{
		Provider: world.Provider(), Audience: verifier.CognitoAccess(issuertest.ClientID), Algorithms: []string{"ES256"},
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}

	ctx := context.Background()
	raw := world.Token("us-west-2", issuertest.Claims{Subject: "mallory"})
	_, err = v.Verify(ctx, raw)
	fmt.Println(err)

	id, err := rules.Add(ctx, revocation.Rule{Provider: world.Provider().ID, Subject: "mallory", Reason: "incident 4711"})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = v.Verify(ctx, raw)
	var refused *verifier.Error
	fmt.Println(errors.As(err, &refused) && refused.Reason == verifier.ReasonRevoked)

	if err := rules.Remove(ctx, id); err != nil {
		fmt.Println(err)
		return
	}
	_, err = v.Verify(ctx, raw)
	fmt.Println(err)
	// Output:
	// <nil>
	// true
	// <nil>
}
