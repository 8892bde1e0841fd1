package main

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

func regionjwtLibrary() library {
	return library{
		name: "regionjwt", modules: []string{"github.com/regionjwt/regionjwt"}, open: openRegionjwt,
		several: true, refetches: true, lazy: true,
		outage: func(err error) bool { return errors.Is(err, verifier.ErrUnavailable) },
	}
}

// openRegionjwt makes one provider with a region for each issuer.
func openRegionjwt(_ context.Context, s setup) (subject, error) {
	a := issuer.Provider{ID: "bench"}
	for i, e := range s.issuers {
		a.Regions = append(a.Regions, issuer.Region{
			Name: fmt.Sprintf("region-%d", i+1), Issuers: []string{e.iss}, JWKSURLs: []string{e.jwks},
		})
	}
	v, err := regionjwt.New(regionjwt.Config{
		Policies: []verifier.Policy{{
			Provider: a, Audience: verifier.Audience(audience), Algorithms: []string{"RS256"},
		}},
		Keys: jwks.Config{RefreshInterval: s.refresh},
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
