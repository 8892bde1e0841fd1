// Package speed measures regionjwt beside its peers and beside the raw check of a signature. Everything it measures is in
// its benchmarks; the package itself is how they measure.
//
// Absolute times drift on a machine that others use, by up to 40 %. So two things are compared in one process, in short
// blocks that take turns, and what counts is the median of the ratios of neighbouring blocks.
package speed

import (
	"runtime"
	"slices"
	"time"
)

// blockTime is about how long one block of calls takes.
const blockTime = 3 * time.Millisecond

// Pair compares a candidate with a floor. It is made by NewPair, and for one goroutine.
type Pair struct {
	floor, candidate side
	now              func() time.Duration
	rounds           int

	ratios, overs, floors, candidates []float64 // of each round
}

// side is one of the two functions that are compared.
type side struct {
	call  func()
	calls int // of a block
}

// Result is what a Pair has measured. Times are in nanoseconds a call.
type Result struct {
	Ratio     float64 // candidate / floor: the median over the rounds
	Mean      float64 // all time of the candidate / all time of the floor, so with every garbage collection
	Over      float64 // candidate - floor: the median over the rounds
	Floor     float64 // the median over the rounds
	Candidate float64 // the median over the rounds
	Allocs    float64 // of the candidate, a call
	Bytes     float64 // of the candidate, a call
}

// NewPair calls both functions for a while, to learn how many calls make a block.
func NewPair(floor, candidate func()) *Pair {
	base := time.Now()
	return newPair(floor, candidate, func() time.Duration { return time.Since(base) })
}

func newPair(floor, candidate func(), now func() time.Duration) *Pair {
	p := &Pair{now: now}
	p.floor, p.candidate = p.calibrate(floor), p.calibrate(candidate)
	return p
}

// calibrate finds how many calls of f take blockTime.
func (p *Pair) calibrate(f func()) side {
	f() // what is lazy happens here
	for calls := 1; ; calls *= 2 {
		took := p.time(side{f, calls})
		if took >= blockTime/3 {
			return side{f, max(1, int(int64(calls)*int64(blockTime)/int64(took)))}
		}
	}
}

func (p *Pair) time(s side) time.Duration {
	began := p.now()
	for range s.calls {
		s.call()
	}
	return p.now() - began
}

// Round measures a block of each. Which one comes first alternates.
func (p *Pair) Round() {
	var floor, candidate float64
	each := func(s side) float64 { return float64(p.time(s)) / float64(s.calls) }
	if p.rounds%2 == 0 {
		floor, candidate = each(p.floor), each(p.candidate)
	} else {
		candidate, floor = each(p.candidate), each(p.floor)
	}
	p.rounds++
	p.ratios = append(p.ratios, candidate/floor)
	p.overs = append(p.overs, candidate-floor)
	p.floors = append(p.floors, floor)
	p.candidates = append(p.candidates, candidate)
}

// Result sums up the rounds, at least one of which there must have been, and counts what the candidate allocates.
func (p *Pair) Result() Result {
	r := Result{
		Ratio: Median(p.ratios), Over: Median(p.overs), Floor: Median(p.floors), Candidate: Median(p.candidates),
		Mean: sum(p.candidates) / sum(p.floors),
	}
	r.Allocs, r.Bytes = Allocations(p.candidate.calls, p.candidate.call)
	return r
}

// Allocations counts what a call of f allocates: the median of three blocks of so many calls.
func Allocations(calls int, f func()) (allocs, bytes float64) {
	const blocks = 3
	counts, sizes := make([]float64, 0, blocks), make([]float64, 0, blocks)
	for range blocks {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range calls {
			f()
		}
		runtime.ReadMemStats(&after)
		counts = append(counts, float64(after.Mallocs-before.Mallocs)/float64(calls))
		sizes = append(sizes, float64(after.TotalAlloc-before.TotalAlloc)/float64(calls))
	}
	return Median(counts), Median(sizes)
}

// HeapGrowth returns by how many bytes the live heap grows while the result of build is held.
func HeapGrowth[T any](build func() T) (T, float64) {
	before := liveHeap()
	held := build()
	grown := float64(liveHeap()) - float64(before)
	runtime.KeepAlive(held)
	return held, grown
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC() // what had a finalizer or was in a pool goes with the second one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Median returns the median of values, of which there must be one.
func Median(values []float64) float64 { return Quantile(values, 0.5) }

// Quantile returns the value below which the share q of values lies, of which there must be one.
func Quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (sorted[high]-sorted[low])*(at-float64(low))
}

func sum(values []float64) (total float64) {
	for _, v := range values {
		total += v
	}
	return total
}
