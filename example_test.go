package regionjwt_test

import (
	"context"
	"log"
	"net/http"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/verifier"
)

var (
	ctx    = context.Background()
	mux    = http.NewServeMux()
	orders = http.NotFoundHandler()
)

func Example() {
	v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{{
		Provider: issuer.Cognito("us-east-1_AbCdEf123", "us-west-2"),
		Audience: verifier.CognitoAccess("7abc0example1client2id"),
	}}})
	if err != nil {
		log.Fatal(err)
	}
	go v.Run(ctx)
	mux.Handle("GET /orders", httpauth.Require(v, middleware.Scopes("orders/read"))(orders)) // orders is your http.Handler
}
