package main

import (
	"context"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jwt"
)

type jwx2Subject struct {
	endpoint endpoint
	cache    *jwk.Cache
	cancel   context.CancelFunc
}

func jwx2Library() library {
	return library{name: "jwx v2", modules: []string{"github.com/lestrrat-go/jwx/v2"}, open: openJWX2}
}

// openJWX2 fetches the keys once; the service starts all the same if that fails.
func openJWX2(wait context.Context, s setup) (subject, error) {
	ctx, cancel := context.WithCancel(context.Background())
	var cacheOptions []jwk.CacheOption
	option := jwk.WithMinRefreshInterval(15 * time.Minute)
	if s.refresh > 0 {
		cacheOptions = append(cacheOptions, jwk.WithRefreshWindow(s.refresh))
		option = jwk.WithRefreshInterval(s.refresh)
	}
	cache := jwk.NewCache(ctx, cacheOptions...)
	e := s.issuers[0]
	if err := cache.Register(e.jwks, option); err != nil {
		cancel()
		return nil, err
	}
	_, _ = cache.Refresh(wait, e.jwks)
	return jwx2Subject{e, cache, cancel}, nil
}

func (s jwx2Subject) Verify(ctx context.Context, token string) error {
	set, err := s.cache.Get(ctx, s.endpoint.jwks)
	if err != nil {
		return err
	}
	_, err = jwt.Parse([]byte(token), jwt.WithContext(ctx), jwt.WithKeySet(set), jwt.WithValidate(true),
		jwt.WithIssuer(s.endpoint.iss), jwt.WithAudience(audience), jwt.WithRequiredClaim(jwt.ExpirationKey))
	return err
}

func (s jwx2Subject) Close() { s.cancel() }
