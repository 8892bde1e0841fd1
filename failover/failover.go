// Package failover says which region of an authority counts now, and why. A [Controller] keeps the health of each region by the
// evidence that it is given (fetches of keys, token requests, probes of its own), holds the region that an operator has
// activated, and where it is told to, moves by itself.
//
// It decides for those who ask: a source of machine tokens (package clientcredentials), the order of authorization servers in
// the metadata of a resource, a page for operators. It takes no part in whether a token is valid, but where
// Config.RefuseInactive has it refuse tokens of regions that are not active: tokens of every region verify otherwise.
//
// What an operator has said last is an order. It reaches a fleet through a store.Store; what a Controller decides by itself
// stays in its process, so that a process whose own network is broken moves nobody else.
package failover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/internal/seen"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/store"
)

// Defaults of Config.
const (
	DefaultFailAfter    = 3
	DefaultRecoverAfter = 3
	DefaultMinHold      = 5 * time.Minute
	DefaultDrain        = time.Hour
	DefaultProbeEvery   = 10 * time.Second
	DefaultPoll         = 500 * time.Millisecond
)

// The errors of a Controller.
var (
	// ErrNoRegion: the authority has no region of that name.
	ErrNoRegion = errors.New("failover: the authority has no region of that name")
	// ErrNotShared: the order counts in this process, but could not be written to the store.
	ErrNotShared = errors.New("failover: the order counts here, but is not shared")
	// ErrUnreadable: the store has a document that is not to be believed, and Config.AllowOverwrite is not set.
	ErrUnreadable = errors.New("failover: the document in the store is not to be believed")
)

// Config configures a Controller. Authority is required.
type Config struct {
	// Provider is whose regions these are, the preferred one first.
	Provider issuer.Provider

	// Automatic moves away from a region that has failed, and back to a preferred one that has recovered. Otherwise only
	// Activate moves.
	Automatic bool
	// FailAfter is how many failures of one source in a row make a region Unhealthy. RecoverAfter is how many good answers to
	// one source in a row, since the last failure that made it Unhealthy, make it Healthy again. Evidence of one kind within a
	// second counts once. 0 means 3 each.
	FailAfter, RecoverAfter int
	// MinHold is how long a region that was left because it had failed is not entered again by itself, plus up to a tenth, by
	// chance, so that a fleet does not return as one. It is also how long the Unhealthy verdict of a source lasts without a new
	// failure. After that the region is Unknown, which moves nothing, until RecoverAfter good answers. 0 means 5 minutes.
	MinHold time.Duration

	// Probe asks a region whether it is well, every ProbeEvery while Run runs. Its context has 2 seconds. An error that wraps
	// ErrNoEvidence is ignored. If it panics, that is logged and ignored. Nil means that there is no evidence but what is
	// reported. See HTTPProbe.
	Probe func(context.Context, issuer.Region) error
	// ProbeEvery is the time between two probes of a region, give or take a tenth. 0 means 10 s.
	ProbeEvery time.Duration

	// RefuseInactive has Admit refuse tokens that the active region cannot have minted. New refuses it together with Automatic,
	// which would let a broken network refuse good tokens; with fewer than two regions; and where two regions share an iss and
	// the keys for it, so that nobody can tell which of them minted a token. Give an order once, with Activate: as long as the
	// store has none, tokens of other regions are unavailable rather than refused.
	RefuseInactive bool
	// Drain is how long tokens of a region are still admitted after it has ceased to be active. 0 means 1 hour, negative none.
	Drain time.Duration

	// Store is where a fleet shares the orders of its operators. Nil means that there is nothing to share. It has to be
	// store.Trusted: who can write to it moves the fleet.
	Store store.Store
	// InsecurePlainStore has the Controller believe a Store that is not store.Trusted.
	InsecurePlainStore bool
	// AllowOverwrite has Activate and Resume replace a document that is not to be believed.
	AllowOverwrite bool
	// Name is that of the document. "" means "regionjwt/failover/" and the authority's ID.
	Name string
	// LocalCopy keeps the last order for a start while Store does not answer. Nil means that it is not known then.
	LocalCopy store.Trusted
	// Poll is how often Run asks the store, besides its hints. 0 means 500 ms.
	Poll time.Duration

	// OnEvent is called synchronously for every Event, one after the other, in order, under no lock; it may call the Controller.
	// A slow function delays later events and the caller of Report. If it panics, that is logged, and later events follow. Nil
	// is fine.
	OnEvent func(Event)
	// Logger gets a line for each Event. Panics of its handler are recovered. Nil is silent.
	Logger *slog.Logger
}

