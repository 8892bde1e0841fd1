package peers

import (
	"context"
	"errors"

	"github.com/stacklok/toolhive-core/authn"
)

type toolhiveSubject struct{ validator *authn.Validator }

func toolhiveLibrary() Library {
	return Library{
		Name: "toolhive-core", Modules: []string{"github.com/stacklok/toolhive-core", "github.com/lestrrat-go/jwx/v4"},
		Note: "its refresh interval cannot be set, see README.md",
		Open: openToolhive, Refetches: true, AnyAlg: true,
		Outage: func(err error) bool {
			e, ok := errors.AsType[*authn.Error](err)
			return ok && e.Code == authn.CodeUnavailable
		},
	}
}

// openToolhive cannot set the interval of refreshes, which is 15 minutes, nor the algorithms, which are all with RSA and ECDSA.
func openToolhive(_ context.Context, s Setup) (Subject, error) {
	e := s.Issuers[0]
	v, err := authn.NewValidator(context.Background(), authn.Config{
		Issuer: e.Iss, JWKSURL: e.JWKS, Audiences: []string{s.Audience}, Leeway: s.Leeway, DisableLeeway: s.Leeway == 0,
		InsecureAllowHTTP: true, AllowPrivateIP: true,
	})
	if err != nil {
		return nil, err
	}
	return toolhiveSubject{v}, nil
}

func (s toolhiveSubject) Verify(ctx context.Context, token string) error {
	_, err := s.validator.Validate(ctx, token)
	return err
}

func (s toolhiveSubject) Close() { s.validator.Close() }
