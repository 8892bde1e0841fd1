package speed_test

import (
	"context"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/bench/speed"
	"github.com/regionjwt/regionjwt/verifier"
)

// crowd is many different tokens of one site, in a random order.
type crowd struct {
	name   string
	size   int
	alg    string
	once   sync.Once
	tokens []string
}

// A hundred tokens stay in the caches of the processor; ten thousand do not. The tokens of a million would take half an hour to
// sign with RSA. The fast path does not look at signatures.
var (
	hundred     = &crowd{name: "100", size: 100, alg: "RS256"}
	tenThousand = &crowd{name: "10k", size: 10_000, alg: "RS256"}
	million     = &crowd{name: "1M", size: 1_000_000, alg: "EdDSA"}
)

func (c *crowd) all(tb testing.TB) []string {
	tb.Helper()
	c.once.Do(func() {
		s := theSite(tb, c.alg)
		length := len(issue(tb, theSite(tb, "RS256"), claims(theSite(tb, "RS256"), user), nil))
		padding := max(0, length-len(issue(tb, s, claims(s, user), nil)))
		c.tokens = make([]string, c.size)
		var wg sync.WaitGroup
		for half := range 2 {
			wg.Go(func() {
				for i := half; i < c.size; i += 2 {
					claims := claims(s, user)
					claims["username"] = claims["username"].(string) + randomText(padding)[:padding*3/4]
					c.tokens[i] = issue(tb, s, claims, nil)
				}
			})
		}
		wg.Wait()
		rand.Shuffle(c.size, func(i, j int) { c.tokens[i], c.tokens[j] = c.tokens[j], c.tokens[i] })
	})
	return c.tokens
}

// remember verifies every token once.
func (c *crowd) remember(tb testing.TB, v *regionjwt.Validator) {
	tb.Helper()
	for _, token := range c.all(tb) {
		if _, err := v.Verify(context.Background(), token); err != nil {
			tb.Fatal(err)
		}
	}
}

// BenchmarkFast verifies tokens again that were verified before.
func BenchmarkFast(b *testing.B) {
	crowds := []*crowd{hundred, tenThousand}
	if os.Getenv("BENCH_MILLION") == "1" { // it takes minutes
		crowds = append(crowds, million)
	}
	for _, c := range crowds {
		b.Run(c.name, func(b *testing.B) {
			s := theSite(b, c.alg)
			tokens := c.all(b)
			v := newValidator(b, s, c.size)
			c.remember(b, v)
			again := func(b *testing.B, from int) func() {
				b.Helper()
				ctx := context.Background()
				pool := ring[string]{all: tokens, at: from}
				return func() {
					if _, err := v.Verify(ctx, pool.next()); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.Run("serial", func(b *testing.B) {
				rs := theSite(b, "RS256")
				pairWithFloor(b, floorOf(b, rs, mintPool(b, rs, user, nil)), again(b, 0))
				b.ReportMetric(hits(b, v, tokens), "hits")
			})
			b.Run("two-cores", func(b *testing.B) { scaling(b, again(b, 0), again(b, c.size/2)) })
			b.Run("entry", func(b *testing.B) { bytesOfEntry(b, c) })
		})
	}
}

// hits returns the share of tokens that are remembered: verified twice in a row, they are the same Token.
func hits(b *testing.B, v *regionjwt.Validator, tokens []string) float64 {
	b.Helper()
	same := 0
	for _, token := range tokens {
		first, err := v.Verify(context.Background(), token)
		if err != nil {
			b.Fatal(err)
		}
		if second, _ := v.Verify(context.Background(), token); first == second {
			same++
		}
	}
	return float64(same) / float64(len(tokens))
}

// scaling measures how much more two goroutines do than one, and the time a call then takes by the clock on the wall. In turns
// with that it measures the same of the raw check, which shares nothing: what a second core is worth now.
func scaling(b *testing.B, one, other func()) {
	b.Helper()
	const calls, rawCalls = 4096, 64
	rs := theSite(b, "RS256")
	tokens := mintPool(b, rs, user, nil)
	together := func(calls int, one, other func()) *speed.Pair {
		many := func(f func()) {
			for range calls {
				f()
			}
		}
		return speed.NewPair(func() { many(one) }, func() {
			var wg sync.WaitGroup
			wg.Go(func() { many(one) })
			many(other)
			wg.Wait()
		})
	}
	cached := together(calls, one, other)
	raw := together(rawCalls, floorOf(b, rs, tokens), floorOf(b, rs, tokens))
	for b.Loop() {
		cached.Round()
		raw.Round()
	}
	r := cached.Result()
	b.ReportAllocs()
	b.ReportMetric(r.Candidate/(2*calls), "ns/op")
	b.ReportMetric(r.Allocs/(2*calls), "allocs/op")
	b.ReportMetric(r.Bytes/(2*calls), "B/op")
	b.ReportMetric(2/r.Ratio, "x-one-core")
	b.ReportMetric(2/raw.Result().Ratio, "x-one-core-raw")
}

// bytesOfEntry measures what a full cache takes beside the Tokens in it: the growth of the heap, less that of the same
// Tokens in a slice, without the pointers of the slice.
func bytesOfEntry(b *testing.B, c *crowd) {
	b.Helper()
	var cached, plain float64
	s := theSite(b, c.alg)
	for b.Loop() {
		_, cached = speed.HeapGrowth(func() *regionjwt.Validator {
			v := openValidator(b, s, c.size)
			c.remember(b, v)
			return v
		})
		_, plain = speed.HeapGrowth(func() []*verifier.Token {
			v := openValidator(b, s, -1)
			held := make([]*verifier.Token, c.size)
			for i, token := range c.all(b) {
				held[i], _ = v.Verify(context.Background(), token)
			}
			return held
		})
	}
	b.ReportMetric((cached-plain)/float64(c.size)+8, "B/entry")
	b.ReportMetric(plain/float64(c.size)-8, "B/token")
	b.ReportMetric(0, "ns/op")
}