// errNotMade is the error of a Controller that is nil or zero.
var errNotMade = errors.New("failover: the Controller is nil or zero: make it with failover.New")

// made reports whether New has made c.
func (c *Controller) made() bool { return c != nil && c.snapshot.Load() != nil }

// Controller says which region is active. It is safe for concurrent use. Methods of a nil or zero Controller that return an error
// return one that names New; the others have no effect and return zero values.
type Controller struct {
	config   Config
	snapshot atomic.Pointer[snapshot]
	wake     chan struct{} // has Run look for what is due; holds one signal
	spread   func() float64
	judged   seen.Set[judged] // documents of the store

	mu         sync.Mutex // guards what follows; never held over I/O or a callback
	regions    []*region  // in the order of the authority
	active     *region
	previous   string
	generation uint64
	since      time.Time
	cause      Cause
	order      order // the last one of an operator
	known      bool  // whether order is: the store, or its local copy, has answered
	confirmed  time.Time
	trouble    Trouble
	copied     order // the last one that stands in the local copy
	events     queue
}

// New returns a Controller whose first region is active, or everything that is wrong with c as one joined error. It does no I/O
// and starts nothing.
func New(c Config) (*Controller, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	f := &Controller{
		config: c, wake: make(chan struct{}, 1), spread: spread, since: now, cause: CauseStart,
		known: c.Store == nil && c.LocalCopy == nil,
	}
	for _, r := range c.Provider.Regions {
		f.regions = append(f.regions, &region{name: r.Name, health: Unknown, since: now})
	}
	f.active = f.regions[0]
	f.publish()
	return f, nil
}

func (c Config) withDefaults() (Config, error) {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf("failover: "+format, args...)) }
	if err := c.Provider.Validate(); err != nil {
		errs = append(errs, err)
	}
	if c.FailAfter < 0 || c.RecoverAfter < 0 || c.MinHold < 0 || c.ProbeEvery < 0 || c.Poll < 0 {
		add("FailAfter, RecoverAfter, MinHold, ProbeEvery and Poll cannot be negative")
	}
	if nils.Typed(c.Store) {
		add("Store is a nil pointer")
	}
	if nils.Typed(c.LocalCopy) {
		add("LocalCopy is a nil pointer")
	}
	if nils.Logger(c.Logger) {
		add("Logger has no handler: make it with slog.New")
	}
	if _, ok := c.Store.(store.Trusted); c.Store != nil && !ok && !c.InsecurePlainStore {
		add("Store is not store.Trusted: sign it with store.Signed")
	}
	if c.Automatic && c.RefuseInactive {
		add("Automatic and RefuseInactive exclude each other: a broken network would refuse good tokens")
	}
	if c.RefuseInactive {
		if err := separable(c.Provider); err != nil {
			add("RefuseInactive cannot work: %w", err)
		}
	}
	c.Provider.Regions = slices.Clone(c.Provider.Regions)
	c.FailAfter = cmp.Or(c.FailAfter, DefaultFailAfter)
	c.RecoverAfter = cmp.Or(c.RecoverAfter, DefaultRecoverAfter)
	c.MinHold = cmp.Or(c.MinHold, DefaultMinHold)
	c.ProbeEvery = cmp.Or(c.ProbeEvery, DefaultProbeEvery)
	c.Poll = cmp.Or(c.Poll, DefaultPoll)
	c.Drain = max(cmp.Or(c.Drain, DefaultDrain), 0)
	c.Name = cmp.Or(c.Name, "regionjwt/failover/"+c.Provider.ID)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Logger = slog.New(guard.Handler(c.Logger.Handler()))
	return c, errors.Join(errs...)
}

// separable reports why one cannot tell which region minted a token; nil where one can.
func separable(a issuer.Provider) error {
	var errs []error
	if len(a.Regions) < 2 {
		errs = append(errs, errors.New("there are fewer than two regions"))
	}
	for i, r := range a.Regions {
		for _, other := range a.Regions[i+1:] {
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
