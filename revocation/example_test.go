package revocation_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/verifier"
)

// A rule revokes the tokens of a user. A token that was accepted before is rejected from the next request on. These rules are of
// one process; with a Replica and Run, they reach a fleet.
func Example() {
	server := issuertest.New(nil, issuer.Cognito("us-east-1_AbCdEf123", "us-west-2"), issuertest.Config{Algorithm: "ES256"})
	defer server.Close()
	v, err := regionjwt.New(regionjwt.Config{Revocation: &revocation.Config{}, Policies: []verifier.Policy{server.Policy()}})
	if err != nil {
		fmt.Println(err)
		return
	}
	rules := v.Revocation()

	ctx := context.Background()
	raw := server.Issue("us-west-2", issuertest.Claims{Subject: "mallory"})
	_, err = v.Verify(ctx, raw)
	fmt.Println(err)

	id, err := rules.Add(ctx, revocation.Rule{Provider: server.Provider().ID, Subject: "mallory", Note: "incident 4711"})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = v.Verify(ctx, raw)
	var rejected *verifier.Error
	fmt.Println(errors.As(err, &rejected) && rejected.Reason == verifier.ReasonRevoked)

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
