package httpauth_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/verifier"
)

func ExampleRequire() {
	server := issuertest.New(nil, issuer.Cognito("us-east-1_AbCdEf123", "us-west-2"), issuertest.Config{Algorithm: "ES256"})
	defer server.Close()
	v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{server.Policy()}})
	if err != nil {
		fmt.Println(err)
		return
	}
	orders := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintln(w, "orders for", verifier.FromContext(r.Context()).ClientID())
	})
	handler := httpauth.Require(v, middleware.Scopes("orders/read"))(orders)

	for _, token := range []string{
		server.Issue("us-west-2", issuertest.Claims{}),
		server.Issue("us-west-2", issuertest.Claims{Scope: "openid"}),
		server.Issue("us-west-2", issuertest.Claims{Forged: true}),
	} {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/orders", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Print(w.Code, " ", w.Header().Get("WWW-Authenticate"), " ", w.Body)
	}
	// Output:
	// 200  orders for test-client
	// 403 Bearer error="insufficient_scope", scope="orders/read" {"error":"insufficient_scope"}
	// 401 Bearer error="invalid_token", scope="orders/read" {"error":"invalid_token"}
}
