package regionjwt

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/verifier"
)

// Observer is a set of functions that are called with what a Validator does. Each may be nil. They are called as the hooks of the
// parts are: see verifier.Config.OnDecision, jwks.Config.OnFetch, revocation.Config.OnChange and failover.Config.OnChange. They
// must be safe for concurrent use and must not block. A panic is recovered.
type Observer struct {
	Decision   func(context.Context, verifier.Decision)
	Fetch      func(jwks.Fetch)
	Revocation func(old, new revocation.Status) //nolint:predeclared // it is the new status
	Failover   func(old, new failover.Status)   //nolint:predeclared // it is the new status
}

// observers calls several Observers. It is safe for concurrent use.
type observers struct {
	mu  sync.Mutex // of those that change all
	all atomic.Pointer[[]*Observer]
}

func (o *observers) list() []*Observer {
	if all := o.all.Load(); all != nil {
		return *all
	}
	return nil
}

func (o *observers) add(one Observer) (stop func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	added := &one
	all := append(slices.Clip(o.list()), added)
	o.all.Store(&all)
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		left := slices.DeleteFunc(slices.Clone(o.list()), func(other *Observer) bool { return other == added })
		o.all.Store(&left)
	}
}

// each calls f for each observer, under no lock.
func (o *observers) each(what string, f func(*Observer)) {
	for _, one := range o.list() {
		guard.Report(guard.Call(what, func() { f(one) }))
	}
}

func (o *observers) decision(ctx context.Context, d verifier.Decision) {
	o.each("Observer.Decision", func(one *Observer) {
		if one.Decision != nil {
			one.Decision(ctx, d)
		}
	})
}

func (o *observers) fetch(f jwks.Fetch) {
	o.each("Observer.Fetch", func(one *Observer) {
		if one.Fetch != nil {
			one.Fetch(f)
		}
	})
}

func (o *observers) revocation(before, after revocation.Status) {
	o.each("Observer.Revocation", func(one *Observer) {
		if one.Revocation != nil {
			one.Revocation(before, after)
		}
	})
}

func (o *observers) failover(before, after failover.Status) {
	o.each("Observer.Failover", func(one *Observer) {
		if one.Failover != nil {
			one.Failover(before, after)
		}
	})
}

// Observe calls the functions of o, in addition to the hooks of Config, until stop is called. Calling stop again does nothing.
// Call Observe before the Validator is used: the first call with a Decision empties the cache of verified tokens.
func (v *Validator) Observe(o Observer) (stop func()) {
	if !v.made() {
		return func() {}
	}
	stop = v.observers.add(o)
	if o.Decision != nil {
		v.observeDecisions()
	}
	return stop
}

// observeDecisions makes the verifier report decisions, which takes time that is only spent if somebody asks for them.
func (v *Validator) observeDecisions() {
	v.updating.Lock()
	defer v.updating.Unlock()
	if v.tokens.OnDecision != nil {
		return
	}
	v.tokens.OnDecision = v.observers.decision
	policies := v.wired(given(v.policies))
	next, err := verifier.New(policies, v.source, v.tokens)
	if err != nil {
		return // it is what New has checked
	}
	before := v.verifier.Swap(next)
	_ = before.Update(policies) // closes the channels of open streams, which then ask the new one
}

// fetched reports whether the regions answer to the controllers, and tells the observers.
func (v *Validator) fetched(f jwks.Fetch) {
	if c := v.controllers[f.Provider]; c != nil {
		began := time.Now().Add(-f.Duration)
		switch {
		case f.Failure == "":
			c.Report(f.Region, "keys", began, nil)
		case f.Outage:
			c.Report(f.Region, "keys", began, failure(f.Failure))
		}
	}
	v.observers.fetch(f)
}

// failure is the label of a failed fetch, never text of a server.
type failure string

func (f failure) Error() string { return string(f) }

// Failure returns the label for package failover.
func (f failure) Failure() string { return string(f) }
