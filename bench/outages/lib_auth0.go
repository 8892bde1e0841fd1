package main

import (
	"context"
	"net/url"

	"github.com/auth0/go-jwt-middleware/v3/jwks"
	"github.com/auth0/go-jwt-middleware/v3/validator"
)

type auth0Subject struct{ validator *validator.Validator }

func auth0Library() library {
	return library{
		name: "auth0 v3", modules: []string{"github.com/auth0/go-jwt-middleware/v3", "github.com/lestrrat-go/jwx/v3"},
		note: "by itself it asks for an older jwx v3, see README.md",
		open: openAuth0, several: true, lazy: true,
	}
}

func openAuth0(_ context.Context, s setup) (subject, error) {
	options := []validator.Option{validator.WithAlgorithm(validator.RS256), validator.WithAudience(audience)}
	var err error
	if len(s.issuers) == 1 {
		options, err = auth0One(options, s)
	} else {
		options, err = auth0Several(options, s)
	}
	if err != nil {
		return nil, err
	}
	v, err := validator.New(options...)
	if err != nil {
		return nil, err
	}
	return auth0Subject{v}, nil
}

func auth0One(options []validator.Option, s setup) ([]validator.Option, error) {
	e := s.issuers[0]
	iss, err := url.Parse(e.iss)
	if err != nil {
		return nil, err
	}
	uri, err := url.Parse(e.jwks)
	if err != nil {
		return nil, err
	}
	caching := []any{jwks.WithIssuerURL(iss), jwks.WithCustomJWKSURI(uri)}
	if s.refresh > 0 {
		caching = append(caching, jwks.WithCacheTTL(s.refresh))
	}
	p, err := jwks.NewCachingProvider(caching...)
	if err != nil {
		return nil, err
	}
	return append(options, validator.WithKeyFunc(p.KeyFunc), validator.WithIssuer(e.iss)), nil
}

func auth0Several(options []validator.Option, s setup) ([]validator.Option, error) {
	p, err := jwks.NewMultiIssuerProvider()
	if err != nil {
		return nil, err
	}
	var issuers []string
	for _, e := range s.issuers {
		issuers = append(issuers, e.iss)
	}
	return append(options, validator.WithKeyFunc(p.KeyFunc), validator.WithIssuers(issuers)), nil
}

func (s auth0Subject) Verify(ctx context.Context, token string) error {
	_, err := s.validator.ValidateToken(ctx, token)
	return err
}

func (auth0Subject) Close() {}
