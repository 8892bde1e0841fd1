package regionjwt

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/failover/monitor"
	"github.com/regionjwt/regionjwt/internal/handover"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/verifier"
)

var errNotMade = errors.New("regionjwt: the Validator was not made by New")

// made reports whether New has made v.
func (v *Validator) made() bool { return v != nil && v.keys != nil }

// checker returns the verifier; that of a Validator that New has not made knows no keys.
func (v *Validator) checker() *verifier.Verifier {
	if !v.made() {
		return nil
	}
	return v.verifier.Load()
}

// Verify verifies a token: see verifier.Verifier.
func (v *Validator) Verify(ctx context.Context, token string) (*verifier.Token, error) {
	return v.checker().Verify(ctx, token)
}

// Recheck checks a verified token again: see verifier.Verifier.
func (v *Validator) Recheck(ctx context.Context, t *verifier.Token) error {
	return v.checker().Recheck(ctx, t)
}

// Changed returns a channel that is closed when verified tokens should be checked again: see verifier.Verifier.
func (v *Validator) Changed() <-chan struct{} { return v.checker().Changed() }

// Run refreshes keys ahead of need, replicates revocation rules and pins, probes regions, polls for verdicts of monitors, and
// fails over, until ctx ends, and returns ctx's error. Tokens are verified without it, too: then keys are fetched when a token
// needs them. A fetch under way when ctx ends goes on for seconds at most.
func (v *Validator) Run(ctx context.Context) error {
	if v.made() && v.monitors != nil {
		var ended sync.WaitGroup
		defer ended.Wait()
		ended.Go(func() { _ = v.monitors.Run(ctx) })
	}
	errs := v.each(ctx, (*jwks.Cache).Run, (*revocation.List).Run, (*failover.Controller).Run)
	byContext := func(err error) bool { return errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx)) }
	other := func(err error) bool { return err != nil && !byContext(err) }
	if ctx != nil && ctx.Err() != nil && !slices.ContainsFunc(errs, other) {
		return ctx.Err()
	}
	return errors.Join(errs...)
}

// Preload fetches the keys, and loads the rules and pins once. It waits for the answers or for ctx, and returns every problem as
// one joined error. Without it, all of that happens when it is first needed.
func (v *Validator) Preload(ctx context.Context) error {
	return errors.Join(v.each(ctx, (*jwks.Cache).Preload, (*revocation.List).Load, (*failover.Controller).Load)...)
}

// each calls one function of each part, all at once, and returns their errors.
func (v *Validator) each(
	ctx context.Context, keys func(*jwks.Cache, context.Context) error, rules func(*revocation.List, context.Context) error,
	controller func(*failover.Controller, context.Context) error,
) []error {
	if !v.made() {
		return []error{errNotMade}
	}
	var parts errgroup.Group
	errs := make([]error, 2+len(v.controllers))
	parts.Go(func() error { errs[0] = keys(v.keys, ctx); return nil })
	if v.rules != nil {
		parts.Go(func() error { errs[1] = rules(v.rules, ctx); return nil })
	}
	next := 2
	for _, c := range v.controllers {
		at := &errs[next]
		next++
		parts.Go(func() error { *at = controller(c, ctx); return nil })
	}
	_ = parts.Wait()
	return errs
}

// Update replaces the policies, and keeps everything else of the Config. Key sets whose URLs and HTTP client stay keep their
// keys: give a provider the same *http.Client again, not a new one. A provider that Config.Failover names must stay, with regions
// of the same names in the same order; its controller then probes their new URLs. If there is a problem with the policies it
// changes nothing, and returns every problem as one joined error.
func (v *Validator) Update(policies []verifier.Policy) error {
	if !v.made() {
		return errNotMade
	}
	fresh, err := v.update(policies)
	v.warn(fresh)
	return err
}

func (v *Validator) update(policies []verifier.Policy) (fresh []warning, err error) {
	v.updating.Lock()
	defer v.updating.Unlock()
	wired := v.wired(policies)
	// A temporary Verifier reports every problem with the policies before any key is dropped.
	_, err = verifier.New(wired, noKeys{}, verifier.Config{CacheSize: -1})
	follow, problems := v.checkControllers(policies)
	if err := errors.Join(err, problems); err != nil {
		return nil, err
	}
	if err := v.keys.Update(providersOf(policies)); err != nil { // first: new policies find their keys
		return nil, err
	}
	v.policies = kept(policies)
	for _, apply := range follow {
		apply()
	}
	return v.newWarnings(policies), v.verifier.Load().Update(wired)
}

