package issuer_test

import (
	"fmt"

	"github.com/regionjwt/regionjwt/issuer"
)

func ExampleUserPool() {
	pool := issuer.UserPool{
		ID: "us-east-1_AbCdEf123", Replicas: []string{"us-west-2"}, Mode: issuer.CognitoOriginal,
	}.Provider()
	for _, r := range pool.Regions {
		fmt.Println(r.Name)
		for _, iss := range r.Issuers {
			fmt.Println("  may issue", iss)
		}
	}
	// Output:
	// us-east-1
	//   may issue https://cognito-idp.us-east-1.amazonaws.com/us-east-1_AbCdEf123
	// us-west-2
	//   may issue https://cognito-idp.us-west-2.amazonaws.com/us-east-1_AbCdEf123
	//   may issue https://cognito-idp.us-east-1.amazonaws.com/us-east-1_AbCdEf123
}

func ExampleOIDC() {
	provider := issuer.OIDC("https://tenant.eu.auth0.com/")
	fmt.Println(provider.ID, provider.Regions[0].Name)
	// Output: https://tenant.eu.auth0.com/ default
}
