package main

import "time"

// What the tests see.
type (
	Facts     = facts
	Answer    = answer
	Verdict   = verdict
	Histogram = histogram
	Picture   = picture
	Panel     = panel
	Line      = line
	Point     = point
	Lane      = lane
	Band      = band
	Mark      = mark
	Past      = past
	Key       = key
)

// The answers.
const (
	Accepted    = accepted
	Refused     = refused
	Unavailable = unavailable
	Limited     = limited
	Lost        = lost
	Other       = other
)

// What the tests call.
var (
	Run   = run
	Judge = judge
)

// Grew reports whether a service whose heap and rules change like this over an hour is said to grow.
func Grew(heap [2]uint64, rules [2]int) bool {
	var all []sample
	began := time.Now()
	for i := range 100 {
		r := reading{Heap: heap[i/50], Rules: rules[i/50]}
		all = append(all, sample{at: began.Add(time.Duration(i+1) * 36 * time.Second), reading: r})
	}
	return grown(all, began, time.Hour).heapGrew
}

func (h *histogram) Add(d time.Duration)             { h.add(d) }
func (h *histogram) At(p float64) time.Duration      { return h.at(p) }
func (p *picture) Draw() string                      { return p.draw() }
func (p *past) BeginDark()                           { p.begin(&p.dark) }
func (p *past) EndDark()                             { p.end(&p.dark) }
func (p *past) BeginFlood()                          { p.begin(&p.floods) }
func (p *past) EndFlood()                            { p.end(&p.floods) }
func (p *past) Unknowable(k *key, at time.Time) bool { return p.unknowable(k, at, at) }

// NewKey is a key that is published now.
func NewKey() *Key { return &key{published: time.Now()} }

// Prove notes that a token of k was accepted now.
func (k *key) Prove() { k.proven.set(time.Now()) }
