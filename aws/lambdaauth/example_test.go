package lambdaauth_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/aws/lambdaauth"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/verifier"
)

func ExampleAuthorizer() {
	idp := issuertest.New(nil, issuer.Cognito("us-east-1_AbCdEf123", "us-west-2"), issuertest.Config{Algorithm: "ES256"})
	defer idp.Close()
	idp.Break("us-east-1") // one region is unavailable
	v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{idp.Policy()}})
	if err != nil {
		fmt.Println(err)
		return
	}
	authorizer, err := lambdaauth.New(v, lambdaauth.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	event := func(token string) []byte { // of an HTTP API, payload format 2.0
		return fmt.Appendf(nil, `{"version": "2.0", "type": "REQUEST", "identitySource": ["Bearer %[1]s"],
			"routeArn": "arn:aws:execute-api:us-west-2:123456789012:a1b2c3d4e5/prod/GET/orders",
			"headers": {"authorization": "Bearer %[1]s"}}`, token)
	}
	answer := func(token string) { // a function passes authorizer to lambda.Start
		out, err := authorizer.Invoke(context.Background(), event(token))
		fmt.Println(strings.Contains(string(out), `"isAuthorized":true`), err)
	}
	answer(idp.Issue("us-west-2", issuertest.Claims{Subject: "alice"}))
	answer("not a token")
	// Output:
	// true <nil>
	// false <nil>
}
