// Package health is the health of the regions of one provider, and which of them is active, as a value: signals and moments go
// in, healths and moves come out. It has no goroutine, lock, clock or I/O. A State is never modified: each function returns
// another one.
//
// The rules, which hold for every history of signals:
//
//   - A reporter that has reported Threshold failures in a row makes a region unhealthy, and so does the verdict of a monitor.
//     That lasts until the reporter has recovered, and at most until it has reported no failure for HoldDown or its verdict ends.
//   - After that, the region is healthy again only by Threshold successes of one reporter in a row, all of requests that began
//     after the last of those failures; until then it is unknown. What failed before it became healthy never counts afterwards.
//   - No success, no repetition, no late signal and no passage of time makes a health worse.
//   - Only an unhealthy region is left, and only a preferred and healthy one is returned to, unless one of its reporters has
//     reported a failure within HoldDown and no success since.
//   - A region that was left because it failed is not entered for HoldDown. If it fails again soon after its return, its next
//     return takes twice as long, up to maxHolds times HoldDown, as long as the active region is not unhealthy.
//   - A pin always wins.
package health

import (
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/label"
)

// Bounds that are not configured.
const (
	countEvery   = time.Second // reports of one reporter of one kind count once in that time
	maxReporters = 16          // of one region
	maxAhead     = 30 * time.Second
	maxHolds     = 12 // how many times HoldDown a return takes at most
)

// The causes of a move.
const (
	Start     = "start"
	Failed    = "failed"
	Recovered = "recovered"
	Pinned    = "pinned"
	Expired   = "expired"
	Unpinned  = "unpinned"
)

// Rules are what an operator configures.
type Rules struct {
	Automatic bool          // moves without an operator
	Probed    bool          // regions are probed
	Threshold int           // failures or successes in a row; at least 1
	HoldDown  time.Duration // more than 0
}

// Moment is when something happens.
type Moment struct {
	Now    time.Time
	Spread float64 // by how much of a tenth a hold-down is longer: from 0 to 1, at random
}

// Signal is the outcome of one request to a region, or the verdict of a monitor.
type Signal struct {
	Region   string
	Reporter string
	Began    time.Time     // of the request; the zero time means now
	Failed   bool          // otherwise it is a success
	Failure  string        // label
	Lasts    time.Duration // of the verdict of a monitor, from Began, that decides alone; 0 for a report
}

// State is what is known of the regions of a provider. The fields are for reading.
type State struct {
	Rules   Rules
	Regions []Region // in order of preference
	Active  int      // index of the active region: there is always exactly one
	Since   time.Time
	Cause   string
	Pinned  bool // an operator has pinned the active region

	from     int    // the region before Active, or -1
	reason   Reason // why from was left, or Active entered
	entry    string // the health of Active when it was entered
	released bool   // a pin has just ended, and no move was considered since
}

// Region is what is known of one region. Times and numbers that are not exported are those of the rules.
type Region struct {
	Name      string
	Health    string // healthy, unhealthy or unknown
	Since     time.Time
	Reason    Reason // of Health
	Reporters []Reporter

	hold      time.Time // until when it is not entered
	prefer    time.Time // until when it is not preferred to a region that is not unhealthy; never before hold
	returned  time.Time // when it was last entered after it had failed
	holds     int       // how often it failed soon after its return, in a row
	ill       bool      // it was unhealthy, and has not been healthy since
	failed    time.Time // when the latest failure of a reporter began that made the region unhealthy, or kept it so
	recovered time.Time // when it last became healthy
}

// HoldDownUntil is until when a region is not entered, as long as the health of the active region stays what it is; the zero time
// if it may be entered now.
func (s *State) HoldDownUntil(region int) time.Time {
	if s.Regions[s.Active].Health == label.Unhealthy {
		return s.Regions[region].hold
	}
	return s.Regions[region].prefer
}

