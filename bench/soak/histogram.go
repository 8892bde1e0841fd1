package main

import (
	"math"
	"time"
)

// histogram counts durations in buckets that are 4 % wide. The zero histogram is empty.
type histogram struct {
	buckets [512]int
	count   int
	most    time.Duration
}

const perDoubling = 17.67 // 2^(1/17.67) is 1.04

// add counts a duration.
func (h *histogram) add(d time.Duration) {
	i := 0
	if us := float64(d) / float64(time.Microsecond); us > 1 {
		i = min(int(math.Log2(us)*perDoubling), len(h.buckets)-1)
	}
	h.buckets[i]++
	h.count++
	h.most = max(h.most, d)
}

// merge counts what o has.
func (h *histogram) merge(o *histogram) {
	for i, n := range o.buckets {
		h.buckets[i] += n
	}
	h.count += o.count
	h.most = max(h.most, o.most)
}

// at returns the duration that the share p of all do not exceed, within 4 %; 0 where there are none.
func (h *histogram) at(p float64) time.Duration {
	rank := int(math.Ceil(p * float64(h.count)))
	for i, n := range h.buckets {
		if rank -= n; rank <= 0 && n > 0 && i < len(h.buckets)-1 {
			upper := time.Duration(math.Exp2(float64(i+1)/perDoubling) * float64(time.Microsecond))
			return min(upper, h.most)
		}
	}
	return h.most
}
