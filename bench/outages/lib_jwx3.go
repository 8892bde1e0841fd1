package main

import (
	"context"

	"github.com/lestrrat-go/httprc/v3"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jwt"
)

type jwx3Subject struct {
	endpoint endpoint
	cache    *jwk.Cache
	cancel   context.CancelFunc
}

func jwx3Library() library {
	return library{name: "jwx v3", modules: []string{"github.com/lestrrat-go/jwx/v3"}, open: openJWX3}
}

// openJWX3 waits for the first keys, as Register does; the service starts all the same if they do not come.
func openJWX3(wait context.Context, s setup) (subject, error) {
	ctx, cancel := context.WithCancel(context.Background())
	cache, err := jwk.NewCache(ctx, httprc.NewClient())
	if err != nil {
		cancel()
		return nil, err
	}
	var options []jwk.RegisterOption
	if s.refresh > 0 {
		options = append(options, jwk.WithConstantInterval(s.refresh))
	}
	e := s.issuers[0]
	if err := cache.Register(wait, e.jwks, options...); err != nil && !cache.IsRegistered(ctx, e.jwks) {
		cancel()
		return nil, err
	}
	return jwx3Subject{e, cache, cancel}, nil
}

func (s jwx3Subject) Verify(ctx context.Context, token string) error {
	set, err := s.cache.Lookup(ctx, s.endpoint.jwks)
	if err != nil {
		return err
	}
	_, err = jwt.Parse([]byte(token), jwt.WithContext(ctx), jwt.WithKeySet(set), jwt.WithValidate(true),
		jwt.WithIssuer(s.endpoint.iss), jwt.WithAudience(audience), jwt.WithRequiredClaim(jwt.ExpirationKey))
	return err
}

func (s jwx3Subject) Close() { s.cancel() }
