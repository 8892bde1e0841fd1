package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// play is the whole run: faults at random in both regions, and in the middle the service is killed and started while one region
// is dark.
func (w *world) play(ctx context.Context) error {
	half := w.options.duration() / 2
	hold := min(10*time.Second, half/3)
	w.trouble(ctx, 10, half-hold)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := w.restart(ctx, hold); err != nil {
		return err
	}
	w.trouble(ctx, 20, w.options.duration()-time.Since(w.began)-3*time.Second)
	pause(ctx, w.options.duration()-time.Since(w.began))
	return context.Cause(ctx)
}

// trouble plays faults at random for a time; when it is over, so are they.
func (w *world) trouble(ctx context.Context, part uint64, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.flood(ctx, w.random(part))
	}()
	regions := make(chan struct{})
	for i, r := range w.regions {
		go func() {
			defer func() { regions <- struct{}{} }()
			w.spoil(ctx, r, w.random(part+1+uint64(i)))
		}()
	}
	for range w.regions {
		<-regions
	}
	<-done
}

// spoil has one fault after another in a region, and new keys in between and meanwhile.
func (w *world) spoil(ctx context.Context, r *region, random *rand.Rand) {
	deck := random.Perm(len(faults))
	for n := 0; ; n++ {
		quiet := between(random, 4*time.Second, 14*time.Second)
		rotates, share := random.Float64() < 0.6, random.Float64()
		kind, lasts := faults[deck[n%len(deck)]], between(random, 3*time.Second, 14*time.Second)
		inTheDark := random.Float64() < 0.3
		if !pause(ctx, time.Duration(share*float64(quiet))) {
			return
		}
		if rotates {
			w.rotate(r)
		}
		if !pause(ctx, time.Duration((1-share)*float64(quiet))) {
			return
		}
		if err := w.fault(ctx, r, kind, lasts, inTheDark); err != nil {
			w.stats.trouble(fmt.Errorf("%s: %s: %w", r.name, kind, err))
			return
		}
	}
}

func between(random *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(random.Int64N(int64(high-low)))
}

func (w *world) rotate(r *region) {
	if err := r.rotate(); err != nil {
		w.stats.trouble(fmt.Errorf("%s: rotation: %w", r.name, err))
	}
}

// fault plays one fault.
func (w *world) fault(ctx context.Context, r *region, f fault, lasts time.Duration, rotates bool) error {
	r.past.begin(&r.past.dark)
	over := w.events.begin(r.name, string(f))
	defer func() {
		r.past.end(&r.past.dark)
		over()
	}()
	switch f {
	case frozen:
		r.proxy.set(r.address, none) // so that there is no idle connection
		if err := r.process.freeze(); err != nil {
			return err
		}
		pause(ctx, lasts)
		err := r.process.thaw()
		r.proxy.set(r.address, none)
		return err
	case killed:
		r.process.kill()
		r.proxy.set(r.address, none)
		pause(ctx, lasts)
		return r.start(context.WithoutCancel(ctx))
	default:
		r.proxy.set(r.address, f)
		if rotates {
			w.rotate(r)
		}
		pause(ctx, lasts)
		r.proxy.set(r.address, none)
		return nil
	}
}

// flood now and then has tokens with unknown key IDs arrive, of one region.
func (w *world) flood(ctx context.Context, random *rand.Rand) {
	for pause(ctx, between(random, 8*time.Second, 70*time.Second)) {
		r := w.regions[random.IntN(len(w.regions))]
		r.past.begin(&r.past.floods)
		over := w.events.begin(r.name, "flood")
		pause(ctx, 5*time.Second)
		over()
		r.past.end(&r.past.floods)
	}
}

// restart kills the service while a region is dark, and starts it again; the region stays dark for a while. What the service
// knows of its keys then comes from the snapshots.
func (w *world) restart(ctx context.Context, hold time.Duration) error {
	west := w.regions[1]
	west.past.begin(&west.past.dark)
	west.proxy.set(west.address, hang)
	over := w.events.begin(west.name, string(hang))
	pause(ctx, hold/3)
	w.down.begin()
	started := w.events.begin("service", "killed")
	w.service.kill()
	for _, r := range w.regions { // what was noted of the answers of the old process does not count
		r.mu.Lock()
		for _, k := range r.keys {
			k.missed.forget()
		}
		r.mu.Unlock()
	}
	pause(ctx, time.Second/2)
	err := w.startService(ctx)
	w.down.end()
	started()
	w.stats.restarted(time.Now())
	pause(ctx, hold)
	west.proxy.set(west.address, none)
	west.past.end(&west.past.dark)
	over()
	return err
}
