package main

import (
	"context"

	"github.com/hashicorp/cap/jwt"
)

type capSubject struct {
	setup     setup
	validator *jwt.Validator
}

func capLibrary() library {
	return library{
		name: "cap", modules: []string{"github.com/hashicorp/cap", "github.com/coreos/go-oidc/v3"}, open: openCap,
		several: true, lazy: true, refetches: true,
	}
}

func openCap(_ context.Context, s setup) (subject, error) {
	var sets []jwt.KeySet
	for _, u := range s.urls() {
		set, err := jwt.NewJSONWebKeySet(context.Background(), u, "")
		if err != nil {
			return nil, err
		}
		sets = append(sets, set)
	}
	v, err := jwt.NewValidator(sets...)
	if err != nil {
		return nil, err
	}
	return capSubject{s, v}, nil
}

func (s capSubject) Verify(ctx context.Context, token string) error {
	expected := jwt.Expected{Audiences: []string{audience}, SigningAlgorithms: []jwt.Alg{jwt.RS256}}
	if len(s.setup.issuers) == 1 {
		expected.Issuer = s.setup.issuers[0].iss
	}
	claims, err := s.validator.Validate(ctx, token, expected)
	if err != nil {
		return err
	}
	if iss, ok := claims["iss"].(string); !ok || !s.setup.lists(iss) {
		return errIssuer
	}
	return nil
}

func (capSubject) Close() {}