// checkControllers reports providers with failover that policies do not have, have with other regions, or have in a way that
// their controllers cannot work with. It returns functions that give the controllers their providers.
func (v *Validator) checkControllers(policies []verifier.Policy) (follow []func(), err error) {
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(v.controllers)) {
		i := slices.IndexFunc(policies, func(p verifier.Policy) bool { return p.Provider.ID == id })
		if i < 0 {
			errs = append(errs, fmt.Errorf("regionjwt: provider %q has failover, and must stay in the policies", id))
			continue
		}
		was := slices.IndexFunc(v.policies, func(p keptPolicy) bool { return p.providerID == id })
		same := func(a, b issuer.Region) bool { return a.Name == b.Name }
		if !slices.EqualFunc(policies[i].Provider.Regions, v.policies[was].regions, same) {
			errs = append(errs, fmt.Errorf("regionjwt: provider %q has failover, and must keep its regions and their order", id))
			continue
		}
		apply, err := handover.Prepare(v.controllers[id], v.reached(policies[i].Provider))
		errs, follow = append(errs, err), append(follow, apply)
	}
	return follow, errors.Join(errs...)
}

// reached returns a provider with the HTTP client that its keys are fetched with, so that probes reach what fetches reach.
func (v *Validator) reached(p issuer.Provider) issuer.Provider {
	if p.HTTPClient == nil {
		p.HTTPClient = v.client
	}
	return p
}

// noKeys is a source of keys that knows none.
type noKeys struct{}

func (noKeys) Lookup(context.Context, jwks.Query) jwks.Result { return jwks.Result{} }

func (noKeys) Changed() <-chan struct{} { return nil }

// Ready returns nil if tokens can be verified: each provider has usable keys for at least one region, and the revocation rules
// are known if they must be, and not stale. Without IDs it looks at every provider.
func (v *Validator) Ready(providerIDs ...string) error {
	if !v.made() {
		return errNotMade
	}
	return errors.Join(v.keys.Ready(providerIDs...), v.rulesKnown())
}

// rulesKnown returns an error if tokens are rejected because the revocation rules are not known.
func (v *Validator) rulesKnown() error {
	if v.rules == nil || v.unknownRules {
		return nil
	}
	status := v.rules.Status()
	for _, s := range append([]revocation.Status{status}, status.Signals...) {
		switch r := s.Replica; {
		case r.Origin == label.None:
			return errors.New("regionjwt: the revocation rules are not known yet")
		case r.Stale:
			return errors.New("regionjwt: the revocation rules are stale: " +
				"the newest proof that the stores withhold none is older than Replica.MaxSilence")
		}
	}
	return nil
}

// Revocation returns the revocation rules, or nil if Config.Revocation is nil.
func (v *Validator) Revocation() *revocation.List {
	if !v.made() {
		return nil
	}
	return v.rules
}

// Failover returns the controller of a provider, or nil if Config.Failover does not name it.
func (v *Validator) Failover(providerID string) *failover.Controller {
	if !v.made() {
		return nil
	}
	return v.controllers[providerID]
}

// Monitors returns what accepts the verdicts of monitors, an http.Handler for an internal listener, or nil if Config.Monitors is
// nil. Run polls the stores of Config.Monitors.
func (v *Validator) Monitors() *monitor.Receiver {
	if !v.made() {
		return nil
	}
	return v.monitors
}

// Status is the state of a Validator. It is a plain copy.
type Status struct {
	Ready      bool               `json:"ready"` // see Validator.Ready
	Keys       []jwks.Status      `json:"keys"`  // one for each JWKS URL of each region
	Revocation *revocation.Status `json:"revocation,omitempty"`
	Failover   []failover.Status  `json:"failover,omitempty"` // by provider ID
}

// Status returns the state of all parts. It answers from memory.
func (v *Validator) Status() Status {
	if !v.made() {
		return Status{}
	}
	s := Status{Ready: v.Ready() == nil, Keys: v.keys.Status()}
	if v.rules != nil {
		rules := v.rules.Status()
		s.Revocation = &rules
	}
	for _, id := range slices.Sorted(maps.Keys(v.controllers)) {
		s.Failover = append(s.Failover, v.controllers[id].Status())
	}
	return s
}
