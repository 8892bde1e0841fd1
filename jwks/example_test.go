package jwks_test

import (
	"context"
	"fmt"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
)

func ExampleCache() {
	world := issuertest.New(nil, issuertest.Config{Layout: issuertest.IssuerPerRegion, Algorithm: "ES256"})
	defer world.Close()
	provider := world.Provider()
	cache, err := jwks.New([]issuer.Provider{provider}, jwks.Config{HTTPClient: world.Client()})
	if err != nil {
		fmt.Println(err)
		return
	}

	world.Break("us-east-1")
	for _, r := range provider.Regions {
		answer := cache.Lookup(context.Background(), jwks.Query{Issuer: r.Issuers[0], KeyID: world.KeyID(r.Name)})
		fmt.Println(r.Name, len(answer.Keys), "keys, complete:", answer.Complete)
	}
	for _, s := range cache.Status() {
		fmt.Println(s.Region, s.State)
	}
	// Output:
	// us-east-1 0 keys, complete: false
	// us-west-2 1 keys, complete: true
	// us-east-1 empty
	// us-west-2 fresh
}
