package verifier_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// A Check of your own runs for every token that everything else accepts, and its error decides which status clients get.
func ExamplePolicy() {
	server := issuertest.New(nil, issuer.OIDC("https://idp.example"), issuertest.Config{Algorithm: "ES256"})
	defer server.Close()
	policy := server.Policy()
	policy.Check = func(_ context.Context, t *verifier.Token) error {
		switch t.Claim("tenant") {
		case "suspended":
			return fmt.Errorf("the tenant is suspended: %w", verifier.ErrForbidden)
		case nil:
			return errors.New("the claim tenant is missing")
		}
		return nil
	}
	keys, err := jwks.New([]issuer.Provider{server.Provider()}, jwks.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	v, err := verifier.New([]verifier.Policy{policy}, keys, verifier.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, claims := range []map[string]any{{"tenant": "a"}, {"tenant": "suspended"}, nil} {
		_, err := v.Verify(context.Background(), server.Issue("default", issuertest.Claims{Set: claims}))
		switch {
		case errors.Is(err, verifier.ErrInvalid):
			fmt.Println("401:", err)
		case errors.Is(err, verifier.ErrForbidden):
			fmt.Println("403:", err)
		case errors.Is(err, verifier.ErrRateLimited):
			fmt.Println("429:", err)
		case err != nil: // verifier.ErrUnavailable: nothing is known about the token
			fmt.Println("503:", err)
		default:
			fmt.Println("accepted")
		}
	}
	// Output:
	// accepted
	// 403: token rejected: check_failed, provider https://idp.example: the tenant is suspended: token does not grant this
	// 401: token rejected: check_failed, provider https://idp.example: the claim tenant is missing
}
