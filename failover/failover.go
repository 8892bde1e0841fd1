// Package failover decides which region of a provider is active, and says why. A [Controller] judges the health of each region by
// reports (fetches of keys, token requests, its own probes), keeps the region that an operator has pinned, and fails over by
// itself if Config.Automatic is set.
//
// Other parts ask it: package clientcredentials asks which region to request a token from first, and the metadata of a resource
// lists the issuers of the active region first. It does not decide whether a token is valid, unless Config.RejectInactive is set:
// tokens of all regions verify otherwise.
//
// A pin reaches a fleet through the store of Config.Replica. What a Controller decides by itself stays in its process, so that a
// process whose own network is broken moves no other process.
package failover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/failover/internal/health"
	"github.com/regionjwt/regionjwt/internal/event"
	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/handover"
	"github.com/regionjwt/regionjwt/internal/issuercheck"
	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/internal/replica"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/store"
)

// Defaults of Config.
const (
	defaultThreshold   = 3
	defaultHoldDown    = 5 * time.Minute
	defaultDrainPeriod = time.Hour
)

// Config configures a Controller. The zero Config judges regions by reports, and moves only when an operator pins a region.
type Config struct {
	// Automatic fails over from a region that is unhealthy, and back to a preferred one that has recovered. Otherwise only Pin
	// changes the active region. It needs at least two regions.
	Automatic bool
	// Threshold is how many failures of one reporter in a row make a region unhealthy, and how many successes of one reporter in
	// a row, since the last failure that made it unhealthy, make it healthy again. Reports of one kind within a second count
	// once. 0 means 3.
	Threshold int
	// HoldDown is how long an Automatic Controller does not return to a region that it has left because it was unhealthy. Up to a
	// tenth is added at random, so that a fleet does not return all at once. If a region fails again within 12 times HoldDown of
	// its return, the time doubles for its next return, up to 12 times HoldDown; this longer time ends early if the active region
	// becomes unhealthy. HoldDown is also how long a reporter's view that a region is unhealthy lasts without another failure;
	// that of a monitor lasts until its verdict ends. After that the region is unknown, which moves nothing, until Threshold
	// successes. 0 means 5 minutes.
	HoldDown time.Duration

	// ProbeInterval is the time between two probes of a region while Run runs, plus or minus a tenth. 0 means no probes;
	// the least is 100 ms.
	ProbeInterval time.Duration
	// Probe checks a region. Its context ends after 2 seconds. The error is treated as that of Report; a panic is logged, and
	// proves nothing. Nil means the built-in probe: it requests the key set of the region from its JWKS URLs, in order, or by
	// discovery. An answer with status 200 and a usable key is a success. No answer is a failure, and so is status 5xx without
	// Retry-After. Any other answer proves nothing: a key set without a usable key, status 429, another 4xx, a redirect (which is
	// not followed), and 503 with Retry-After. It sends requests with Provider.HTTPClient.
	Probe func(ctx context.Context, r issuer.Region) error

	// RejectInactive makes Admit reject tokens that the pinned region cannot have issued. Without a pin, after its end, and while
	// pins are in conflict, tokens of all regions are admitted; until the pins are known, no token can be judged (503). It cannot
	// be combined with Automatic, because a broken network would then reject good tokens. It needs a Replica with a MinEpoch of 1
	// or more, so that an empty store is not taken for one without pins; at least two regions; and no two regions that share an
	// iss and the keys for it, because nobody can tell which of them issued a token.
	RejectInactive bool
	// DrainPeriod is for how long after a pin the other regions may still issue tokens that are admitted until they expire. 0
	// means 1 hour, negative none. It needs RejectInactive.
	DrainPeriod time.Duration

	// Replica says where a fleet shares the pins of its operators. Anyone who can write there can move the fleet. The name of the
	// document is by default "regionjwt/failover/" and the ID of the provider. The zero value shares nothing.
	Replica store.ReplicaConfig

	// Logger gets one line for each change. Panics of its handler are recovered. Nil is silent.
	Logger *slog.Logger
	// OnChange is called after a change of the status: another active region, a pin, the health of a region, or a problem
	// with the store. Reports, HoldDownUntil and Replica.Confirmed alone are no change. Calls do not overlap, and old is the
	// new of the call before: changes that come at once, or while OnChange runs, are merged into one call. It is called
	// without a lock and may call the Controller. A panic is logged. Nil is fine.
	OnChange func(old, new Status)
}

// errNotMade is the error of a Controller that is nil or zero.
var errNotMade = errors.New("failover: the Controller is nil or zero: make it with failover.New")

// made reports whether New has made c.
func (c *Controller) made() bool { return c != nil && c.snapshot.Load() != nil }

// Controller decides which region is active. It is safe for concurrent use. Methods of a nil or zero Controller that return an
// error return one that names New; the others have no effect and return zero values.
type Controller struct {
	provider issuer.Provider // as New got it; its ID and the names of its regions never change
	config   Config
	current  atomic.Pointer[issuer.Provider] // the URLs, issuers and HTTP client of now: see package handover
	snapshot atomic.Pointer[snapshot]
	woken    chan struct{} // makes Run check what is due; holds one signal
	notifier event.Notifier[*snapshot]
	spread   func() float64
	replica  *replica.Replica[*history]

	mu    sync.Mutex // guards what follows; never held during I/O or a callback
	state health.State
	pin   *pin // of an operator, which is followed; nil if there is none
}

