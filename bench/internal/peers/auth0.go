package peers

import (
	"context"
	"net/url"

	"github.com/auth0/go-jwt-middleware/v3/jwks"
	"github.com/auth0/go-jwt-middleware/v3/validator"
)

type auth0Subject struct{ validator *validator.Validator }

func auth0Library() Library {
	return Library{
		Name: "auth0 v3", Modules: []string{"github.com/auth0/go-jwt-middleware/v3", "github.com/lestrrat-go/jwx/v3"},
		Note: "by itself it asks for an older jwx v3, see README.md",
		Open: openAuth0, Several: true, Lazy: true, Discovers: true,
	}
}

func openAuth0(_ context.Context, s Setup) (Subject, error) {
	options := []validator.Option{
		validator.WithAlgorithms(named[validator.SignatureAlgorithm](s.Algorithms)), validator.WithAudience(s.Audience),
		validator.WithAllowedClockSkew(s.Leeway),
	}
	var err error
	if len(s.Issuers) == 1 {
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

func auth0One(options []validator.Option, s Setup) ([]validator.Option, error) {
	e := s.Issuers[0]
	iss, err := url.Parse(e.Iss)
	if err != nil {
		return nil, err
	}
	uri, err := url.Parse(e.JWKS)
	if err != nil {
		return nil, err
	}
	caching := []any{jwks.WithIssuerURL(iss), jwks.WithCustomJWKSURI(uri)}
	if s.Refresh > 0 {
		caching = append(caching, jwks.WithCacheTTL(s.Refresh))
	}
	p, err := jwks.NewCachingProvider(caching...)
	if err != nil {
		return nil, err
	}
	return append(options, validator.WithKeyFunc(p.KeyFunc), validator.WithIssuer(e.Iss)), nil
}

func auth0Several(options []validator.Option, s Setup) ([]validator.Option, error) {
	p, err := jwks.NewMultiIssuerProvider()
	if err != nil {
		return nil, err
	}
	var issuers []string
	for _, e := range s.Issuers {
		issuers = append(issuers, e.Iss)
	}
	return append(options, validator.WithKeyFunc(p.KeyFunc), validator.WithIssuers(issuers)), nil
}

func (s auth0Subject) Verify(ctx context.Context, token string) error {
	_, err := s.validator.ValidateToken(ctx, token)
	return err
}

func (auth0Subject) Close() {}
