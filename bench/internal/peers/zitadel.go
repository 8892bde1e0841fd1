package peers

import (
	"context"
	"slices"

	"github.com/zitadel/oidc/v3/pkg/client/rp"
	httphelper "github.com/zitadel/oidc/v3/pkg/http"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

type zitadelSubject struct {
	verifier *op.AccessTokenVerifier
	audience string
}

func zitadelLibrary() Library {
	return Library{
		Name: "zitadel/oidc", Modules: []string{"github.com/zitadel/oidc/v3"}, Open: openZitadel,
		Lazy: true, Refetches: true, NoLeeway: true,
	}
}

func openZitadel(_ context.Context, s Setup) (Subject, error) {
	e := s.Issuers[0]
	keys := rp.NewRemoteKeySet(httphelper.DefaultHTTPClient, e.JWKS)
	v := op.NewAccessTokenVerifier(e.Iss, keys, op.WithSupportedAccessTokenSigningAlgorithms(s.Algorithms...))
	return zitadelSubject{v, s.Audience}, nil
}

// Verify checks the audience as an application has to: VerifyAccessToken does not.
func (s zitadelSubject) Verify(ctx context.Context, token string) error {
	claims, err := op.VerifyAccessToken[*oidc.AccessTokenClaims](ctx, token, s.verifier)
	if err != nil {
		return err
	}
	if !slices.Contains(claims.Audience, s.audience) {
		return errAudience
	}
	return nil
}

func (zitadelSubject) Close() {}
