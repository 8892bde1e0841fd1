package peers

import (
	"context"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jwt"
)

type jwx2Subject struct {
	setup  Setup
	cache  *jwk.Cache
	cancel context.CancelFunc
}

func jwx2Library() Library {
	return Library{Name: "jwx v2", Modules: []string{"github.com/lestrrat-go/jwx/v2"}, AnyAlg: true, Open: openJWX2}
}

// openJWX2 fetches the keys once; the service starts all the same if that fails.
func openJWX2(wait context.Context, s Setup) (Subject, error) {
	ctx, cancel := context.WithCancel(context.Background())
	var cacheOptions []jwk.CacheOption
	option := jwk.WithMinRefreshInterval(15 * time.Minute)
	if s.Refresh > 0 {
		cacheOptions = append(cacheOptions, jwk.WithRefreshWindow(s.Refresh))
		option = jwk.WithRefreshInterval(s.Refresh)
	}
	cache := jwk.NewCache(ctx, cacheOptions...)
	e := s.Issuers[0]
	if err := cache.Register(e.JWKS, option); err != nil {
		cancel()
		return nil, err
	}
	_, _ = cache.Refresh(wait, e.JWKS)
	return jwx2Subject{s, cache, cancel}, nil
}

func (s jwx2Subject) Verify(ctx context.Context, token string) error {
	set, err := s.cache.Get(ctx, s.setup.Issuers[0].JWKS)
	if err != nil {
		return err
	}
	_, err = jwt.Parse([]byte(token), jwt.WithContext(ctx), jwt.WithKeySet(set), jwt.WithValidate(true),
		jwt.WithIssuer(s.setup.Issuers[0].Iss), jwt.WithAudience(s.setup.Audience), jwt.WithAcceptableSkew(s.setup.Leeway),
		jwt.WithRequiredClaim(jwt.ExpirationKey))
	return err
}

func (s jwx2Subject) Close() { s.cancel() }
