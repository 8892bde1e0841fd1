package statuspage

import (
	"sync"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/revocation"
)

// Events keeps the last 50 events for a Page. Its methods are made to be OnEvent of the parts that are watched, which exist
// before the Page does:
//
//	var events statuspage.Events
//	controller, err := failover.New(failover.Config{OnEvent: events.Failover, ...})
//	rules, err := revocation.New(revocation.Config{OnEvent: events.Rules, ...})
//	page, err := statuspage.New(statuspage.Config{Events: &events, ...})
//
// The zero value is empty and ready. It is safe for concurrent use, and its methods never wait for anything but each other. It
// must not be copied after its first use.
type Events struct {
	mu     sync.Mutex // guards what follows
	ring   [MaxEvents]Event
	count  int // of all that came
	missed int // that were dropped before they came
}

// Failover takes in an event of a failover.Controller. What the store said is not kept, but what it means.
func (e *Events) Failover(f failover.Event) {
	kept := Event{
		Time: f.At.UTC(), About: "failover", Authority: f.State.Provider, Kind: string(f.Kind), Region: f.Region, From: f.From,
		Cause: string(f.Cause),
	}
	switch f.Kind {
	case failover.Moved, failover.Pinned:
		kept.Reason = f.State.Reason
	case failover.HealthChanged:
		for _, r := range f.State.Regions {
			if r.Name == f.Region {
				kept.Health = string(r.Health)
			}
		}
	case failover.StoreChanged:
		kept.Trouble = string(f.State.Trouble)
	case failover.Resumed:
	}
	e.keep(kept, f.Missed)
}

// Rules takes in an event of a revocation.List.
func (e *Events) Rules(r revocation.Event) {
	e.keep(Event{
		Time: r.At.UTC(), About: "rules", Kind: "changed", Rules: r.Rules, Epoch: r.Epoch, Trouble: string(r.Trouble),
		Source: r.Source,
	}, 0)
}

func (e *Events) keep(event Event, missed int) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ring[e.count%MaxEvents] = event
	e.count++
	e.missed += missed
}

// last returns the events that are kept, the latest first, and how many there were before them. A nil e has none.
func (e *Events) last() (events []Event, missed int) {
	events = []Event{}
	if e == nil {
		return events, 0
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range min(e.count, MaxEvents) {
		events = append(events, e.ring[(e.count-1-i)%MaxEvents])
	}
	return events, e.missed + e.count - len(events)
}
