package jwks

import (
	"cmp"
	"container/heap"
	"context"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/internal/clock"
)

const (
	hostRequests = 16 // under way to one host, of each queue
	urgentRate   = 50 // rounds a second to one host that somebody waits for, all sets together
	urgentBurst  = 200
	restedTime   = time.Minute // after an urgent round the next one of a set goes before those of sets that had one meanwhile
	paceWindow   = time.Minute // within which answers that ask for fewer requests slow a host
	paceSets     = 3           // sets that must have been asked, and a quarter of the answers
	paceMost     = 200.0       // requests a second from which on a host is not slowed
	paceGrowth   = 1.1         // of the rate, a second
	minHosts     = 64          // that are known before any is looked for that is not needed
	staleQueue   = 24          // no refresh waits longer than this part of MaxStale, whatever the host asks
)

// class orders the sets that wait for a host.
type class uint8

const (
	newSets    class = iota // never usable, and not failing for long
	usableSets              // with keys
	otherSets
	classes
)

var weights = [classes]int{8, 6, 2}

// ticket is a request that waits for a connection to a host, or has it.
type ticket struct {
	host   *host
	set    *set
	urgent bool
	class  class
	cold   bool // the set was never usable
	since  clock.Time
	order  clock.Time    // the set whose last urgent round began longest ago goes first
	index  int           // in its queue; -1 when it is not there
	ready  chan struct{} // closed when it may go
	has    bool          // it may go, and has not been released
}

// hosts shares the connections of the process among hosts, and those of a host among sets.
type hosts struct {
	mu       sync.Mutex
	clock    clock.Clock
	most     int // requests under way
	maxStale time.Duration
	inUse    int
	cold     int // of them, for sets that were never usable
	byName   map[string]*host
	kept     int // of them, after the last sweep
}

// host is one host that is dialed.
type host struct {
	name   string
	inUse  [2]int // refreshes, urgent requests
	queues [2][classes]queue
	credit [2][classes]int
	spent  float64    // of urgentBurst
	heard  clock.Time // when a request last had an outcome other than silence
	served clock.Time // when it last gave a good answer
	flood  clock.Time // when a set last asked it in a flood of unknown keys
	filled clock.Time
	timer  *time.Timer
	pace   hostPace
}

func newHosts(most int, maxStale time.Duration, now clock.Clock) *hosts {
	return &hosts{most: most, maxStale: maxStale, clock: now, byName: map[string]*host{}}
}

// enqueue takes a place in the queue of the URL's host. The caller holds the set's mutex.
func (h *hosts) enqueue(rawURL string, s *set, urgent bool) *ticket {
	name := hostName(rawURL)
	now := h.clock()
	t := &ticket{
		set: s, urgent: urgent, since: now, order: s.pace.turn(), ready: make(chan struct{}), index: -1, class: otherSets,
	}
	if now.Since(t.order) >= restedTime {
		t.order = clock.Time{}
	}
	t.cold = s.neverUsable()
	switch {
	case t.cold && s.pace.failures() < 3:
		t.class = newSets
	case !t.cold:
		t.class = usableSets
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	t.host = h.byName[name]
	if t.host == nil {
		h.sweep()
		t.host = &host{name: name}
		h.byName[name] = t.host
	}
	if s.pace.flooded(now) {
		t.host.flood = now
	}
	t.push()
	h.dispatch(t.host, now)
	return t
}

// hostName names the host of a URL, the same for all ways to write it: a tenant whose metadata name a URL cannot choose to be
// counted apart.
func hostName(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return rawURL
	}
	port := "443"
	if u.Scheme == "http" {
		port = "80"
	}
	return strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")) + ":" + cmp.Or(u.Port(), port)
}

func (t *ticket) kind() int {
	if t.urgent {
		return 1
	}
	return 0
}

func (t *ticket) push() { heap.Push(&t.host.queues[t.kind()][t.class], t) }

// promote moves a ticket that waits to the queue of urgent requests.
func (h *hosts) promote(t *ticket) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t.urgent || t.index < 0 {
		return
	}
	heap.Remove(&t.host.queues[0][t.class], t.index)
	t.urgent = true
	t.push()
	h.dispatch(t.host, h.clock())
}

// wait returns when the ticket may go, or false when ctx ends first.
func (h *hosts) wait(ctx context.Context, t *ticket) bool {
	select {
	case <-t.ready:
		return true
	case <-ctx.Done():
	}
	h.mu.Lock()
	if !t.has {
		if t.index >= 0 {
			heap.Remove(&t.host.queues[t.kind()][t.class], t.index)
		}
		h.forget(t.host)
		h.mu.Unlock()
		return false
	}
	h.mu.Unlock()
	h.release(t)
	return false
}

// release gives the connection back.
func (h *hosts) release(t *ticket) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !t.has {
		return
	}
	t.has = false
	full := h.inUse == h.most || h.cold == h.most/2 // others may wait for the bounds of the process
	t.host.inUse[t.kind()]--
	h.inUse--
	if t.cold {
		h.cold--
	}
	now := h.clock()
	if full {
		h.share(now)
	} else {
		h.dispatch(t.host, now)
	}
	h.forget(t.host)
}

