package peers

import (
	"context"
	"time"

	"github.com/hashicorp/cap/jwt"
)

type capSubject struct {
	setup     Setup
	validator *jwt.Validator
}

func capLibrary() Library {
	return Library{
		Name: "cap", Modules: []string{"github.com/hashicorp/cap", "github.com/coreos/go-oidc/v3"}, Open: openCap,
		Several: true, Lazy: true, Refetches: true,
	}
}

func openCap(_ context.Context, s Setup) (Subject, error) {
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
	expected := jwt.Expected{
		Audiences: []string{s.setup.Audience}, SigningAlgorithms: named[jwt.Alg](s.setup.Algorithms),
		ExpirationLeeway: s.leeway(), NotBeforeLeeway: s.leeway(), ClockSkewLeeway: s.leeway(),
	}
	if len(s.setup.Issuers) == 1 {
		expected.Issuer = s.setup.Issuers[0].Iss
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

// leeway is negative where there is none.
func (s capSubject) leeway() time.Duration {
	if s.setup.Leeway == 0 {
		return -1
	}
	return s.setup.Leeway
}

func (capSubject) Close() {}
