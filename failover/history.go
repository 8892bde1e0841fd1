package failover

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// Bounds of the history of pins.
const (
	maxAncestors  = 256
	maxHeads      = 64 // in a document
	clockLead     = time.Minute
	defaultPinned = 24 * time.Hour
	maxPinned     = 30 * 24 * time.Hour
)

// pin is what an operator decided: that a region is pinned, or that none is any more. It names the pins that it replaces, so no
// clock decides which of two is the later one. It is immutable.
type pin struct {
	id string // the hash of the rest

	Parents  []string  `json:"parents"` // the IDs of all heads that its writer knew, sorted
	N        uint64    `json:"n"`       // one more than that of each parent
	Provider string    `json:"provider"`
	Region   string    `json:"region"`
	Pinned   bool      `json:"pinned"`
	Note     string    `json:"note"`
	At       time.Time `json:"at"`
	Expires  time.Time `json:"expires"`
}

// withID sets the ID of p.
func (p pin) withID() *pin {
	p.At, p.Expires = p.At.UTC().Round(0), p.Expires.UTC().Round(0)
	text, _ := json.Marshal(p) // cannot fail: texts, and sane times
	sum := sha256.Sum256(text)
	p.id = base64.RawURLEncoding.EncodeToString(sum[:])
	return &p
}

// inForce reports whether p pins a region now.
func (p *pin) inForce(now time.Time) bool { return p.Pinned && now.Before(p.Expires) }

// history is what is known of the pins: those that no other one replaces, which are the heads, and the latest of those that were
// replaced. One head is in effect. Several heads were written by operators who did not know of each other. It is immutable.
type history struct {
	epoch     uint64
	heads     []*pin            // by ID
	ancestors map[string]uint64 // the n of the pins that were replaced, all above floor
	floor     uint64            // the largest n that was cut off
}

var noPins = &history{}

// Epoch implements replica.Document.
func (h *history) Epoch() uint64 { return h.epoch }

// WithEpoch implements replica.Document.
func (h *history) WithEpoch(epoch uint64) *history {
	next := *h
	next.epoch = epoch
	return &next
}

// Merge implements replica.Document. A pin that is an ancestor of another one is no head. A head that is as old as what was cut
// off gives way to one that is not: it may be an ancestor that nobody remembers.
func (h *history) Merge(other *history, _ time.Time) (merged *history, grew bool) {
	next := &history{
		epoch: max(h.epoch, other.epoch), floor: max(h.floor, other.floor), ancestors: map[string]uint64{},
	}
	maps.Copy(next.ancestors, h.ancestors)
	maps.Copy(next.ancestors, other.ancestors)
	next.heads = append(slices.Clone(h.heads), other.heads...)
	next.tidy()
	grew = next.floor != h.floor || !sameHeads(next.heads, h.heads) || !maps.Equal(next.ancestors, h.ancestors)
	if !grew && next.epoch == h.epoch {
		return h, false
	}
	return next, grew
}

// tidy makes a union of histories one history.
func (h *history) tidy() {
	if len(h.ancestors) > maxAncestors {
		counts := slices.SortedFunc(maps.Values(h.ancestors), func(a, b uint64) int { return cmp.Compare(b, a) })
		h.floor = max(h.floor, counts[maxAncestors])
	}
	maps.DeleteFunc(h.ancestors, func(_ string, n uint64) bool { return n <= h.floor })
	slices.SortFunc(h.heads, func(a, b *pin) int { return cmp.Compare(a.id, b.id) })
	h.heads = slices.CompactFunc(h.heads, func(a, b *pin) bool { return a.id == b.id })
	h.heads = slices.DeleteFunc(h.heads, func(p *pin) bool { _, replaced := h.ancestors[p.id]; return replaced })
	if slices.ContainsFunc(h.heads, func(p *pin) bool { return p.N > h.floor }) {
		h.heads = slices.DeleteFunc(h.heads, func(p *pin) bool { return p.N <= h.floor })
	}
}

func sameHeads(a, b []*pin) bool {
	return slices.EqualFunc(a, b, func(p, q *pin) bool { return p.id == q.id })
}

// IsIn implements replica.Document.
func (h *history) IsIn(other *history, _ time.Time) bool { return sameHeads(h.heads, other.heads) }

// inEffect returns the head that counts, or nil. Of several it is one that pins a region, then the latest one, by clocks that are
// at most a minute ahead.
func (h *history) inEffect(now time.Time) (best *pin) {
	limit := now.Add(clockLead)
	at := func(p *pin) time.Time {
		if p.At.After(limit) {
			return limit
		}
		return p.At
	}
	for _, p := range h.heads {
		better := best == nil
		if !better && p.inForce(now) != best.inForce(now) {
			better = p.inForce(now)
		} else if !better {
			better = cmp.Or(at(p).Compare(at(best)), cmp.Compare(p.id, best.id)) > 0
		}
		if better {
			best = p
		}
	}
	return best
}

// add returns h with one more pin, which replaces all heads, whatever the clocks say.
func (h *history) add(p pin) *history {
	next := &history{epoch: h.epoch, floor: h.floor, ancestors: maps.Clone(h.ancestors)}
	if next.ancestors == nil {
		next.ancestors = map[string]uint64{}
	}
	p.Parents, p.N = []string{}, 1
	for _, head := range h.heads {
		p.Parents = append(p.Parents, head.id)
		p.N = max(p.N, head.N+1)
		next.ancestors[head.id] = head.N
	}
	next.heads = []*pin{p.withID()}
	next.tidy()
	return next
}
