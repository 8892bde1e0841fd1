package main

import (
	"context"

	"github.com/coreos/go-oidc/v3/oidc"
)

type goOIDCSubject struct{ verifier *oidc.IDTokenVerifier }

func goOIDCLibrary() library {
	return library{
		name: "go-oidc", modules: []string{"github.com/coreos/go-oidc/v3"}, open: openGoOIDC,
		lazy: true, refetches: true,
	}
}

func openGoOIDC(_ context.Context, s setup) (subject, error) {
	e := s.issuers[0]
	keys := oidc.NewRemoteKeySet(context.Background(), e.jwks)
	return goOIDCSubject{oidc.NewVerifier(e.iss, keys, &oidc.Config{
		ClientID: audience, SupportedSigningAlgs: []string{oidc.RS256},
	})}, nil
}

func (s goOIDCSubject) Verify(ctx context.Context, token string) error {
	_, err := s.verifier.Verify(ctx, token)
	return err
}

func (goOIDCSubject) Close() {}
