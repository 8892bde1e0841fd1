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
	pool, err := issuer.Cognito(issuer.UserPool{ID: "us-east-1_AbCdEf123", Replicas: []string{"us-west-2"}})
	if err != nil {
		log.Fatal(err)
	}
	v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{
		{Provider: pool, Audience: verifier.CognitoAccess("7abc0example1client2id")},
	}})
	if err != nil {
		log.Fatal(err)
	}
	go v.Run(ctx)
	auth, err := httpauth.New(httpauth.Config{Verifier: v})
	if err != nil {
		log.Fatal(err)
	}
	mux.Handle("GET /orders", auth.Handler(orders, middleware.Scopes("orders/read"))) // orders is your http.Handler
}
