package main

import (
	"sync"
	"sync/atomic"
	"time"
)

// span is a time between two moments; it goes on while To is zero.
type span struct{ From, To time.Time }

func (s span) overlaps(from, to time.Time) bool {
	return !s.From.After(to) && (s.To.IsZero() || !s.To.Before(from))
}

// key is what is true of a key of an issuer, whatever the service knows.
type key struct {
	kid       string
	published time.Time
	proven    moment // the first answer that accepted a token of it: from then on it is in memory
	withdrawn moment // the issuer ceased to list it
	gone      moment // the service has had two good answers without it, a minute apart
	missed    moment // the first of them
}

// moment is a time that is set once; the zero moment has not come.
type moment struct{ at atomic.Pointer[time.Time] }

func (m *moment) set(t time.Time) { m.at.CompareAndSwap(nil, &t) }

func (m *moment) get() time.Time {
	if t := m.at.Load(); t != nil {
		return *t
	}
	return time.Time{}
}

func (m *moment) forget() { m.at.Store(nil) }

// before reports whether the moment came before t.
func (m *moment) before(t time.Time) bool {
	at := m.get()
	return !at.IsZero() && at.Before(t)
}

// What the failure table promises of the time after an outage or a flood.
const (
	backOffAtMost = time.Minute
	bucketEvery   = 10 * time.Second // a fetch for unknown key IDs comes back
	fetchAtMost   = 5 * time.Second
	bucketFull    = 5 * bucketEvery
	slack         = 2 * time.Second // beside them, on a busy machine
	oneOutage     = 30 * time.Second
)

// past is what happened to the network of one issuer.
type past struct {
	mu     sync.Mutex
	dark   []span
	floods []span
}

func (p *past) begin(of *[]span) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*of = append(*of, span{From: time.Now()})
}

func (p *past) end(of *[]span) {
	p.mu.Lock()
	defer p.mu.Unlock()
	(*of)[len(*of)-1].To = time.Now()
}

// flooding reports whether unknown key IDs are to arrive now.
func (p *past) flooding() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.floods)
	return n > 0 && p.floods[n-1].To.IsZero()
}

// unreachable reports whether the service, in a call from begin to end, could not have fetched the keys: the issuer was dark, or
// had been so shortly before that the next attempt was not due. The pause after an outage is at most as long as the
// outage, and a minute.
func (p *past) unreachable(begin, end time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := -1
	for i, d := range p.dark {
		if d.overlaps(begin, end) {
			return true
		}
		if d.To.Before(begin) {
			last = i
		}
	}
	if last < 0 {
		return false
	}
	first := last
	for first > 0 && p.dark[first].From.Sub(p.dark[first-1].To) < oneOutage {
		first--
	}
	over := p.dark[last].To
	rest := min(over.Sub(p.dark[first].From), backOffAtMost) + fetchAtMost + slack
	return begin.Before(over.Add(rest))
}

// flooded reports whether unknown key IDs may have used up the fetches for them: until the bucket is full again, each key that is
// new takes the one that has come back.
func (p *past) flooded(begin, end time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.floods {
		if f.overlaps(begin.Add(-bucketFull-slack), end) {
			return true
		}
	}
	return false
}

// unknowable reports whether in a call from begin to end the service could not have known k. It could where a token of k had
// been accepted before; otherwise it had to fetch k, for which the issuer must have been within reach, and a fetch left for
// unknown key IDs.
func (p *past) unknowable(k *key, begin, end time.Time) bool {
	if k.proven.before(begin) {
		return false
	}
	return p.unreachable(begin, end) || p.tooNew(k, begin, end)
}

// tooNew reports whether in a call from begin to end the service could take the last answer of the issuer, which is younger than
// bucketEvery, for the truth about k: k was published since, and the fetches for unknown key IDs were used up.
func (p *past) tooNew(k *key, begin, end time.Time) bool {
	return !k.proven.before(begin) && begin.Before(k.published.Add(bucketEvery+slack)) && p.flooded(begin, end)
}

// outages are the times in which the service itself was down.
type outages struct {
	mu    sync.Mutex
	spans []span
}

func (o *outages) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.spans = append(o.spans, span{From: time.Now()})
}

func (o *outages) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.spans[len(o.spans)-1].To = time.Now()
}

// overlap reports whether the service was down, or clients had not yet found it again, in a call from begin to end.
func (o *outages) overlap(begin, end time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.spans {
		if s.overlaps(begin.Add(-slack), end) {
			return true
		}
	}
	return false
}
