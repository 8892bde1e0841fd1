package speed_test

import (
	"context"
	"testing"

	"github.com/stacklok/toolhive-core/authn"
)

// openToolhive checks the claims in the map that the library returns.
func openToolhive(tb testing.TB, s *site) verify {
	tb.Helper()
	v, err := authn.NewValidator(context.Background(), authn.Config{
		Issuer: s.iss, JWKSURL: s.jwks, AllowAnyAudience: true, InsecureAllowHTTP: true, AllowPrivateIP: true,
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(v.Close)
	return func(ctx context.Context, token string) error {
		p, err := v.Validate(ctx, token)
		if err != nil {
			return err
		}
		return checkAccess(p.Claims["token_use"], p.Claims["client_id"])
	}
}
