package jwks

import (
	"net/http"
	"slices"
	"time"
)

// endpoint is one mirror of a set. The set's mutex guards what changes.
type endpoint struct {
	url    string // "" where discovery has not answered yet
	issuer string // the iss that the url is discovered from, or ""

	discover  instant // when to read the discovery document again
	last      *answer // nil until the first good answer
	known     bool    // it answered well once, here or as a snapshot tells
	refused   bool    // before that, it said once that it is not there
	lastGood  instant
	answered  int64       // the turn of the last flight in which it answered well
	asked     int64       // the turn of the last flight in which it was asked
	lastErr   *FetchError // nil after a good answer
	failures  int         // in a row
	failedAt  instant
	darkSince instant     // the first of these failures, without a long pause since
	differs   *difference // nil where it does not
}

// difference is what one mirror lists and others do not.
type difference struct {
	lacks   int     // keys that other mirrors list
	missing int     // keys of the set that it did not list when it was inspected
	extra   []extra // keys that it listed then, and the set does not have
}

// difference returns what differs; a zero one where nothing does.
func (ep *endpoint) difference() difference {
	if ep.differs == nil {
		return difference{}
	}
	return *ep.differs
}

// keep notes what differs.
func (ep *endpoint) keep(d difference) {
	ep.differs = nil
	if d.lacks > 0 || d.missing > 0 || len(d.extra) > 0 {
		ep.differs = &d
	}
}

// extra is a key that an inspected mirror lists and the set does not have. It is not used: only compared.
type extra struct {
	id          recordID
	first, last instant // when it was seen there
}

// name is how logs and Status call the mirror.
func (ep *endpoint) name() string {
	if ep.issuer != "" {
		return ep.issuer
	}
	return ep.url
}

// missed notes a failed attempt. The caller holds mu.
func (ep *endpoint) missed(e *FetchError, now instant) {
	if ep.failures == 0 || now.since(ep.failedAt) > darkPause {
		ep.darkSince = now
	}
	ep.failures++
	ep.failedAt, ep.lastErr = now, e
	ep.refused = ep.refused || ep.notThere()
}

// dark reports whether ep has failed for so long, asked again and again. A mirror that nobody asked is not dark. The caller
// holds mu.
func (ep *endpoint) dark(maxStale time.Duration) bool {
	return ep.failures > 0 && ep.failedAt.since(ep.darkSince) > maxStale
}

// rests is how much longer ep has asked not to be asked. The caller holds mu.
func (ep *endpoint) rests(now instant) time.Duration {
	if ep.lastErr == nil {
		return 0
	}
	return max(0, ep.lastErr.RetryAfter-now.since(ep.failedAt))
}

// notThere reports whether ep never answered well and says that it is not there. The caller holds mu.
func (ep *endpoint) notThere() bool {
	return !ep.known && ep.lastErr != nil &&
		(ep.lastErr.Status == http.StatusForbidden || ep.lastErr.Status == http.StatusNotFound)
}

// disabled reports whether ep never answered well and says, within the last hour, that it is not there. The caller holds mu.
func (ep *endpoint) disabled(now instant) bool {
	return ep.notThere() && now.since(ep.failedAt) < disabledFor
}

// leavesOut reports whether ep is not asked because it is not enabled and a sibling works.
func (s *set) leavesOut(ep *endpoint, now instant) bool {
	return s.view.Load() != nil && ep.disabled(now)
}

// toldOfLate reports whether a mirror that is not enabled said so within the last refill interval. A caller who looks for a key
// has it asked again otherwise: it may have been enabled since, and list that key alone.
func (s *set) toldOfLate(ep *endpoint, now instant) bool {
	return ep.disabled(now) && now.since(ep.failedAt) <= s.config.UnknownKey.Every
}

// prefer puts the mirrors into the order of urls.
func (s *set) prefer(urls []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endpoints = slices.SortedStableFunc(slices.Values(s.endpoints), func(a, b *endpoint) int {
		return slices.Index(urls, a.url) - slices.Index(urls, b.url)
	})
}

// order lists the mirrors to ask, in turn. A refresh begins with the preferred one, so that it is found to have come
// back; a fetch that somebody waits for begins with those that answered last. The caller holds mu.
func (s *set) order(now instant, demand bool) []*endpoint {
	var first, later []*endpoint
	for _, ep := range s.endpoints {
		switch {
		case ep.rests(now) > 0 || s.leavesOut(ep, now) && (!demand || s.toldOfLate(ep, now)):
		case ep.failures > 0 && (demand || now.since(ep.failedAt) < backOff(ep.failures)):
			later = append(later, ep)
		default:
			first = append(first, ep)
		}
	}
	return append(first, later...)
}

// resting is how long the set is not to be fetched after failures. The caller holds mu.
func (s *set) resting(now instant, demand bool) time.Duration {
	var wait time.Duration
	if s.failures > 0 {
		wait = backOff(s.failures)
		if demand && !s.usable(now) {
			wait = min(wait, firstBackOff)
		}
		wait = max(0, wait-now.since(s.failedAt))
	}
	soonest := maxRetryAfter
	for _, ep := range s.endpoints {
		if !s.leavesOut(ep, now) {
			soonest = min(soonest, ep.rests(now))
		}
	}
	return max(wait, soonest)
}

// backOff doubles from one second to a minute.
func backOff(failures int) time.Duration {
	return min(firstBackOff<<min(max(failures-1, 0), 10), maxBackOff)
}
