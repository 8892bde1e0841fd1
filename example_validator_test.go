package regionjwt_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/verifier"
)

// Both regions are down. Tokens still verify with the cached keys, and a forged one is rejected.
func ExampleValidator() {
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
	server.Break("us-east-1")
	server.Break("us-west-2")
	for _, raw := range []string{
		server.Issue("us-east-1", issuertest.Claims{Subject: "ann"}),
		server.Issue("us-west-2", issuertest.Claims{Subject: "bob"}),
		server.Issue("us-west-2", issuertest.Claims{Subject: "eve", Forged: true}),
	} {
		token, err := v.Verify(context.Background(), raw)
		var rejected *verifier.Error
		if errors.As(err, &rejected) {
			fmt.Println("rejected:", rejected.Reason)
			continue
		}
		fmt.Println("accepted:", token.Subject())
	}
	// Output:
	// accepted: ann
	// accepted: bob
	// rejected: bad_signature
}

// Tenants come while the service runs. Update replaces the policies and keeps the keys of the providers that stay.
func ExampleValidator_Update() {
	first := issuertest.New(nil, tenant("first"), issuertest.Config{Algorithm: "ES256"})
	defer first.Close()
	second := issuertest.New(nil, tenant("second"), issuertest.Config{Algorithm: "ES256"})
	defer second.Close()
	v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{first.Policy()}})
	if err != nil {
		fmt.Println(err)
		return
	}
	token := second.Issue("default", issuertest.Claims{})
	_, err = v.Verify(context.Background(), token)
	fmt.Println(errors.Is(err, verifier.ErrInvalid))

	if err := v.Update([]verifier.Policy{first.Policy(), second.Policy()}); err != nil {
		fmt.Println(err)
		return
	}
	_, err = v.Verify(context.Background(), token)
	fmt.Println(err)
	// Output:
	// true
	// <nil>
}

func tenant(name string) issuer.Provider { return issuer.OIDC("https://" + name + ".idp.example") }

// An Observer sees each decision, with the reason of each rejection. It must not block.
func ExampleValidator_Observe() {
	server := issuertest.New(nil, issuer.OIDC("https://idp.example"), issuertest.Config{Algorithm: "ES256"})
	defer server.Close()
	v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{server.Policy()}})
	if err != nil {
		fmt.Println(err)
		return
	}
	stop := v.Observe(regionjwt.Observer{Decision: func(_ context.Context, d verifier.Decision) {
		if d.Err != nil {
			fmt.Println("rejected:", d.Err.Reason)
			return
		}
		fmt.Println("accepted:", d.Token.Subject())
	}})
	defer stop()
	_, _ = v.Verify(context.Background(), server.Issue("default", issuertest.Claims{Subject: "ann"}))
	_, _ = v.Verify(context.Background(), server.Issue("default", issuertest.Claims{Subject: "eve", Forged: true}))
	// Output:
	// accepted: ann
	// rejected: bad_signature
}
