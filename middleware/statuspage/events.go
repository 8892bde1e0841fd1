package statuspage

import (
	"sync"
	"time"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/revocation"
)

// event is a change of the failover of a provider, or of the revocation rules.
type event struct {
	Time     time.Time
	Provider string // "" for the rules
	Kind     string // moved, pinned, unpinned, expired (a pin), health_changed, store_changed; rules for the rules
	Region   string
	From     string   // the region that was active before, for moved
	Cause    string   // for moved
	Health   string   // of Region, for health_changed
	Note     string   // of the operator, for moved and pinned
	Reasons  []string // for moved and health_changed
	Problem  string   // of the store
	Rules    int
	Epoch    uint64 // of the rules
}

// events keeps the last events. It is safe for concurrent use.
type events struct {
	mu    sync.Mutex // guards what follows
	ring  [maxEvents]event
	count int // of all that came
}

func (e *events) observer() regionjwt.Observer {
	return regionjwt.Observer{Failover: e.failover, Revocation: e.revocation}
}

// failover keeps the differences of two states of a controller.
func (e *events) failover(before, now failover.Status) {
	at := time.Now().UTC()
	keep := func(one event) {
		one.Time, one.Provider = at, now.Provider
		e.keep(one)
	}
	for i, r := range now.Regions {
		if i < len(before.Regions) && r.Health != before.Regions[i].Health {
			keep(event{Kind: "health_changed", Region: r.Region, Health: r.Health, Reasons: reasons(r.Why)})
		}
	}
	switch {
	case now.Active != before.Active:
		keep(event{Kind: "moved", Region: now.Active, From: before.Active, Cause: now.Cause, Note: now.Note, Reasons: now.Why})
	case now.Pinned && (!before.Pinned || now.Replica.Epoch != before.Replica.Epoch):
		keep(event{Kind: "pinned", Region: now.Active, Note: now.Note})
	}
	switch {
	case !before.Pinned || now.Pinned:
	case !before.Expires.IsZero() && !at.Before(before.Expires):
		keep(event{Kind: "expired", Region: before.Active})
	default:
		keep(event{Kind: "unpinned", Region: before.Active})
	}
	if now.Replica.StoreProblem != before.Replica.StoreProblem {
		keep(event{Kind: "store_changed", Problem: now.Replica.StoreProblem})
	}
}

// reasons are the lines of a reason, if there is one.
func reasons(why string) []string {
	if why == "" {
		return nil
	}
	return []string{why}
}

// revocation keeps a change of the rules.
func (e *events) revocation(_, now revocation.Status) {
	e.keep(event{
		Time: time.Now().UTC(), Kind: "rules", Rules: now.Rules, Epoch: now.Replica.Epoch, Problem: now.Replica.StoreProblem,
	})
}

func (e *events) keep(one event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ring[e.count%maxEvents] = one
	e.count++
}

// last returns the events that are kept, the latest first, and how many there were before them.
func (e *events) last() (all []event, earlier int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range min(e.count, maxEvents) {
		all = append(all, e.ring[(e.count-1-i)%maxEvents])
	}
	return all, e.count - len(all)
}
