package regionjwt_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/verifier"
)

// Both regions are down. Tokens still verify with the cached keys, and a forged one is rejected.
func ExampleValidator() {
	server := issuertest.New(nil, issuer.Cognito("us-east-1_AbCdEf123", "us-west-2"), issuertest.Config{Algorithm: "ES256"})
	defer server.Close()
	v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{server.Policy()}})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := v.Preload(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	server.Break("us-east-1")
	server.Break("us-west-2")
	for _, raw := range []string{
		server.Issue("us-east-1", issuertest.Claims{Subject: "ann"}),
		server.Issue("us-west-2", issuertest.Claims{Subject: "bob"}),
		server.Issue("us-west-2", issuertest.Claims{Subject: "eve", Forged: true}),
	} {
		token, err := v.Verify(context.Background(), raw)
		var rejected *verifier.Error
		if errors.As(err, &rejected) {
			fmt.Println("rejected:", rejected.Reason)
			continue
		}
		fmt.Println("accepted:", token.Subject())
	}
	// Output:
	// accepted: ann
	// accepted: bob
	// rejected: bad_signature
}
