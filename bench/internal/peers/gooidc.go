package peers

import (
	"context"

	"github.com/coreos/go-oidc/v3/oidc"
)

type goOIDCSubject struct{ verifier *oidc.IDTokenVerifier }

func goOIDCLibrary() Library {
	return Library{
		Name: "go-oidc", Modules: []string{"github.com/coreos/go-oidc/v3"}, Open: openGoOIDC,
		Lazy: true, Refetches: true, NoLeeway: true,
	}
}

func openGoOIDC(_ context.Context, s Setup) (Subject, error) {
	e := s.Issuers[0]
	keys := oidc.NewRemoteKeySet(context.Background(), e.JWKS)
	return goOIDCSubject{oidc.NewVerifier(e.Iss, keys, &oidc.Config{
		ClientID: s.Audience, SupportedSigningAlgs: s.Algorithms,
	})}, nil
}

func (s goOIDCSubject) Verify(ctx context.Context, token string) error {
	_, err := s.verifier.Verify(ctx, token)
	return err
}

func (goOIDCSubject) Close() {}
