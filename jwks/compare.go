package jwks

import (
	"context"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/clock"
	"github.com/regionjwt/regionjwt/internal/guard"
)

// compareAfter is the time between two comparisons of the URLs of a set.
const compareAfter = 24 * time.Hour

// compare asks the URLs of a set that the last round did not ask, once a day, and notes for Status which keys they miss. It
// stands outside of the engine: it reads states and changes none. r is the round that has just ended.
func (c *Cache) compare(s *set, r *round) {
	now := c.clock()
	s.mu.Lock()
	var others []*slot
	if s.compareNow(r, now) {
		for _, sl := range s.slots {
			if r.attempt(sl) == nil && sl.resting(now, refreshRest) == 0 && !sl.refused(now) {
				others = append(others, sl)
			}
		}
	}
	s.mu.Unlock()
	for _, sl := range others {
		c.compareOne(s, sl)
	}
}

// compareNow reports whether the URLs of the set are to be compared now. The caller holds the set's mutex.
func (s *set) compareNow(r *round, now clock.Time) bool {
	if len(s.slots) < 2 {
		return false
	}
	last := s.kept().compared
	due := r.good && !r.urgent && now.Since(last) >= compareAfter
	if last.IsZero() || due {
		s.kept().compared = now
	}
	return due && !last.IsZero()
}

// compareOne asks one URL, and notes which keys of the set it misses.
func (c *Cache) compareOne(s *set, sl *slot) {
	ctx, cancel := context.WithTimeout(context.Background(), roundTime)
	defer cancel()
	s.mu.Lock()
	sl.rate.take(c.clock())
	t := c.hosts.enqueue(sl.address(), s, false)
	s.mu.Unlock()
	if !c.hosts.wait(ctx, t) {
		return
	}
	defer c.hosts.release(t)
	got, ok := counted(ctx, &sl.stuck, func() (a answer) {
		defer c.hosts.release(t)
		q := &request{cache: c, set: s, attempt: &attempt{slot: sl}, client: s.clients.pick(0), plain: true}
		guard.Report(guard.Call("HTTP client", func() { a = q.fetchSet(ctx, sl.address()) }))
		return a
	})
	if !ok || got.failed != nil || len(got.keys) == 0 {
		return
	}
	now := c.clock()
	s.mu.Lock()
	own := s.own(c.config.limits())
	var missing []string
	for _, cand := range own.Candidates(now) {
		if now.Since(cand.First) > time.Minute && !slices.ContainsFunc(got.keys, cand.Key.Same) {
			missing = append(missing, keyName(cand.Key))
		}
	}
	r := sl.said()
	before := len(r.missing)
	r.missing = missing
	sl.say(r)
	s.mu.Unlock()
	c.log.misses(c.table.Load(), s, sl, len(missing), before)
}
