package peers

import (
	"context"
	"errors"
	"fmt"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

type regionjwtSubject struct {
	validator *regionjwt.Validator
	cancel    context.CancelFunc
}

func regionjwtLibrary() Library {
	return Library{
		Name: "regionjwt", Modules: []string{"github.com/regionjwt/regionjwt"}, Open: openRegionjwt,
		Several: true, Refetches: true, Lazy: true,
		Outage: func(err error) bool { return errors.Is(err, verifier.ErrUnavailable) },
	}
}

// openRegionjwt makes one provider with a region for each issuer.
func openRegionjwt(_ context.Context, s Setup) (Subject, error) {
	leeway := s.Leeway
	if leeway == 0 {
		leeway = -1 // 0 is the default
	}
	a := issuer.Provider{ID: "bench"}
	for i, e := range s.Issuers {
		a.Regions = append(a.Regions, issuer.Region{
			Name: fmt.Sprintf("region-%d", i+1), Issuers: []string{e.Iss}, JWKSURLs: []string{e.JWKS},
		})
	}
	v, err := regionjwt.New(regionjwt.Config{
		Policies: []verifier.Policy{{
			Provider: a, Audience: verifier.Audience(s.Audience), Algorithms: s.Algorithms,
		}},
		Keys:   jwks.Config{RefreshInterval: s.Refresh},
		Tokens: verifier.Config{Leeway: leeway},
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { _ = v.Run(ctx) }()
	return regionjwtSubject{v, cancel}, nil
}

func (s regionjwtSubject) Verify(ctx context.Context, token string) error {
	_, err := s.validator.Verify(ctx, token)
	return err
}

func (s regionjwtSubject) Close() {
	s.cancel()
}
