package main

import (
	"context"
	"slices"

	"github.com/zitadel/oidc/v3/pkg/client/rp"
	httphelper "github.com/zitadel/oidc/v3/pkg/http"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

type zitadelSubject struct{ verifier *op.AccessTokenVerifier }

func zitadelLibrary() library {
	return library{
		name: "zitadel/oidc", modules: []string{"github.com/zitadel/oidc/v3"}, open: openZitadel,
		lazy: true, refetches: true,
	}
}

func openZitadel(_ context.Context, s setup) (subject, error) {
	e := s.issuers[0]
	keys := rp.NewRemoteKeySet(httphelper.DefaultHTTPClient, e.jwks)
	return zitadelSubject{op.NewAccessTokenVerifier(e.iss, keys, op.WithSupportedAccessTokenSigningAlgorithms("RS256"))}, nil
}

// Verify checks the audience as an application has to: VerifyAccessToken does not.
func (s zitadelSubject) Verify(ctx context.Context, token string) error {
	claims, err := op.VerifyAccessToken[*oidc.AccessTokenClaims](ctx, token, s.verifier)
	if err != nil {
		return err
	}
	if !slices.Contains(claims.Audience, audience) {
		return errAudience
	}
	return nil
}

func (zitadelSubject) Close() {}
