package failover

import (
	"fmt"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/store"
)

// The labels of the cause.
const (
	causeStart     = "start"
	causeFailed    = "failed"
	causeRecovered = "recovered"
	causePinned    = "pinned"
	causeUnpinned  = "unpinned"
)

// Status is the state of a Controller. It is a copy. The labels and the JSON names are stable; new ones may be added.
type Status struct {
	// Provider is the ID of the provider.
	Provider string `json:"provider"`
	// Active is the name of the active region.
	Active string `json:"active"`
	// Since is the time of Cause: when an operator pinned or unpinned a region, by the clock of the operator, or otherwise when
	// this process made Active the active region.
	Since time.Time `json:"since"`
	// Cause is why Active is active: start (it is the first of the provider), failed (the region before it was unhealthy),
	// recovered (it is preferred, and healthy again), pinned (an operator has pinned it), or unpinned (it was active when an
	// operator ended a pin).
	Cause string `json:"cause"`
	// Pinned reports whether an operator has pinned Active.
	Pinned bool `json:"pinned"`
	// Note is what the operator said about the pin, or "".
	Note string `json:"note,omitempty"`
	// Regions are the regions in the order of the provider.
	Regions []RegionStatus `json:"regions"`
	// Replica is the state of the shared pin. Epoch counts the pins and their ends. It is the zero value if Config.Replica has
	// neither a Store nor a LocalCopy.
	Replica store.ReplicaStatus `json:"replica"`
}

// RegionStatus is the health of a region.
type RegionStatus struct {
	// Region is the name of the region.
	Region string `json:"region"`
	// Health is healthy (the last reports were successes), unhealthy (Threshold failures of one reporter in a row), or unknown
	// (too few reports, or every failure is older than HoldDown).
	Health string `json:"health"`
	// HoldDownUntil is until when an Automatic Controller does not return to the region, or the zero time if it may.
	HoldDownUntil time.Time `json:"hold_down_until,omitzero"`
	// Reports has one line for each reporter: its name, its view of the region, its failures in a row with the last label, its
	// successes in a row while its view is not healthy, and when it last reported. For example:
	// "token: unhealthy, 3 failures (status 503), 0 successes, 2026-01-02T15:04:05Z".
	Reports []string `json:"reports"`
}

// snapshot is an immutable copy of the state of a Controller.
type snapshot struct {
	status    Status // Reports are added when somebody asks
	reporters [][]reporter
	reasons   []reason             // of the health of each region
	left      map[string]time.Time // when a region stopped being active by a pin
	storeErr  error                // the cause of StoreProblem
	localErr  error                // the cause of LocalProblem
}

// Status returns the state of the controller. It does no I/O and takes no lock. A Controller that New has not made returns the
// zero Status.
func (c *Controller) Status() Status {
	if !c.made() {
		return Status{}
	}
	return c.snapshot.Load().copied()
}

// copied returns the status as the caller may keep it.
func (s *snapshot) copied() Status {
	status := s.status
	status.Regions = slices.Clone(status.Regions)
	for i, all := range s.reporters {
		status.Regions[i].Reports = make([]string, 0, len(all))
		for j := range all {
			status.Regions[i].Reports = append(status.Regions[i].Reports, all[j].String())
		}
	}
	return status
}

// index is the index of a region, or -1.
func (s *snapshot) index(name string) int {
	return slices.IndexFunc(s.status.Regions, func(r RegionStatus) bool { return r.Region == name })
}

// Active returns the name of the active region: one atomic load. It is "" for a Controller that New has not made.
func (c *Controller) Active() string {
	if !c.made() {
		return ""
	}
	return c.snapshot.Load().status.Active
}

// publish makes a new snapshot. The caller holds mu.
func (c *Controller) publish() {
	s := &snapshot{status: Status{
		Provider: c.provider.ID, Active: c.active.name, Since: c.since, Cause: c.cause, Pinned: c.pin.Pinned,
		Replica: c.replica.status,
	}, left: c.pin.Left, storeErr: c.replica.storeErr, localErr: c.replica.localErr}
	s.status.Replica.Epoch = c.pin.Epoch
	if c.pin.Pinned {
		s.status.Note = c.pin.Note
	}
	for _, r := range c.regions {
		s.status.Regions = append(s.status.Regions, RegionStatus{Region: r.name, Health: r.health, HoldDownUntil: r.holdDown})
		s.reasons = append(s.reasons, r.reason)
		all := make([]reporter, 0, len(r.reporters))
		for _, from := range r.reporters {
			all = append(all, *from)
		}
		s.reporters = append(s.reporters, all)
	}
	c.snapshot.Store(s)
}

// String is a line of RegionStatus.Reports.
func (r *reporter) String() string {
	failure, successes := "", 0
	if r.failures > 0 {
		failure = " (" + r.failure + ")"
	}
	if r.health != label.Healthy {
		successes = r.successes
	}
	return fmt.Sprintf("%s: %s, %d failures%s, %d successes, %s",
		r.name, r.health, r.failures, failure, successes, r.last.UTC().Format(time.RFC3339))
}
