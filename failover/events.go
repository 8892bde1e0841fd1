package failover

import (
	"context"
	"log/slog"
)

// maxEvents bounds the events that wait for a slow OnEvent.
const maxEvents = 1024

// queue keeps events until they are told. The Controller's mutex guards it.
type queue struct {
	waiting []Event
	missed  int
	telling bool
}

// note queues an event; its State is filled in by tell, when all of the change has been made. The caller holds mu.
func (c *Controller) note(e Event) {
	q := &c.events
	if len(q.waiting) == maxEvents {
		q.waiting = q.waiting[1:]
		q.missed++
	}
	q.waiting = append(q.waiting, e)
}

// noteReason queues an event that a source of evidence has caused. The caller holds mu.
func (c *Controller) noteReason(e Event, why reason) {
	e.Source, e.Class, e.Failures = why.source, why.class, why.failures
	c.note(e)
}

// tell gives up mu and tells of all events that wait, in order. Where somebody is at it already, that one goes on; so a
// callback may call the Controller.
func (c *Controller) tell() {
	q := &c.events
	for i := range q.waiting {
		if q.waiting[i].State.Authority == "" {
			q.waiting[i].State = c.State()
		}
	}
	if q.telling || len(q.waiting) == 0 {
		c.mu.Unlock()
		return
	}
	q.telling = true
	for len(q.waiting) > 0 {
		e := q.waiting[0]
		q.waiting = q.waiting[1:]
		e.Missed, q.missed = q.missed, 0
		c.mu.Unlock()
		c.deliver(e)
		c.mu.Lock()
	}
	q.telling = false
	c.mu.Unlock()
}

// deliver logs an event and hands it to OnEvent.
func (c *Controller) deliver(e Event) {
	level := slog.LevelInfo
	if e.Kind == Moved && e.Cause == CauseFailed || e.Kind == HealthChanged && e.State.health(e.Region) == Unhealthy ||
		e.Kind == StoreChanged && e.State.Trouble != "" {
		level = slog.LevelWarn
	}
	c.config.Logger.LogAttrs(context.Background(), level, "failover", slog.String("event", string(e.Kind)),
		slog.String("authority", e.State.Authority), slog.String("region", e.Region), slog.String("from", e.From),
		slog.String("cause", string(e.Cause)), slog.String("active", e.State.Active), slog.Bool("manual", e.State.Manual),
		slog.String("health", string(e.State.health(e.Region))), slog.String("source", e.Source), slog.String("error", e.Class),
		slog.Int("failures", e.Failures), slog.String("trouble", string(e.State.Trouble)),
		slog.Uint64("generation", e.State.Generation))
	if c.config.OnEvent == nil {
		return
	}
	_ = c.guarded("OnEvent", func() { c.config.OnEvent(e) })
}

// health returns the health of a region; "" where there is none of that name.
func (s *State) health(name string) Health {
	for _, r := range s.Regions {
		if r.Name == name {
			return r.Health
		}
	}
	return ""
}
