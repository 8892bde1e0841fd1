package speed_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// joseClaims is one struct, so that the payload is read once.
type joseClaims struct {
	jwt.Claims
	accessClaims
}

// openGoJose has fixed keys: go-jose does not fetch any.
func openGoJose(tb testing.TB, s *site) verify {
	tb.Helper()
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal(s.document(tb), &keys); err != nil {
		tb.Fatal(err)
	}
	algorithms := []jose.SignatureAlgorithm{jose.SignatureAlgorithm(s.alg)}
	return func(_ context.Context, token string) error {
		parsed, err := jwt.ParseSigned(token, algorithms)
		if err != nil {
			return err
		}
		var c joseClaims
		if err := parsed.Claims(&keys, &c); err != nil {
			return err
		}
		if c.Expiry == nil { // ValidateWithLeeway does not demand one
			return errExpiry
		}
		if err := c.ValidateWithLeeway(jwt.Expected{Issuer: s.iss}, jwt.DefaultLeeway); err != nil {
			return err
		}
		return c.check()
	}
}
