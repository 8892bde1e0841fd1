package failover

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/failover/internal/health"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/store"
)

// Status is the state of a Controller. It is a copy. The labels and the JSON names are stable; new ones may be added.
type Status struct {
	// Provider is the ID of the provider.
	Provider string `json:"provider"`
	// Active is the name of the active region.
	Active string `json:"active"`
	// Since is the time of Cause. For a pin it is when an operator made it, by the clock of the operator. For the end of a pin
	// that left Active in place it is that end. Otherwise it is when this process made Active the active region.
	Since time.Time `json:"since"`
	// Cause is why Active is active: start (it is the first of the provider), failed (the region before it was unhealthy),
	// recovered (it is preferred, and healthy again), pinned (an operator has pinned it), expired (a pin has expired) or unpinned
	// (an operator has ended a pin). After the end of a pin, Active is the region that was pinned, or a preferred one that was
	// healthy, to which an Automatic Controller returned at once.
	Cause string `json:"cause"`
	// Why explains Cause for people, in lines of text: which reports of which reporter, or which monitor, moved the active
	// region, and since when. Their wording is not stable.
	Why []string `json:"why"`
	// Next says in the same way what would make another region active, such as what is still missing for a return.
	Next []string `json:"next"`
	// Pinned reports whether an operator has pinned Active.
	Pinned bool `json:"pinned"`
	// Note is what the operator said about the pin, or "".
	Note string `json:"note,omitempty"`
	// Expires is when the pin ends by itself; the zero time if there is none.
	Expires time.Time `json:"expires,omitzero"`
	// Conflicts has one line for each of several pins whose writers did not know of each other, and of which one is in
	// effect. The next Pin or Unpin replaces them all. It is empty if there is at most one.
	Conflicts []string `json:"conflicts,omitempty"`
	// Regions are the regions in the order of the provider.
	Regions []RegionStatus `json:"regions"`
	// Replica is the state of the shared pins.
	Replica store.ReplicaStatus `json:"replica"`
}

// RegionStatus is the health of a region.
type RegionStatus struct {
	// Region is the name of the region.
	Region string `json:"region"`
	// Health is healthy (the last reports were successes), unhealthy (Threshold failures of one reporter in a row), or unknown
	// (too few reports, or every failure is older than HoldDown).
	Health string `json:"health"`
	// Why explains Health for people: which reports decided it, and what would change it. Its wording is not stable.
	Why string `json:"why"`
	// HoldDownUntil is until when an Automatic Controller does not enter the region, or the zero time if it may. A hold-down that
	// is longer than HoldDown ends early while the active region is unhealthy.
	HoldDownUntil time.Time `json:"hold_down_until,omitzero"`
	// Reports has one line for each reporter: its name, its view of the region, what that rests on (failures in a row with the
	// last label, successes in a row while its view is not healthy yet, or the verdict of a monitor), and when it last reported.
	// For example: "token: unhealthy, 3 failures in a row (status 503), last 2026-01-02T15:04:05Z".
	Reports []string `json:"reports"`
}

// snapshot is an immutable copy of the state of a Controller.
type snapshot struct {
	status   Status // without the lines that say why, which are added when somebody asks
	state    health.State
	pin      *pin
	failures error // the causes of the problems of stores
	localErr error // the cause of LocalProblem
}

// Status returns the state of the controller. It does no I/O and takes no lock. A Controller that New has not made returns the
// zero Status.
func (c *Controller) Status() Status {
	if !c.made() {
		return Status{}
	}
	status := c.snapshot.Load().copied()
	status.Replica = c.replica.State().Status
	return status
}

// copied returns the status as the caller may keep it.
func (s *snapshot) copied() Status {
	status := s.status
	status.Regions = slices.Clone(status.Regions)
	status.Conflicts = slices.Clone(status.Conflicts)
	status.Why, status.Next = s.state.Why(), s.state.Next()
	for i := range s.state.Regions {
		r, to := &s.state.Regions[i], &status.Regions[i]
		to.Why = s.state.RegionWhy(i)
		to.Reports = make([]string, 0, len(r.Reporters))
		for j := range r.Reporters {
			to.Reports = append(to.Reports, reportLine(&r.Reporters[j]))
		}
	}
	return status
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
	known := c.replica.State()
	s := &snapshot{
		status: Status{
			Provider: c.provider.ID, Active: c.state.Regions[c.state.Active].Name, Since: c.state.Since, Cause: c.state.Cause,
			Pinned: c.state.Pinned, Replica: known.Status,
		},
		state: c.state, pin: c.pin, failures: errors.Join(known.Failures...), localErr: known.LocalFailure,
	}
	if c.state.Pinned {
		s.status.Note, s.status.Expires = c.pin.Note, c.pin.Expires
	}
	if len(known.Document.heads) > 1 {
		for _, p := range known.Document.heads {
			s.status.Conflicts = append(s.status.Conflicts, p.String())
		}
	}
	for i := range c.state.Regions {
		r := &c.state.Regions[i]
		one := RegionStatus{Region: r.Name, Health: r.Health, HoldDownUntil: c.state.HoldDownUntil(i)}
		s.status.Regions = append(s.status.Regions, one)
	}
	c.snapshot.Store(s)
}

// reportLine is a line of RegionStatus.Reports.
func reportLine(r *health.Reporter) string {
	line := r.Name + ": " + r.Health
	ends, isVerdict := r.Verdict()
	switch {
	case isVerdict:
		line += ", by a verdict that ends at " + ends.UTC().Format(time.RFC3339)
	case r.Failures > 0:
		line += fmt.Sprintf(", %s in a row (%s)", label.Count(r.Failures, "failure"), r.Failure)
	case r.Successes > 0 && r.Health != label.Healthy:
		line += fmt.Sprintf(", %s in a row", label.Count(r.Successes, "success"))
	}
	return line + ", last " + r.Last.UTC().Format(time.RFC3339)
}

// String is a line of Status.Conflicts.
func (p *pin) String() string {
	what := "unpinned"
	if p.Pinned {
		what = "pinned until " + p.Expires.Format(time.RFC3339)
	}
	text := fmt.Sprintf("%s: %s, %s", p.Region, what, p.At.Format(time.RFC3339))
	if p.Note != "" {
		text += ", " + p.Note
	}
	return text
}
