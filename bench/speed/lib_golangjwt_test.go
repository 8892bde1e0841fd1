package speed_test

import (
	"context"
	"testing"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

// golangClaims is how the documentation of golang-jwt has custom claims.
type golangClaims struct {
	jwt.RegisteredClaims
	accessClaims
}

func newKeyfunc(tb testing.TB, s *site) (*jwt.Parser, keyfunc.Keyfunc) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	tb.Cleanup(cancel)
	keys, err := keyfunc.NewDefaultCtx(ctx, []string{s.jwks})
	if err != nil {
		tb.Fatal(err)
	}
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{s.alg}), jwt.WithIssuer(s.iss), jwt.WithExpirationRequired(),
		jwt.WithLeeway(30*time.Second), jwt.WithIssuedAt())
	return parser, keys
}

func openGolangJWT(tb testing.TB, s *site) verify {
	tb.Helper()
	parser, keys := newKeyfunc(tb, s)
	return func(ctx context.Context, token string) error {
		var c golangClaims
		if _, err := parser.ParseWithClaims(token, &c, keys.KeyfuncCtx(ctx)); err != nil {
			return err
		}
		return c.check()
	}
}

func openGolangJWTMap(tb testing.TB, s *site) verify {
	tb.Helper()
	parser, keys := newKeyfunc(tb, s)
	return func(ctx context.Context, token string) error {
		c := jwt.MapClaims{}
		if _, err := parser.ParseWithClaims(token, c, keys.KeyfuncCtx(ctx)); err != nil {
			return err
		}
		return checkAccess(c["token_use"], c["client_id"])
	}
}
