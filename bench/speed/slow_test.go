package speed_test

import "testing"

// BenchmarkSlow verifies tokens that are seen for the first time, with the keys in memory.
func BenchmarkSlow(b *testing.B) {
	for _, c := range []struct {
		alg  string
		kind kind
	}{
		{"RS256", user}, {"ES256", user}, {"EdDSA", user}, {"RS256", machine}, {"RS256", groups},
	} {
		b.Run(c.alg+"/"+string(c.kind), func(b *testing.B) {
			s := theSite(b, c.alg)
			tokens := mintPool(b, s, c.kind, nil)
			b.Run("floor", func(b *testing.B) {
				pairWithFloor(b, floorOf(b, s, tokens), floorOf(b, s, tokens))
			})
			for _, l := range libraries() {
				if l.noEdDSA && c.alg == "EdDSA" {
					continue
				}
				b.Run(l.name, func(b *testing.B) {
					if l.audience {
						tokens = mintPool(b, s, c.kind, l.changes())
					}
					pairWithFloor(b, floorOf(b, s, tokens), accepting(b, l.open(b, s), tokens))
				})
			}
		})
	}
}
