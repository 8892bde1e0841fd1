package speed_test

import (
	"maps"
	"strings"
	"testing"
	"time"
)

// refusal is a way for a token to be bad.
type refusal struct {
	name string
	make func(tb testing.TB, s *site, good map[string]any) string

	drained bool // unknown keys are asked for until nobody asks any more, before anything is measured
	many    int  // how many different tokens are cycled through; 0 means poolSize
}

func refusals() []refusal {
	with := func(name string, value any) func(testing.TB, *site, map[string]any) string {
		return func(tb testing.TB, s *site, good map[string]any) string {
			tb.Helper()
			return issue(tb, s, good, map[string]any{name: value})
		}
	}
	return []refusal{
		{name: "signature", make: func(tb testing.TB, s *site, good map[string]any) string {
			tb.Helper()
			return tamper(tb, issue(tb, s, good, nil))
		}},
		{name: "expired", make: with("exp", time.Now().Add(-time.Hour).Unix())},
		{name: "issuer", make: with("iss", issuerBase+"Foreign01")},
		{name: "new-kid", many: 10_000, drained: true, make: func(tb testing.TB, s *site, _ map[string]any) string {
			tb.Helper()
			return withKid(tb, s, randomText(32))
		}},
		{name: "same-kid", drained: true, make: func(tb testing.TB, s *site, _ map[string]any) string {
			tb.Helper()
			return withKid(tb, s, b64([]byte(strings.Repeat("k", 32))))
		}},
		{name: "garbage", make: func(testing.TB, *site, map[string]any) string { return randomText(768) }},
		{name: "garbage-in-parts", make: func(testing.TB, *site, map[string]any) string {
			return randomText(60) + "." + randomText(512) + "." + randomText(192)
		}},
	}
}

func (r refusal) tokens(tb testing.TB, s *site, l library) []string {
	tb.Helper()
	n := poolSize
	if r.many > 0 {
		n = r.many
	}
	tokens := make([]string, n)
	for i := range tokens {
		good := claims(s, user)
		maps.Copy(good, l.changes())
		tokens[i] = r.make(tb, s, good)
	}
	return tokens
}

// BenchmarkRefuse refuses bad tokens, which cost an attacker nothing.
func BenchmarkRefuse(b *testing.B) {
	s := theSite(b, "RS256")
	good := mintPool(b, s, user, nil)
	for _, r := range refusals() {
		b.Run(r.name, func(b *testing.B) {
			pools := map[bool][]string{}
			for _, l := range libraries() {
				b.Run(l.name, func(b *testing.B) {
					if pools[l.audience] == nil {
						pools[l.audience] = r.tokens(b, s, l)
					}
					v := l.open(b, s)
					accepting(b, v, mintPool(b, s, user, l.changes())[:1])()
					refuse := refusing(b, v, pools[l.audience])
					if r.drained {
						for range 100 {
							refuse()
						}
					}
					fetched := s.fetches.Load()
					pairWithFloor(b, floorOf(b, s, good), refuse)
					b.ReportMetric(float64(s.fetches.Load()-fetched), "fetches")
				})
			}
		})
	}
}
