package speed_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/verifier"
)

// BenchmarkRules verifies remembered tokens with a list of revocation rules, against the same without one.
func BenchmarkRules(b *testing.B) {
	s := theSite(b, "RS256")
	plain := newValidator(b, s, hundred.size)
	for _, rules := range []int{0, 1000} {
		b.Run(fmt.Sprint(rules), func(b *testing.B) {
			list, err := revocation.New(revocation.Config{})
			if err != nil {
				b.Fatal(err)
			}
			for i := range rules {
				if _, err := list.Add(context.Background(), revocation.Rule{Provider: "*", Subject: fmt.Sprint(i)}); err != nil {
					b.Fatal(err)
				}
			}
			listed, err := regionjwt.New(regionjwt.Config{
				Tokens: verifier.Config{CacheSize: hundred.size, Revocation: list},
				Policies: []verifier.Policy{{
					Provider: issuer.Provider{ID: "bench", Regions: []issuer.Region{{
						Name: "us-east-1", Issuers: []string{s.iss}, JWKSURLs: []string{s.jwks},
					}}},
					Audience: ofClient, Algorithms: []string{s.alg},
				}},
			})
			if err != nil {
				b.Fatal(err)
			}
			tokens := hundred.all(b)
			hundred.remember(b, plain)
			hundred.remember(b, listed)
			verify := func(v *regionjwt.Validator) func() {
				pool := ring[string]{all: tokens}
				ctx := context.Background()
				return func() {
					if _, err := v.Verify(ctx, pool.next()); err != nil {
						b.Fatal(err)
					}
				}
			}
			r := pair(b, verify(plain), verify(listed))
			b.ReportMetric(r.Ratio, "x-without")
		})
	}
}
