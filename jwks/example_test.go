package jwks_test

import (
	"context"
	"fmt"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
)

func ExampleCache() {
	provider := issuer.Provider{ID: "shop", Regions: []issuer.Region{
		{Name: "us-east-1", Issuers: []string{"https://us-east-1.idp.example"}},
		{Name: "us-west-2", Issuers: []string{"https://us-west-2.idp.example"}},
	}}
	server := issuertest.New(nil, provider, issuertest.Config{Algorithm: "ES256"})
	defer server.Close()
	cache, err := jwks.New([]issuer.Provider{server.Provider()}, jwks.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}

	server.Break("us-east-1")
	fmt.Println("all keys:", cache.Preload(context.Background()) == nil)
	for _, s := range cache.Status() {
		fmt.Println(s.Region, s.State, len(s.KeyIDs))
	}
	// Output:
	// all keys: false
	// us-east-1 empty 0
	// us-west-2 fresh 1
}