// Reporter is what one reporter says about a region.
type Reporter struct {
	Name                string
	Health              string
	Failure             string // label of the last failure
	Failures, Successes int    // in a row
	Last                time.Time

	since          time.Time // when its reports last changed Health
	proofs         int       // successes in a row of requests that began after Region.failed
	from, to       time.Time // when the first and the last failure of the latest row began
	row            int       // how many it had
	firstOK        time.Time // when the first of the proofs began
	began, started time.Time // of the latest request whose outcome is known; started as it was reported
	failedAt, okAt time.Time // when a failure, and a success, last counted
	ends           time.Time // of its last verdict; the zero time if it reports requests
}

// Verdict reports whether the view of s is the verdict of a monitor that a region is unhealthy, and when it ends.
func (s *Reporter) Verdict() (ends time.Time, is bool) {
	return s.ends, s.Health == label.Unhealthy && !s.ends.IsZero()
}

// Reason says which reporter changed a health, and by what.
type Reason struct {
	Reporter string
	Failure  string // label of the last failure
	Failures int    // in a row
	From, To time.Time
	Verdict  bool // of a monitor
}

// New returns the state in which nothing is known, and the first of the regions is active.
func New(rules Rules, regions []string, now time.Time) State {
	s := State{Rules: rules, Since: now, Cause: Start, from: -1, entry: label.Unknown}
	for _, name := range regions {
		s.Regions = append(s.Regions, Region{Name: name, Health: label.Unknown, Since: now})
	}
	return s
}

// Index is the index of a region, or -1.
func (s *State) Index(name string) int {
	return slices.IndexFunc(s.Regions, func(r Region) bool { return r.Name == name })
}

// copied returns a State whose regions and reporters may be modified.
func (s State) copied() State {
	s.Regions = slices.Clone(s.Regions)
	for i := range s.Regions {
		s.Regions[i].Reporters = slices.Clone(s.Regions[i].Reporters)
	}
	return s
}

// Apply returns the state after a signal, and whether more than times has changed. Without that, no health has.
func (s State) Apply(g *Signal, at Moment) (next State, changed bool) {
	i := s.Index(g.Region)
	if i < 0 {
		return s, false
	}
	if s.Regions[i].expired(at.Now, &s.Rules) { // first, as it would be without the signal
		s, _ = s.Elapse(at)
		changed = true
	}
	next = s
	next.Regions = slices.Clone(s.Regions)
	next.Regions[i].Reporters = slices.Clone(s.Regions[i].Reporters)
	if next.Regions[i].count(g, at.Now, &s.Rules) {
		next, _ = next.Elapse(at)
		changed = true
	}
	return next, changed
}

// Elapse returns the state at a moment, and when it may change without a signal; the zero time if it will not.
func (s State) Elapse(at Moment) (next State, due time.Time) { return s.copied().elapsed(at) }

// elapsed is Elapse of a state that may be modified.
func (s State) elapsed(at Moment) (next State, due time.Time) {
	for i := range s.Regions {
		r := &s.Regions[i]
		due = earlier(due, r.update(at.Now, &s.Rules))
		r.hold, r.prefer = ahead(r.hold, at.Now), ahead(r.prefer, at.Now)
	}
	if s.Rules.Automatic && !s.Pinned {
		if to, cause := s.target(at.Now); to >= 0 {
			s.move(to, cause, at)
		}
	}
	s.released = false
	for i := range s.Regions {
		r := &s.Regions[i]
		due = earlier(earlier(due, r.hold), r.prefer)
		if i < s.Active && s.Rules.Automatic {
			due = earlier(due, r.doubted(at.Now, &s.Rules))
		}
	}
	return s, due
}

// ahead returns t, or the zero time if it has come.
func ahead(t, now time.Time) time.Time {
	if !now.Before(t) {
		return time.Time{}
	}
	return t
}

// earlier returns the earlier of two times; the zero Time is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
