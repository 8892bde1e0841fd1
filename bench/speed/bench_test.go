package speed_test

import (
	"context"
	"testing"

	"github.com/regionjwt/regionjwt/bench/speed"
)

// pair measures the candidate against the floor, a round for each turn of the benchmark. It reports times and allocations
// of the candidate.
func pair(b *testing.B, floor, candidate func()) speed.Result {
	b.Helper()
	p := speed.NewPair(floor, candidate)
	for b.Loop() {
		p.Round()
	}
	r := p.Result()
	b.ReportAllocs()
	b.ReportMetric(r.Candidate, "ns/op")
	b.ReportMetric(r.Allocs, "allocs/op")
	b.ReportMetric(r.Bytes, "B/op")
	return r
}

// pairWithFloor is pair where the floor is the raw check of a signature.
func pairWithFloor(b *testing.B, floor, candidate func()) {
	b.Helper()
	r := pair(b, floor, candidate)
	b.ReportMetric(r.Ratio, "x-floor")
	b.ReportMetric(r.Mean, "x-mean")
	b.ReportMetric(r.Over/1e3, "us-over")
	b.ReportMetric(r.Floor/1e3, "us-floor")
}

// accepting returns a function that verifies tokens in turn, which have to be good.
func accepting(tb testing.TB, v verify, tokens []string) func() {
	tb.Helper()
	ctx := context.Background()
	pool := ring[string]{all: tokens}
	return func() {
		if err := v(ctx, pool.next()); err != nil {
			tb.Fatal(err)
		}
	}
}

// refusing returns a function that verifies tokens in turn, which have to be bad.
func refusing(tb testing.TB, v verify, tokens []string) func() {
	tb.Helper()
	ctx := context.Background()
	pool := ring[string]{all: tokens}
	return func() {
		if v(ctx, pool.next()) == nil {
			tb.Fatal("a bad token was accepted")
		}
	}
}
