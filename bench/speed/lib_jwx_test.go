package speed_test

import (
	"context"
	"testing"
	"time"

	"github.com/lestrrat-go/httprc/v3"
	jwk2 "github.com/lestrrat-go/jwx/v2/jwk"
	jwt2 "github.com/lestrrat-go/jwx/v2/jwt"
	jwk3 "github.com/lestrrat-go/jwx/v3/jwk"
	jwt3 "github.com/lestrrat-go/jwx/v3/jwt"
)

// openJWX2 leaves the list of algorithms to the keys, each of which names its own.
func openJWX2(tb testing.TB, s *site) verify {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	tb.Cleanup(cancel)
	cache := jwk2.NewCache(ctx)
	if err := cache.Register(s.jwks, jwk2.WithMinRefreshInterval(15*time.Minute)); err != nil {
		tb.Fatal(err)
	}
	if _, err := cache.Refresh(ctx, s.jwks); err != nil {
		tb.Fatal(err)
	}
	return func(ctx context.Context, token string) error {
		set, err := cache.Get(ctx, s.jwks)
		if err != nil {
			return err
		}
		_, err = jwt2.Parse([]byte(token), jwt2.WithContext(ctx), jwt2.WithKeySet(set), jwt2.WithIssuer(s.iss),
			jwt2.WithRequiredClaim(jwt2.ExpirationKey), jwt2.WithAcceptableSkew(30*time.Second),
			jwt2.WithClaimValue("token_use", "access"), jwt2.WithClaimValue("client_id", clientID))
		return err
	}
}

// openJWX3 leaves the list of algorithms to the keys, each of which names its own.
func openJWX3(tb testing.TB, s *site) verify {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	tb.Cleanup(cancel)
	cache, err := jwk3.NewCache(ctx, httprc.NewClient())
	if err != nil {
		tb.Fatal(err)
	}
	if err := cache.Register(ctx, s.jwks); err != nil {
		tb.Fatal(err)
	}
	return func(ctx context.Context, token string) error {
		set, err := cache.Lookup(ctx, s.jwks)
		if err != nil {
			return err
		}
		_, err = jwt3.Parse([]byte(token), jwt3.WithContext(ctx), jwt3.WithKeySet(set), jwt3.WithIssuer(s.iss),
			jwt3.WithRequiredClaim(jwt3.ExpirationKey), jwt3.WithAcceptableSkew(30*time.Second),
			jwt3.WithClaimValue("token_use", "access"), jwt3.WithClaimValue("client_id", clientID))
		return err
	}
}
