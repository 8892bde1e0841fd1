package keystate

import "github.com/regionjwt/regionjwt/internal/clock"

// Recheck returns when the key set of the given number must be asked again, because a key is missing from an answer and no other
// URL lists it now; zero if no key is. due is when a URL can be asked again.
func (e *Issuer) Recheck(set int, now clock.Time, due func(*State) clock.Time) clock.Time {
	var at clock.Time
	for i, s := range e.Sources {
		if s.Set != set {
			continue
		}
		for j := range s.Listed {
			k := &s.Listed[j]
			if k.Miss != nil && e.inEffect(i, k, now) && !e.listedNow(set, k) {
				at = clock.Sooner(at, due(s.State))
			}
		}
	}
	return at
}

// listedNow reports whether the last answer of a URL of the set lists k.
func (e *Issuer) listedNow(set int, k *Listing) bool {
	for _, s := range e.Sources {
		if o := s.find(k.Key); s.Set == set && o != nil && o.Current {
			return true
		}
	}
	return false
}
