package regionjwt

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/failover/monitor"
	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/issuercheck"
	"github.com/regionjwt/regionjwt/internal/joined"
	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/internal/replica"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// Config configures a Validator. Policies is required. The zero value of every other field is the default.
type Config struct {
	// Policies says which tokens are accepted: one Policy for each provider.
	Policies []verifier.Policy

	// Keys says how key sets are fetched and cached.
	Keys jwks.Config
	// Tokens says how tokens are verified. Tokens.Revocation is asked in addition to Revocation: a token is rejected if either
	// says so.
	Tokens verifier.Config
	// Revocation configures the revocation rules. Nil means that there are none.
	Revocation *revocation.Config
	// Failover configures a failover.Controller for each provider with failover, by the provider's ID. Fetches of key sets are
	// reported to it, and its probes use the same HTTP client: Provider.HTTPClient, or else Keys.HTTPClient. It decides which
	// region is active; tokens of every region verify unless RejectInactive is set.
	Failover map[string]failover.Config
	// Monitors configures monitors outside of the service, whose signed verdicts on the health of regions go to the controllers
	// of Failover: see package monitor. Nil means that there are none.
	Monitors *monitor.Config

	// WrapKeys returns the source of keys that the Validator uses, which embeds the one that it gets. Nil means no wrapper.
	WrapKeys func(jwks.Source) jwks.Source
	// Logger gets a line for each change of state of a part that has no Logger of its own. Nil is silent.
	Logger *slog.Logger
}

// Validator verifies tokens and runs the parts that it was configured with. It is safe for concurrent use. Methods of a nil or
// zero Validator return an error that names New.
type Validator struct {
	keys         *jwks.Cache
	source       jwks.Source // keys, or what wraps them
	verifier     atomic.Pointer[verifier.Verifier]
	rules        *revocation.List                // nil without
	unknownRules bool                            // tokens are accepted while the rules are not known
	controllers  map[string]*failover.Controller // by provider ID
	rejecting    map[string]bool                 // the providers of which tokens of inactive regions are rejected
	monitors     *monitor.Receiver               // nil without
	tokens       verifier.Config
	client       *http.Client // Config.Keys.HTTPClient
	observers    observers

	log      *slog.Logger
	updating sync.Mutex // guards what follows, and the order of updates
	policies []keptPolicy
	warned   map[warning]bool // about the policies
}

// New returns a Validator, or every problem with c as one joined error. It does no I/O and starts no goroutine: keys are fetched
// when a token first needs them, or by Run.
func New(c Config) (*Validator, error) {
	v := &Validator{
		tokens: c.Tokens, policies: kept(c.Policies), client: c.Keys.HTTPClient,
		controllers: map[string]*failover.Controller{}, rejecting: map[string]bool{},
	}
	v.observers.add(Observer{Decision: c.Tokens.OnDecision, Fetch: c.Keys.OnFetch})
	errs := []error{c.checkNils(), c.checkDocuments(), v.newFailover(&c), v.newMonitors(&c), v.newRevocation(&c), v.newKeys(&c)}
	source := v.source
	if source == nil {
		source = noKeys{} // to find every other problem, too
	}
	if v.tokens.OnDecision != nil {
		v.tokens.OnDecision = v.observers.decision
	}
	checker, err := verifier.New(v.wired(c.Policies), source, v.tokens)
	if err := errors.Join(errors.Join(errs...), err); err != nil {
		return nil, err
	}
	v.verifier.Store(checker)
	v.log = guard.Logger(c.Logger)
	c.warnOfSignals()
	v.warn(v.newWarnings(c.Policies))
	return v, nil
}

func (v *Validator) newKeys(c *Config) error {
	kc := c.Keys
	if kc.Logger == nil {
		kc.Logger = c.Logger
	}
	kc.OnFetch = v.fetched
	keys, err := jwks.New(providersOf(c.Policies), kc)
	if err != nil { // package verifier reports the problems of providers; package jwks need not repeat them
		if keys, err = jwks.New(distinct(providersOf(c.Policies)), kc); err != nil {
			return err
		}
	}
	v.keys, v.source = keys, keys
	if c.WrapKeys != nil {
		if v.source = c.WrapKeys(keys); nils.Is(v.source) {
			v.source = nil
			return errors.New("regionjwt: WrapKeys returned nil")
		}
	}
	return nil
}

func (v *Validator) newRevocation(c *Config) error {
	if c.Revocation == nil {
		return nil
	}
	rc := *c.Revocation
	if rc.Logger == nil {
		rc.Logger = c.Logger
	}
	v.observers.add(Observer{Revocation: rc.OnChange})
	rc.OnChange = v.observers.revocation
	rules, err := revocation.New(rc)
	if err != nil {
		return err
	}
	v.rules, v.unknownRules = rules, rc.AllowUnknownRules
	if nils.Typed(c.Tokens.Revocation) {
		return nil // package verifier reports it
	}
	v.tokens.Revocation = rules
	if c.Tokens.Revocation != nil {
		v.tokens.Revocation = joined.Of[*verifier.Token, verifier.Revocation]{rules, c.Tokens.Revocation}
	}
	return nil
}