// New returns a Controller for the regions of p, of which the first is the preferred one and active. The error is every problem
// with p and c, joined. New does no I/O and starts nothing.
func New(p issuer.Provider, c Config) (*Controller, error) {
	if err := errors.Join(append(c.check(p), issuercheck.Validate(p))...); err != nil {
		return nil, err
	}
	c.setDefaults(p)
	p.Regions = slices.Clone(p.Regions)
	f := &Controller{provider: p, config: c, woken: make(chan struct{}, 1), spread: spread}
	f.current.Store(&p)
	var names []string
	for _, r := range p.Regions {
		names = append(names, r.Name)
	}
	rules := health.Rules{Automatic: c.Automatic, Probed: c.ProbeInterval > 0, Threshold: c.Threshold, HoldDown: c.HoldDown}
	f.state = health.New(rules, names, time.Now())
	f.replica = replica.New(replica.Config[*history]{
		ReplicaConfig: c.Replica, Empty: noPins, Encode: f.encode, Decode: f.decode, Changed: f.replicaChanged,
		Now: time.Now, Logger: c.Logger,
	})
	f.publish()
	f.notifier.Start(f.snapshot.Load())
	return f, nil
}

var _ = handover.Provide(func(controller, provider any) (apply func(), err error) {
	c, isController := controller.(*Controller)
	p, isProvider := provider.(issuer.Provider)
	if !isController || !isProvider || !c.made() {
		return nil, errNotMade
	}
	if err := c.config.checkSeparable(p); err != nil {
		return nil, err
	}
	p.Regions = slices.Clone(p.Regions)
	return func() { c.current.Store(&p) }, nil
})

// checkSeparable reports that RejectInactive cannot work with p.
func (c *Config) checkSeparable(p issuer.Provider) error {
	if !c.RejectInactive {
		return nil
	}
	if err := separable(p); err != nil {
		return fmt.Errorf("failover: RejectInactive cannot work: %w", err)
	}
	return nil
}

// check returns every problem with c for the provider p.
func (c *Config) check(p issuer.Provider) (errs []error) {
	add := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("failover: "+format, args...))
		}
	}
	add(c.Threshold < 0, "Threshold is negative")
	add(c.HoldDown < 0, "HoldDown is negative")
	add(c.ProbeInterval < 0, "ProbeInterval is negative")
	add(c.ProbeInterval > 0 && c.ProbeInterval < leastProbe,
		"ProbeInterval is %v: use 0 for no probes, or %v or more", c.ProbeInterval, leastProbe)
	add(c.Probe != nil && c.ProbeInterval == 0, "Probe is never called: set ProbeInterval")
	add(c.DrainPeriod != 0 && !c.RejectInactive, "DrainPeriod has no effect without RejectInactive")
	add(c.Automatic && c.RejectInactive, "Automatic and RejectInactive exclude each other: "+
		"a broken network would reject good tokens")
	add(c.RejectInactive && c.Replica.MinEpoch == 0, "RejectInactive needs a Replica with a MinEpoch of 1 or more")
	add(c.Automatic && len(p.Regions) == 1, "Automatic has no effect: provider %q has one region, and none to fail over to", p.ID)
	if err := c.checkSeparable(p); err != nil {
		errs = append(errs, err)
	}
	for _, problem := range replica.Check(c.Replica) {
		add(true, "%w", problem)
	}
	add(nils.Logger(c.Logger), "Logger has no handler: make it with slog.New")
	add(p.HTTPClient != nil && nils.Typed(p.HTTPClient.Transport), "Provider.HTTPClient.Transport is a nil pointer")
	return errs
}

// has reports whether the provider has a region.
func (c *Controller) has(region string) bool {
	return slices.ContainsFunc(c.provider.Regions, func(r issuer.Region) bool { return r.Name == region })
}

// regions lists the regions of the provider, for people.
func (c *Controller) regions() string {
	names := make([]string, 0, len(c.provider.Regions))
	for _, r := range c.provider.Regions {
		names = append(names, r.Name)
	}
	return strings.Join(names, ", ")
}

func (c *Config) setDefaults(p issuer.Provider) {
	c.Threshold = cmp.Or(c.Threshold, defaultThreshold)
	c.HoldDown = cmp.Or(c.HoldDown, defaultHoldDown)
	c.DrainPeriod = max(cmp.Or(c.DrainPeriod, defaultDrainPeriod), 0)
	c.Replica = replica.Default(c.Replica, replica.PinsName(p.ID))
	c.Logger = guard.Logger(c.Logger)
}

// separable says why one cannot tell which region issued a token, or returns nil if one can.
func separable(p issuer.Provider) error {
	var errs []error
	if len(p.Regions) < 2 {
		errs = append(errs, errors.New("there are fewer than two regions"))
	}
	for i, r := range p.Regions {
		for _, other := range p.Regions[i+1:] {
			shares := func(ours, theirs []string) bool {
				return slices.ContainsFunc(ours, func(s string) bool { return slices.Contains(theirs, s) })
			}
			discovered := len(r.JWKSURLs) == 0 && len(other.JWKSURLs) == 0
			if shares(r.Issuers, other.Issuers) && (discovered || shares(r.JWKSURLs, other.JWKSURLs)) {
				errs = append(errs, fmt.Errorf("regions %q and %q share an issuer and its keys", r.Name, other.Name))
			}
		}
	}
	return errors.Join(errs...)
}
