package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
)

// world is everything around the service, and the service.
type world struct {
	options options
	dir     string
	began   time.Time
	regions []*region
	down    outages
	stats   *stats
	rules   *revocation.List // the operator's
	probe   lateness
	slowest *clock // how late timers were, second by second
	events  events

	mu      sync.Mutex
	service *process
	config  serviceConfig
	watched []*token // that are or will be revoked

	address atomic.Pointer[serviceReady]
}

// newWorld starts the issuers and the service.
func newWorld(ctx context.Context, o options) (*world, error) {
	dir, err := os.MkdirTemp("", "soak-")
	if err != nil {
		return nil, err
	}
	w := &world{options: o, dir: dir, slowest: &clock{}}
	life := o.duration() + time.Hour
	for _, r := range []struct{ name, alg string }{{"east", "RS256"}, {"west", "ES256"}} {
		made, err := newRegion(ctx, r.name, r.alg, dir, life)
		if err != nil {
			w.close()
			return nil, fmt.Errorf("%s: %w", r.name, err)
		}
		w.regions = append(w.regions, made)
	}
	if w.rules, err = revocation.New(revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{rules(dir)}}}); err != nil {
		w.close()
		return nil, err
	}
	w.config = serviceConfig{East: w.regions[0].proxy.url(), West: w.regions[1].proxy.url(), Dir: dir}
	if err := w.startService(ctx); err != nil {
		w.close()
		return nil, err
	}
	for _, r := range w.regions {
		if err := r.fill(ctx); err != nil {
			w.close()
			return nil, err
		}
	}
	return w, nil
}

// startService runs the service, at the addresses that it had before.
func (w *world) startService(ctx context.Context) error {
	var ready serviceReady
	p, err := start(ctx, "service", w.config, &ready)
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.service = p
	w.config.HTTP, w.config.GRPC, w.config.Debug = ready.HTTP, ready.GRPC, ready.Debug
	w.mu.Unlock()
	w.address.Store(&ready)
	return nil
}

// close ends every process.
func (w *world) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.service != nil {
		w.service.kill()
	}
	for _, r := range w.regions {
		r.mu.Lock()
		if r.process != nil {
			r.process.kill()
		}
		r.mu.Unlock()
	}
	_ = os.RemoveAll(w.dir)
}

// random returns a source of chance for a part of the run: the same for the same seed.
func (w *world) random(part uint64) *rand.Rand {
	return rand.New(rand.NewPCG(w.options.seed, part)) //nolint:gosec // reproducible on purpose
}

// pids are those of the processes, this one first.
func (w *world) pids() []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	pids := make([]int, 0, 2+len(w.regions))
	pids = append(pids, os.Getpid(), w.service.pid())
	for _, r := range w.regions {
		r.mu.Lock()
		pids = append(pids, r.process.pid())
		r.mu.Unlock()
	}
	return pids
}

// pickWatched returns a token that is, or soon will be, revoked.
func (w *world) pickWatched(random *rand.Rand) *token {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.watched) == 0 {
		return nil
	}
	t := w.watched[random.IntN(len(w.watched))]
	if !t.key.withdrawn.get().IsZero() {
		return nil // it would use up the fetches for unknown key IDs
	}
	return t
}

// revoke is the operator: now and then a token that has been in use is revoked, by its jti or its subject.
func (w *world) revoke(ctx context.Context) {
	random := w.random(1)
	for pause(ctx, time.Second+rand.N(2*time.Second)) { //nolint:gosec // a moment
		r := w.regions[random.IntN(len(w.regions))]
		what := []kind{userKind, machineKind}[random.IntN(2)]
		t := r.pick(what, random)
		if t == nil || t.key.proven.get().IsZero() {
			continue
		}
		w.mu.Lock()
		w.watched = append(w.watched, t)
		w.watched = w.watched[max(0, len(w.watched)-watchedKept):]
		w.mu.Unlock()
		if !pause(ctx, 2*time.Second) {
			return
		}
		rule := revocation.Rule{Provider: authorityID, TokenID: t.id, ExpiresAt: t.expires}
		if what == userKind {
			rule = revocation.Rule{Provider: authorityID, Subject: t.sub, ExpiresAt: t.expires}
		}
		t.revokedFrom.set(time.Now())
		if _, err := w.rules.Add(ctx, rule); err != nil {
			if ctx.Err() == nil {
				w.stats.trouble(fmt.Errorf("operator: %w", err))
			}
			continue
		}
		t.revokedBy.set(time.Now())
		w.stats.revocation()
	}
}

// clock remembers how late timers were, in each process.
type clock struct {
	mu    sync.Mutex
	notes []note
}

type note struct {
	at   time.Time
	late time.Duration
}

func (c *clock) note(late time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notes = append(c.notes, note{time.Now(), late})
}

// worst is the worst that was noted about the time from begin to end, and a little later, as a note is about what was before it.
func (c *clock) worst(begin, end time.Time) (late time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.notes {
		if n.at.After(begin) && n.at.Before(end.Add(2*sampleEvery)) {
			late = max(late, n.late)
		}
	}
	return late
}

// event is something that was done to the world.
type event struct {
	span
	where, what string
}

type events struct {
	mu  sync.Mutex
	all []event
}

func (e *events) begin(where, what string) (end func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	i := len(e.all)
	e.all = append(e.all, event{span{From: time.Now()}, where, what})
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.all[i].To = time.Now()
	}
}
