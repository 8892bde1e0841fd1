package issuer_test

import (
	"fmt"

	"github.com/regionjwt/regionjwt/issuer"
)

func ExampleCognito() {
	pool, err := issuer.Cognito(issuer.UserPool{
		ID: "us-east-1_AbCdEf123", Replicas: []string{"us-west-2"}, Issuer: issuer.Original,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range pool.Regions {
		fmt.Println(r.Name)
		for _, iss := range r.Issuers {
			fmt.Println("  may mint", iss)
		}
	}
	// Output:
	// us-east-1
	//   may mint https://cognito-idp.us-east-1.amazonaws.com/us-east-1_AbCdEf123
	// us-west-2
	//   may mint https://cognito-idp.us-west-2.amazonaws.com/us-east-1_AbCdEf123
	//   may mint https://cognito-idp.us-east-1.amazonaws.com/us-east-1_AbCdEf123
}
