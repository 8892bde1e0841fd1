package albauth_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/regionjwt/regionjwt/aws/albauth"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/verifier"
)

func ExampleNew() {
	v, err := albauth.New(albauth.Config{
		Provider: issuer.Cognito("us-east-1_AbCdEf123", "us-west-2"),
		LoadBalancers: []albauth.LoadBalancer{
			{ARN: "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/shop/50dc6c495c0c9188"},
			{ARN: "arn:aws:elasticloadbalancing:us-west-2:123456789012:loadbalancer/app/shop/73e2d6bc24d8a067"},
		},
		Clients: []string{"7abc0example1client2id"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := httpauth.New(v, httpauth.Config{Extractors: []func(*http.Request) (string, error){albauth.FromHeader}})
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := m.Require()(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintln(w, "hello", verifier.FromContext(r.Context()).Subject())
	}))
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil)) // not from the load balancer
	fmt.Println(w.Code)
	// Output: 401
}
