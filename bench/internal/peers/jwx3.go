package peers

import (
	"context"

	"github.com/lestrrat-go/httprc/v3"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jwt"
)

type jwx3Subject struct {
	setup  Setup
	cache  *jwk.Cache
	cancel context.CancelFunc
}

func jwx3Library() Library {
	return Library{Name: "jwx v3", Modules: []string{"github.com/lestrrat-go/jwx/v3"}, AnyAlg: true, Open: openJWX3}
}

// openJWX3 waits for the first keys, as Register does; the service starts all the same if they do not come.
func openJWX3(wait context.Context, s Setup) (Subject, error) {
	ctx, cancel := context.WithCancel(context.Background())
	cache, err := jwk.NewCache(ctx, httprc.NewClient())
	if err != nil {
		cancel()
		return nil, err
	}
	var options []jwk.RegisterOption
	if s.Refresh > 0 {
		options = append(options, jwk.WithConstantInterval(s.Refresh))
	}
	e := s.Issuers[0]
	if err := cache.Register(wait, e.JWKS, options...); err != nil && !cache.IsRegistered(ctx, e.JWKS) {
		cancel()
		return nil, err
	}
	return jwx3Subject{s, cache, cancel}, nil
}

func (s jwx3Subject) Verify(ctx context.Context, token string) error {
	set, err := s.cache.Lookup(ctx, s.setup.Issuers[0].JWKS)
	if err != nil {
		return err
	}
	_, err = jwt.Parse([]byte(token), jwt.WithContext(ctx), jwt.WithKeySet(set), jwt.WithValidate(true),
		jwt.WithIssuer(s.setup.Issuers[0].Iss), jwt.WithAudience(s.setup.Audience), jwt.WithAcceptableSkew(s.setup.Leeway),
		jwt.WithRequiredClaim(jwt.ExpirationKey))
	return err
}

func (s jwx3Subject) Close() { s.cancel() }
