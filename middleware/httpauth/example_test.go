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
	if err := v.Preload(context.Background()); err != nil { // so that the keys of every region are known
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

// New takes what Require has no parameter for: here a token in a cookie, a log of rejections, and answers of your own.
func ExampleNew() {
	server := issuertest.New(nil, issuer.Cognito("us-east-1_AbCdEf123", "us-west-2"), issuertest.Config{Algorithm: "ES256"})
	defer server.Close()
	v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{server.Policy()}})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := v.Preload(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	m, err := httpauth.New(v, httpauth.Config{
		Extractors: []func(*http.Request) (string, error){httpauth.FromAuthorization, httpauth.FromCookie("session")},
		OnDecision: func(_ *http.Request, _ *verifier.Token, err error) {
			if err != nil {
				fmt.Println("log:", err)
			}
		},
		WriteError: func(w http.ResponseWriter, _ *http.Request, status int, _ error) { // its headers are set already
			w.WriteHeader(status)
			_, _ = fmt.Fprintln(w, "please sign in again")
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := m.Require(middleware.AnyGroup("admins"))(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, "welcome")
	}))
	for _, claims := range []issuertest.Claims{{Groups: []string{"admins"}}, {Groups: []string{"admins"}, Forged: true}} {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/", nil)
		r.AddCookie(&http.Cookie{Name: "session", Value: server.Issue("us-east-1", claims)})
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Print(w.Code, " ", w.Body)
	}
	// Output:
	// 200 welcome
	// log: token rejected: bad_signature, provider us-east-1_AbCdEf123
	// 401 please sign in again
}
