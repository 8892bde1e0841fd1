package speed_test

import (
	"context"
	"testing"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// newValidator returns a warm Validator that remembers so many tokens, and is closed at the end of the benchmark.
// ofClient accepts tokens of the client, without an audience or for this one.
var ofClient = verifier.AnyOf(
	verifier.CognitoAccess(clientID), verifier.AllOf(verifier.CognitoAccess(clientID), verifier.Audience(audience)),
)

func newValidator(tb testing.TB, s *site, cacheSize int) *regionjwt.Validator {
	tb.Helper()
	v := openValidator(tb, s, cacheSize)
	return v
}

func openValidator(tb testing.TB, s *site, cacheSize int, changes ...func(*verifier.Policy)) *regionjwt.Validator {
	tb.Helper()
	policy := verifier.Policy{
		Provider: issuer.Provider{ID: "bench", Regions: []issuer.Region{{
			Name: "us-east-1", Issuers: []string{s.iss}, JWKSURLs: []string{s.jwks},
		}}},
		Audience:   ofClient,
		Algorithms: []string{s.alg},
	}
	for _, change := range changes {
		change(&policy)
	}
	v, err := regionjwt.New(regionjwt.Config{
		Policies: []verifier.Policy{policy}, Tokens: verifier.Config{CacheSize: cacheSize},
		Keys: jwks.Config{UnknownKeyWait: -1}, // refusals of unknown keys are measured, not the wait for a fetch
	})
	if err != nil {
		tb.Fatal(err)
	}
	if err := v.Preload(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return v
}

// openRegionjwt remembers no token, so that every one takes the slow path.
func openRegionjwt(tb testing.TB, s *site) verify {
	tb.Helper()
	v := newValidator(tb, s, -1)
	return func(ctx context.Context, token string) error {
		_, err := v.Verify(ctx, token)
		return err
	}
}
