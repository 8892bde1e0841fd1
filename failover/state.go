package failover

import "time"

// Health is what the evidence says of a region.
type Health string

// The healths of a region.
const (
	Unknown   Health = "unknown"   // too little evidence, or every failure is older than MinHold
	Healthy   Health = "healthy"   // RecoverAfter good answers in a row, or one if it was not Unhealthy before
	Unhealthy Health = "unhealthy" // FailAfter failures in a row
)

// Cause is why a region is active.
type Cause string

// The causes of a move.
const (
	CauseStart     Cause = "start"     // it is the first of the authority
	CauseFailed    Cause = "failed"    // the one before it had failed
	CauseRecovered Cause = "recovered" // it is preferred, and has recovered
	CauseManual    Cause = "manual"    // an operator activated it
)

// State says which region counts, and why. It is a plain copy.
type State struct {
	Provider   string
	Active     string
	Previous   string    // the region that was active before; "" where none was
	Generation uint64    // grows with each move and each order, in this process
	Since      time.Time // when Active became so here
	Cause      Cause
	Manual     bool   // pinned by an operator until Resume
	Reason     string // what the operator said; "" unless Manual

	OrderKnown bool      // whether it is known what operators have said; false while the store has not answered since the start
	OrderEpoch uint64    // counts the orders of operators; 0 where there was none
	OrderAt    time.Time // when the last one was given
	Confirmed  time.Time // when the store last answered; zero where it never did, or there is none
	Trouble    Trouble   // with the store; "" where all is well

	Regions []RegionState // in the order of the authority
}

// RegionState is the health of one region.
type RegionState struct {
	Name    string
	Health  Health
	Since   time.Time // when Health became so
	Sources []SourceState
	Held    time.Time // until when it is not entered by itself, because it failed while active; zero where it may be
}

// SourceState is what one source of evidence says of a region.
type SourceState struct {
	Source    string // "report" for Report, "probe" for Config.Probe
	Health    Health
	Failures  int // in a row; 0 once Unhealthy has lapsed, after MinHold without another one
	Successes int // in a row, while not Healthy; at most RecoverAfter
	Last      time.Time
}

// Kind says what an Event tells.
type Kind string

// The kinds of events.
const (
	Moved         Kind = "moved"          // another region is active
	Pinned        Kind = "pinned"         // an operator activated the region that was active already
	Resumed       Kind = "resumed"        // an operator ended the pin
	HealthChanged Kind = "health_changed" // of Region
	StoreChanged  Kind = "store_changed"  // trouble with the store has begun, changed or ended
)

// Event is a change. State is how things stood right after it.
type Event struct {
	At     time.Time
	Kind   Kind
	Region string // that is active from now on, or whose health has changed
	From   string // that was active before; for Moved
	Cause  Cause  // for Moved
	Err    error  // what the store said; for StoreChanged
	State  State

	// Source, Class and Failures say why a health changed: for HealthChanged that of Region; for Moved that of From if Cause is
	// CauseFailed, and of Region if it is CauseRecovered. Source is the source of evidence that decided. Class and Failures are
	// its last failure (see Evidence.Class) and the number of failures in a row; both are zero unless the health is Unhealthy.
	// If the health is Unknown, Source has been silent for MinHold.
	Source   string
	Class    string
	Failures int

	Missed int // events before this one that were dropped, because OnEvent took too long
}

// Trouble says what is wrong with the store. The zero Trouble is none.
type Trouble string

// The troubles of a store. None of them changes what is known.
const (
	Unreachable  Trouble = "unreachable"   // it does not answer
	NotAuthentic Trouble = "not_authentic" // it has a document that none who may has written
	Malformed    Trouble = "malformed"     // it has a document that is not an order for this authority
	Wiped        Trouble = "wiped"         // it has no document any more
	Behind       Trouble = "behind"        // it was rolled back: its order is older than the one that is known
)

// snapshot is an immutable picture of a Controller.
type snapshot struct {
	State
	left map[string]time.Time // when a region ceased to be active
}

// State returns the current state. It does no I/O and takes no lock. A Controller that New has not made has the zero State.
func (c *Controller) State() State {
	if !c.made() {
		return State{}
	}
	s := c.snapshot.Load().State
	s.Regions = append([]RegionState(nil), s.Regions...)
	for i := range s.Regions {
		s.Regions[i].Sources = append([]SourceState(nil), s.Regions[i].Sources...)
	}
	return s
}

// Active returns the name of the active region: one atomic load. It is "" for a Controller that New has not made.
func (c *Controller) Active() string {
	if !c.made() {
		return ""
	}
	return c.snapshot.Load().Active
}

// publish makes a new snapshot. The caller holds mu.
func (c *Controller) publish() {
	s := &snapshot{State: State{
		Provider: c.config.Provider.ID, Active: c.active.name, Previous: c.previous, Generation: c.generation,
		Since: c.since, Cause: c.cause, Manual: c.order.Pinned, OrderKnown: c.known, OrderEpoch: c.order.Epoch,
		OrderAt: c.order.At, Confirmed: c.confirmed, Trouble: c.trouble,
	}, left: c.order.Left}
	if s.Manual {
		s.Reason = c.order.Reason
	}
	for _, r := range c.regions {
		s.Regions = append(s.Regions, r.state())
	}
	c.snapshot.Store(s)
}
