package main

import (
	"fmt"
	"sync"
	"time"
)

// cell is what came of some of the calls.
type cell struct {
	latency histogram
	answers [kindsOfAnswer]int
	wrong   int
}

func (c *cell) calls() (n int) {
	for _, a := range c.answers {
		n += a
	}
	return n
}

// suspect is an answer that is wrong unless timers were late: that is known a little later.
type suspect struct {
	answer     answer
	facts      facts
	begin, end time.Time
	who        string
	cells      []*cell
}

// stats counts answers. It is safe for concurrent use.
type stats struct {
	began  time.Time
	window time.Duration // of the picture

	mu        sync.Mutex
	kinds     map[kind]*cell
	protocols map[string]*cell
	minutes   []*cell
	windows   []*cell
	byMinute  map[kind][]*cell

	suspects  []suspect
	excused   int // suspects that lateness excuses
	wrong     map[verdict]int
	details   []string
	troubles  []string
	tooNew    int // refused because their key was too new
	messages  int // of streams, after the first
	ends      [kindsOfAnswer]int
	revoked   int
	slowest   time.Duration // from when a rule was written to the begin of the last call that did not heed it
	restartAt time.Time
}

const keptDetails = 40

func newStats(window time.Duration) *stats {
	return &stats{
		began: time.Now(), window: window, kinds: map[kind]*cell{}, protocols: map[string]*cell{},
		byMinute: map[kind][]*cell{}, wrong: map[verdict]int{},
	}
}

// nth returns the nth cell of cs, which grows where it has to.
func nth(cs *[]*cell, n int) *cell {
	for len(*cs) <= n {
		*cs = append(*cs, &cell{})
	}
	return (*cs)[n]
}

func of[K comparable](m map[K]*cell, k K) *cell {
	if m[k] == nil {
		m[k] = &cell{}
	}
	return m[k]
}

// count judges and counts the answer to a call.
func (w *world) count(t *token, protocol string, begin, end time.Time, a answer, region string) {
	if a == accepted && !t.bad && !t.unpublished && region != t.region.name {
		a = other
	}
	f := t.facts(begin, end, w.down.overlap(begin, end))
	w.prove(t, a, end)
	k, took := t.kindAt(begin), end.Sub(begin)
	s := w.stats
	s.mu.Lock()
	defer s.mu.Unlock()
	byMinute := s.byMinute[k]
	cells := []*cell{
		of(s.kinds, k), of(s.protocols, protocol), nth(&s.minutes, int(end.Sub(s.began)/time.Minute)),
		nth(&s.windows, int(end.Sub(s.began)/s.window)), nth(&byMinute, int(end.Sub(s.began)/time.Minute)),
	}
	s.byMinute[k] = byMinute
	for _, c := range cells {
		c.answers[a]++
		if a != lost {
			c.latency.add(took)
		}
	}
	s.judge(suspect{a, f, begin, end, string(k) + ", " + protocol + ", " + t.region.name, cells})
}

// countMessage judges and counts a message of a stream, or its end.
func (w *world) countMessage(t *token, now time.Time, a answer) {
	f := t.facts(now, now, w.down.overlap(now.Add(-watchEvery), now))
	s := w.stats
	s.mu.Lock()
	defer s.mu.Unlock()
	if a == accepted {
		s.messages++
	} else {
		s.ends[a]++
	}
	c := of(s.kinds, streamKind)
	c.answers[a]++
	s.judge(suspect{a, f, now, now, string(t.kindAt(now)) + ", in a stream, " + t.region.name, []*cell{c}})
}

// prove notes that the service has the key of a token that it accepted.
func (w *world) prove(t *token, a answer, end time.Time) {
	if a == accepted && t.key != nil && !t.bad {
		t.key.proven.set(end)
	}
}

// judge judges an answer, now or, where it depends on how late timers were, later. The caller holds mu.
func (s *stats) judge(x suspect) {
	if x.answer == accepted && came(x.facts.RevokedBy, x.begin) {
		s.slowest = max(s.slowest, x.begin.Sub(x.facts.RevokedBy))
	}
	if f := x.facts; x.answer == refused && f.TooNew {
		f.TooNew = false
		if judge(x.answer, f, x.begin, x.end, 0) != right {
			s.tooNew++
		}
	}
	switch v := judge(x.answer, x.facts, x.begin, x.end, 0); v {
	case right:
	case acceptedOld, acceptedRule, acceptedGone:
		s.suspects = append(s.suspects, x)
	default:
		s.condemn(v, x)
	}
}

func (s *stats) condemn(v verdict, x suspect) {
	s.wrong[v]++
	for _, c := range x.cells {
		c.wrong++
	}
	if len(s.details) < keptDetails {
		key := ""
		if x.facts.Unknowable {
			key = ", key not known"
		}
		s.details = append(s.details, fmt.Sprintf("%8.3f s: %s: %s (%s%s, %v)",
			x.begin.Sub(s.began).Seconds(), x.who, v, x.answer, key, x.end.Sub(x.begin).Round(time.Millisecond)))
	}
}

// settle judges the suspects by how late timers were.
func (s *stats) settle(c *clock) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.suspects {
		from := x.begin.Add(-2 * reach)
		if v := judge(x.answer, x.facts, x.begin, x.end, c.worst(from, x.end)); v != right {
			s.condemn(v, x)
			continue
		}
		s.excused++
	}
	s.suspects = nil
}

// wrongAnswers is how many answers were wrong.
func (s *stats) wrongAnswers() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.wrong {
		n += w
	}
	return n
}

// trouble notes that the soak itself does not work.
func (s *stats) trouble(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.troubles) < keptDetails {
		s.troubles = append(s.troubles, err.Error())
	}
}

func (s *stats) revocation() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoked++
}

func (s *stats) restarted(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.restartAt = at
}
