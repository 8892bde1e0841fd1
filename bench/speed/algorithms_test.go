package speed_test

import (
	"context"
	"testing"
)

// BenchmarkAlgorithms verifies tokens of each algorithm for the first time, and again from the cache, beside the raw check of
// RS256.
func BenchmarkAlgorithms(b *testing.B) {
	rs := theSite(b, "RS256")
	floor := floorOf(b, rs, mintPool(b, rs, user, nil))
	for _, alg := range append([]string{"RS256", "ES256", "EdDSA"}, mldsaAlgorithms...) {
		s := theSite(b, alg)
		tokens := mintPool(b, s, user, nil)
		b.Run(alg, func(b *testing.B) {
			pairWithFloor(b, floor, accepting(b, openRegionjwt(b, s), tokens))
			b.ReportMetric(float64(len(tokens[0])), "B/token")
		})
		b.Run(alg+",cached", func(b *testing.B) {
			v := newValidator(b, s, 2*len(tokens))
			verify := func(ctx context.Context, token string) error {
				_, err := v.Verify(ctx, token)
				return err
			}
			pairWithFloor(b, floor, accepting(b, verify, tokens))
			b.ReportMetric(float64(len(tokens[0])), "B/token")
		})
	}
}
