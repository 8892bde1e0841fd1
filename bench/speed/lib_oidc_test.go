package speed_test

import (
	"context"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/hashicorp/cap/jwt"
	"github.com/zitadel/oidc/v3/pkg/client/rp"
	httphelper "github.com/zitadel/oidc/v3/pkg/http"
	zitadel "github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// openGoOIDC skips the check of the audience, since there is none, and reads the other claims as the documentation does.
func openGoOIDC(tb testing.TB, s *site) verify {
	tb.Helper()
	keys := oidc.NewRemoteKeySet(context.Background(), s.jwks)
	v := oidc.NewVerifier(s.iss, keys, &oidc.Config{SkipClientIDCheck: true, SupportedSigningAlgs: []string{s.alg}})
	return func(ctx context.Context, token string) error {
		t, err := v.Verify(ctx, token)
		if err != nil {
			return err
		}
		var c accessClaims
		if err := t.Claims(&c); err != nil {
			return err
		}
		return c.check()
	}
}

func openZitadel(tb testing.TB, s *site) verify {
	tb.Helper()
	keys := rp.NewRemoteKeySet(httphelper.DefaultHTTPClient, s.jwks)
	v := op.NewAccessTokenVerifier(s.iss, keys, op.WithSupportedAccessTokenSigningAlgorithms(s.alg))
	return func(ctx context.Context, token string) error {
		c, err := op.VerifyAccessToken[*zitadel.AccessTokenClaims](ctx, token, v)
		if err != nil {
			return err
		}
		return checkAccess(c.Claims["token_use"], c.ClientID)
	}
}

// openCap demands an exp, in whose place the library takes iat and a default lifetime.
func openCap(tb testing.TB, s *site) verify {
	tb.Helper()
	keys, err := jwt.NewJSONWebKeySet(context.Background(), s.jwks, "")
	if err != nil {
		tb.Fatal(err)
	}
	v, err := jwt.NewValidator(keys)
	if err != nil {
		tb.Fatal(err)
	}
	expected := jwt.Expected{Issuer: s.iss, SigningAlgorithms: []jwt.Alg{jwt.Alg(s.alg)}}
	return func(ctx context.Context, token string) error {
		c, err := v.Validate(ctx, token, expected)
		if err != nil {
			return err
		}
		if c["exp"] == nil {
			return errExpiry
		}
		return checkAccess(c["token_use"], c["client_id"])
	}
}
