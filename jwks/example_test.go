package jwks_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
)

func ExampleCache() {
	world := issuertest.New(nil, issuertest.Config{Layout: issuertest.IssuerPerRegion, Algorithm: "ES256"})
	defer world.Close()
	cache, err := jwks.New(jwks.Config{Authorities: []issuer.Authority{world.Authority()}, Client: world.Client()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = cache.Close() }()

	world.Break("us-east-1")
	for _, r := range world.Authority().Regions {
		keys, err := cache.Keys(context.Background(), r.Issuers[0], world.KeyID(r.Name))
		fmt.Println(r.Name, len(keys), "keys, cannot tell:", errors.Is(err, jwks.ErrUnavailable))
	}
	for _, s := range cache.Status() {
		fmt.Println(s.Region, s.Freshness)
	}
	// Output:
	// us-east-1 0 keys, cannot tell: true
	// us-west-2 1 keys, cannot tell: false
	// us-east-1 empty
	// us-west-2 fresh
}
