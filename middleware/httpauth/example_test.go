package httpauth_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/verifier"
)

func ExampleMiddleware_Handler() {
	world := issuertest.New(nil, issuertest.Config{Algorithm: "ES256"})
	defer world.Close()
	v, err := regionjwt.New(regionjwt.Config{Keys: jwks.Config{HTTPClient: world.Client()}, Policies: []verifier.Policy{{
		Provider:   world.Provider(),
		Audience:   verifier.CognitoAccess(issuertest.ClientID),
		Algorithms: []string{"ES256"},
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	auth, err := httpauth.New(httpauth.Config{Verifier: v, Realm: "orders"})
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := auth.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := verifier.FromContext(r.Context())
		_, _ = fmt.Fprintln(w, "orders for", token.ClientID())
	}), middleware.Scopes("orders/read"))

	for _, token := range []string{
		world.Token("us-west-2", issuertest.Claims{Machine: true}),
		world.Token("us-west-2", issuertest.Claims{Scope: "openid"}),
		world.Token("us-west-2", issuertest.Claims{Forge: true}),
	} {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/orders", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Print(w.Code, " ", w.Header().Get("WWW-Authenticate"), " ", w.Body)
	}
	// Output:
	// 200  orders for test-client
	// 403 Bearer realm="orders", error="insufficient_scope", scope="orders/read" {"error":"insufficient_scope"}
	// 401 Bearer realm="orders", error="invalid_token" {"error":"invalid_token"}
}
