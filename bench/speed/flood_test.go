package speed_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/regionjwt/regionjwt/bench/speed"
)

// floodSize is how many tokens with random kids make a flood.
const floodSize = 10_000

// BenchmarkFlood presents a flood of tokens with random kids as fast as one core can, and verifies good tokens beside it, on
// the slow path. It reports the fetches that the flood has caused, and the 99th percentile of a good token's time, relative to
// a quiet time, and to one in which the other core is as busy with the raw check of signatures.
func BenchmarkFlood(b *testing.B) {
	s := theSite(b, "RS256")
	v := openRegionjwt(b, s)
	good := accepting(b, v, mintPool(b, s, user, nil))
	bad := make([]string, floodSize)
	for i := range bad {
		bad[i] = withKid(b, s, randomText(32))
	}
	fetched := s.fetches.Load()
	var quiet, busy, flooded, toQuiet, toBusy []float64
	work := floorOf(b, s, mintPool(b, s, user, nil))
	for b.Loop() {
		ended := flood(b, v, bad)
		f := timesOf(good, func(int) bool { return ended.Load() })
		q := timesOf(good, func(n int) bool { return n == len(f) })
		stop := occupy(work)
		w := timesOf(good, func(n int) bool { return n == len(f) })
		stop()
		p := func(times []float64) float64 { return speed.Quantile(times, 0.99) }
		flooded, quiet, busy = append(flooded, p(f)), append(quiet, p(q)), append(busy, p(w))
		toQuiet, toBusy = append(toQuiet, p(f)/p(q)), append(toBusy, p(f)/p(w))
	}
	b.ReportMetric(float64(s.fetches.Load()-fetched), "fetches")
	b.ReportMetric(5, "bucket")
	b.ReportMetric(speed.Median(toQuiet), "x-quiet")
	b.ReportMetric(speed.Median(toBusy), "x-busy")
	b.ReportMetric(speed.Median(busy)/1e3, "us-p99-busy")
	b.ReportMetric(speed.Median(quiet)/1e3, "us-p99-quiet")
	b.ReportMetric(speed.Median(flooded)/1e3, "us-p99-flood")
	b.ReportMetric(0, "ns/op")
}

// flood presents the tokens, and says when it has ended.
func flood(b *testing.B, v verify, tokens []string) *atomic.Bool {
	b.Helper()
	ended := new(atomic.Bool)
	go func() {
		defer ended.Store(true)
		for _, token := range tokens {
			if v(context.Background(), token) == nil {
				b.Error("a bad token was accepted")
			}
		}
	}()
	return ended
}

// occupy calls f over and over in another goroutine, until stop has returned.
func occupy(f func()) (stop func()) {
	var enough atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !enough.Load() {
			f()
		}
	}()
	return func() {
		enough.Store(true)
		<-done
	}
}

// timesOf calls f until enough, and returns how long each call took, in nanoseconds.
func timesOf(f func(), enough func(calls int) bool) (times []float64) {
	for len(times) == 0 || !enough(len(times)) {
		began := time.Now()
		f()
		times = append(times, float64(time.Since(began)))
	}
	return times
}
