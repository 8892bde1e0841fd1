package speed_test

import (
	"context"
	"net/url"
	"testing"

	"github.com/auth0/go-jwt-middleware/v3/jwks"
	"github.com/auth0/go-jwt-middleware/v3/validator"
)

// Validate lets accessClaims be custom claims of auth0.
func (c *accessClaims) Validate(context.Context) error { return c.check() }

// newAuth0 demands an audience, as the library does, and an exp, as it does not.
func newAuth0(tb testing.TB, s *site) *validator.Validator {
	tb.Helper()
	iss, err := url.Parse(s.iss)
	if err != nil {
		tb.Fatal(err)
	}
	uri, err := url.Parse(s.jwks)
	if err != nil {
		tb.Fatal(err)
	}
	p, err := jwks.NewCachingProvider(jwks.WithIssuerURL(iss), jwks.WithCustomJWKSURI(uri))
	if err != nil {
		tb.Fatal(err)
	}
	v, err := validator.New(
		validator.WithKeyFunc(p.KeyFunc), validator.WithIssuer(s.iss), validator.WithAudience(audience),
		validator.WithAlgorithm(validator.SignatureAlgorithm(s.alg)),
		validator.WithRegisteredClaimsValidator(func(c validator.RegisteredClaims) error {
			if c.Expiry == 0 {
				return errExpiry
			}
			return nil
		}),
		validator.WithCustomClaims(func() *accessClaims { return &accessClaims{} }))
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

func openAuth0(tb testing.TB, s *site) verify {
	tb.Helper()
	v := newAuth0(tb, s)
	return func(ctx context.Context, token string) error {
		_, err := v.ValidateToken(ctx, token)
		return err
	}
}