func (v *Validator) newFailover(c *Config) error {
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(c.Failover)) {
		fc := c.Failover[id]
		i := slices.IndexFunc(c.Policies, func(p verifier.Policy) bool { return p.Provider.ID == id })
		if i < 0 {
			errs = append(errs, fmt.Errorf("regionjwt: Failover: provider %q is not in Policies", id))
			continue
		}
		if fc.Logger == nil {
			fc.Logger = c.Logger
		}
		if own := fc.OnChange; own != nil {
			v.observers.add(Observer{Failover: func(before, after failover.Status) {
				if after.Provider == id { // the observers get the changes of every provider
					own(before, after)
				}
			}})
		}
		fc.OnChange = v.observers.failover
		controller, err := failover.New(v.reached(c.Policies[i].Provider), fc)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		v.controllers[id], v.rejecting[id] = controller, fc.RejectInactive
	}
	return errors.Join(errs...)
}

func (v *Validator) newMonitors(c *Config) (err error) {
	if c.Monitors == nil {
		return nil
	}
	if len(c.Failover) == 0 {
		return errors.New("regionjwt: Monitors has no effect without Failover")
	}
	mc := *c.Monitors
	if mc.Logger == nil {
		mc.Logger = c.Logger
	}
	controllers := slices.Collect(maps.Values(v.controllers))
	if len(controllers) == 0 { // each has a problem, which is reported
		return nil
	}
	if v.monitors, err = monitor.New(mc, controllers...); err != nil {
		return fmt.Errorf("regionjwt: Monitors: %w", err)
	}
	return nil
}

// checkNils reports what is set and is nil, of that which the parts do not look at.
func (c *Config) checkNils() error {
	if nils.Logger(c.Logger) {
		return errors.New("regionjwt: Logger has no handler: make it with slog.New")
	}
	return nil
}

// checkDocuments reports parts that would replace each other's documents, because they share a place and a name in it.
func (c *Config) checkDocuments() error {
	type part struct {
		field   string
		replica store.ReplicaConfig
	}
	var parts []part
	if c.Revocation != nil {
		parts = append(parts, part{"Revocation", replica.Default(c.Revocation.Replica, replica.RulesName)})
		for i, s := range c.Revocation.Signals {
			if s.Replica.Name != "" { // package revocation compares them with each other
				parts = append(parts, part{fmt.Sprintf("Revocation.Signals[%d]", i), s.Replica})
			}
		}
	}
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(c.Failover)) {
		one := part{fmt.Sprintf("Failover[%q]", id), replica.Default(c.Failover[id].Replica, replica.PinsName(id))}
		for _, other := range parts {
			if replica.Collide(other.replica, one.replica) {
				errs = append(errs, fmt.Errorf("regionjwt: %s.Replica.Name is %q, as that of %s in the same store: "+
					"leave Name empty, or give each part a name of its own", one.field, one.replica.Name, other.field))
				break
			}
		}
		parts = append(parts, one)
	}
	return errors.Join(errs...)
}

// keptPolicy is what a Verifier needs of a Policy. What policies of different providers have in common is kept once.
type keptPolicy struct {
	providerID string
	regions    []issuer.Region
	rest       *verifier.Policy
}

func kept(policies []verifier.Policy) []keptPolicy {
	all := make([]keptPolicy, 0, len(policies))
	var rest *verifier.Policy
	for _, p := range policies {
		provider := p.Provider
		p.Provider = issuer.Provider{}
		if !reflect.DeepEqual(&p, rest) { // which it is not with functions
			rest = &p
		}
		all = append(all, keptPolicy{provider.ID, provider.Regions, rest})
	}
	return all
}

// given returns the policies for a Verifier.
func given(policies []keptPolicy) []verifier.Policy {
	all := make([]verifier.Policy, 0, len(policies))
	for _, k := range policies {
		p := *k.rest
		p.Provider = issuer.Provider{ID: k.providerID, Regions: k.regions}
		all = append(all, p)
	}
	return all
}

func providersOf(policies []verifier.Policy) []issuer.Provider {
	all := make([]issuer.Provider, 0, len(policies))
	for _, p := range policies {
		all = append(all, p.Provider)
	}
	return all
}

// distinct leaves out the providers that are not valid, and those of whose ID or issuers an earlier one is.
func distinct(providers []issuer.Provider) []issuer.Provider {
	taken := map[string]bool{}
	return slices.DeleteFunc(providers, func(p issuer.Provider) bool {
		names := []string{"id " + p.ID}
		for _, r := range p.Regions {
			names = append(names, r.Issuers...)
		}
		if issuercheck.Validate(p) != nil || slices.ContainsFunc(names, func(name string) bool { return taken[name] }) {
			return true
		}
		for _, name := range names {
			taken[name] = true
		}
		return false
	})
}

// wired returns the policies with the region policies of the controllers that reject inactive regions.
func (v *Validator) wired(policies []verifier.Policy) []verifier.Policy {
	all := slices.Clone(policies)
	for i := range all {
		controller, own := v.controllers[all[i].Provider.ID], all[i].RegionPolicy
		switch {
		case !v.rejecting[all[i].Provider.ID]:
		case own == nil:
			all[i].RegionPolicy = controller.Admit
		default:
			all[i].RegionPolicy = func(provider string, regions []string, issuedAt time.Time) error {
				if err := own(provider, regions, issuedAt); err != nil {
					return err
				}
				return controller.Admit(provider, regions, issuedAt)
			}
		}
	}
	return all
}
