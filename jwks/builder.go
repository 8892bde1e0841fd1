package jwks

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/regionjwt/regionjwt/internal/clock"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
)

// builder finds the key sets and the rates of an old table that a new one goes on with.
type builder struct {
	before, byID map[string]*set // of the old table, of the new one
	sets         []*set
	rates        map[string]*rate // of both, by the name of the URL
	layouts      map[string]*layout
}

func newBuilder(old *table) *builder {
	b := &builder{before: make(map[string]*set, len(old.sets)), byID: map[string]*set{}, rates: map[string]*rate{}}
	b.layouts = map[string]*layout{}
	maps.Copy(b.rates, old.gone)
	for _, s := range old.sets {
		b.before[s.id()] = s
		for _, sl := range s.slots {
			b.rates[sl.name()] = sl.rate
		}
	}
	return b
}

// setsOf returns the key sets of a region.
func (b *builder) setsOf(r *issuer.Region, pair *clientPair) []*set {
	if len(r.JWKSURLs) > 0 {
		s := &set{clients: pair}
		for _, u := range r.JWKSURLs {
			s.slots = append(s.slots, &slot{url: u, optional: slices.Contains(r.OptionalJWKSURLs, u)})
		}
		return []*set{b.known(s)}
	}
	var sets []*set
	for _, iss := range r.Issuers {
		d := &discovery{issuer: iss, url: r.DiscoveryURL}
		sets = append(sets, b.known(&set{clients: pair, slots: []*slot{{discovery: d}}}))
	}
	return sets
}

// known returns the set that is fetched from the same as s, or s.
func (b *builder) known(s *set) *set {
	id := s.id()
	if same := b.byID[id]; same != nil {
		return same
	}
	if same := b.before[id]; same != nil {
		s = same
	} else {
		for _, sl := range s.slots {
			sl.state.Store(&keystate.URL{})
			if b.rates[sl.name()] == nil {
				b.rates[sl.name()] = new(rate)
			}
			sl.rate = b.rates[sl.name()]
		}
	}
	b.byID[id] = s
	b.sets = append(b.sets, s)
	return s
}

// layoutOf returns one layout for all issuers that are configured in the same way, as many are.
func (b *builder) layoutOf(l *layout) *layout {
	var id strings.Builder
	_, _ = id.WriteString(strconv.FormatBool(l.SeparateKeys))
	for _, r := range l.Regions {
		_, _ = id.WriteString("\n" + r.Name) // which has no control character
		for _, n := range r.Sets {
			_, _ = id.WriteString("\n" + strconv.Itoa(n))
		}
	}
	if same := b.layouts[id.String()]; same != nil {
		return same
	}
	b.layouts[id.String()] = l
	return l
}

// gone counts the clients of each URL, and returns the rates of the URLs that the new table does not have and that were asked a
// moment ago.
func (b *builder) gone(now clock.Time) map[string]*rate {
	type use struct {
		rate *rate
		by   *clientPair
	}
	uses, clients := map[use]struct{}{}, map[*rate]int32{}
	for _, s := range b.sets {
		for _, sl := range s.slots {
			if _, known := uses[use{sl.rate, s.clients}]; !known {
				uses[use{sl.rate, s.clients}] = struct{}{}
				clients[sl.rate]++
			}
		}
	}
	gone := map[string]*rate{}
	for name, r := range b.rates {
		r.clients.Store(clients[r])
		if clients[r] == 0 && !r.idle(now) {
			gone[name] = r
		}
	}
	return gone
}