// share lets those go that wait for the bounds of the process: first for the hosts with the fewest requests under way.
func (h *hosts) share(now clock.Time) {
	var waiting []*host
	for _, o := range h.byName {
		if o.waits() {
			waiting = append(waiting, o)
		}
	}
	for len(waiting) > 0 && h.inUse < h.most {
		best, first := 0, waiting[0].first()
		for i, o := range waiting[1:] {
			if t := o.first(); t.before(first) {
				best, first = i+1, t
			}
		}
		h.dispatch(waiting[best], now)
		waiting = slices.Delete(waiting, best, best+1)
	}
}

// first returns the ticket of a host that waits that stands for it among other hosts.
func (o *host) first() (first *ticket) {
	for kind := range o.queues {
		for _, q := range o.queues[kind] {
			if len(q) > 0 && (first == nil || q[0].before(first)) {
				first = q[0]
			}
		}
	}
	return first
}

// before reports whether t goes before o, of another host: that with fewer requests under way, then a set that has not failed for
// long, then the one that has waited longest.
func (t *ticket) before(o *ticket) bool {
	if a, b := t.host.inUse[0]+t.host.inUse[1], o.host.inUse[0]+o.host.inUse[1]; a != b {
		return a < b
	}
	if a, b := t.class == newSets, o.class == newSets; a != b {
		return a
	}
	return o.since.After(t.since)
}

// forget drops a host that nobody uses. A host that is slowed is kept, and one that was asked in a flood.
func (h *hosts) forget(o *host) {
	now := h.clock()
	slowed := (o.pace.rate > 0 || o.pace.asked > 0) && now.Since(o.pace.began) < paceWindow
	flooded := !o.flood.IsZero() && now.Since(o.flood) < limitedTime
	if o.inUse != [2]int{} || o.waits() || slowed || flooded {
		return
	}
	if o.timer != nil {
		o.timer.Stop()
	}
	delete(h.byName, o.name)
}

// sweep forgets the hosts that were kept without being used, when many more are known than the last time.
func (h *hosts) sweep() {
	if len(h.byName) <= 2*h.kept+minHosts {
		return
	}
	for _, o := range h.byName {
		h.forget(o)
	}
	h.kept = len(h.byName)
}

func (o *host) waits() bool {
	for kind := range o.queues {
		for _, q := range o.queues[kind] {
			if len(q) > 0 {
				return true
			}
		}
	}
	return false
}

// dispatch lets those go that may. The caller holds mu.
func (h *hosts) dispatch(o *host, now clock.Time) {
	var later time.Duration
	for _, kind := range []int{1, 0} {
		for o.inUse[kind] < hostRequests && h.inUse < h.most {
			paced := o.pace.wait(now)
			// Callers of a usable set do not wait because others were asked to slow down, nor for those that wait for it.
			t := o.next(kind, h.cold < h.most/2 && (kind == 0 || paced == 0))
			if t == nil && (kind == 0 || paced == 0 || !o.waits()) {
				break
			}
			wait := o.urgentWait(kind, now)
			if t == nil || kind == 0 {
				wait = max(wait, paced)
			}
			if kind == 0 && now.Since(t.since) >= h.maxStale/staleQueue {
				wait = 0
			}
			if wait > 0 {
				if later == 0 || wait < later {
					later = wait
				}
				break
			}
			h.let(o, t, kind, now)
		}
	}
	if later > 0 {
		if o.timer != nil {
			o.timer.Stop()
		}
		o.timer = time.AfterFunc(later, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.dispatch(o, h.clock())
		})
	}
}

// let lets a ticket go.
func (h *hosts) let(o *host, t *ticket, kind int, now clock.Time) {
	heap.Remove(&o.queues[kind][t.class], t.index)
	o.credit[kind][t.class]--
	o.inUse[kind]++
	h.inUse++
	if t.cold {
		h.cold++
	}
	if kind == 1 {
		o.spent++
	}
	if o.pace.rate > 0 {
		o.pace.next = now.Add(time.Duration(float64(time.Second) / o.pace.rate))
	}
	t.has = true
	close(t.ready)
}

// next returns who goes next in a queue: the classes take turns by their weights. It is nil if nobody waits who may go.
func (o *host) next(kind int, cold bool) *ticket {
	for range 2 {
		var best *ticket
		some := false
		for c := range classes {
			q := o.queues[kind][c]
			if len(q) == 0 || q[0].cold && !cold {
				continue
			}
			some = true
			if o.credit[kind][c] > 0 && (best == nil || o.credit[kind][c] > o.credit[kind][best.class]) {
				best = q[0]
			}
		}
		if best != nil || !some {
			return best
		}
		for c := range classes {
			o.credit[kind][c] = weights[c]
		}
	}
	return nil
}
