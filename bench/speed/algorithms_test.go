package speed_test

import (
	"context"
	"testing"

	"github.com/regionjwt/regionjwt/verifier"
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

// BenchmarkMissingKeyID verifies tokens without kid, beside tokens with kid and the same policy: for the first time, and again from
// the cache. The issuer has two keys, of which the first one has signed.
func BenchmarkMissingKeyID(b *testing.B) {
	for name, cacheSize := range map[string]int{"first": -1, "cached": 4 * poolSize} {
		b.Run(name, func(b *testing.B) {
			s := theSite(b, "RS256")
			v := openValidator(b, s, cacheSize, func(p *verifier.Policy) { p.AllowMissingKeyID = true })
			verify := func(ctx context.Context, token string) error {
				_, err := v.Verify(ctx, token)
				return err
			}
			unnamed := make([]string, poolSize)
			for i := range unnamed {
				unnamed[i] = s.keys[0].sign(b, map[string]any{"alg": s.alg}, marshal(b, claims(s, user)))
			}
			r := pair(b, accepting(b, verify, mintPool(b, s, user, nil)), accepting(b, verify, unnamed))
			b.ReportMetric(r.Ratio, "x-named")
			b.ReportMetric(r.Floor, "ns-named")
		})
	}
}
