package health

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/label"
)

// Why says why the active region is active: in a line each, which signals moved there, since when, and what was known.
func (s *State) Why() []string {
	active := s.Regions[s.Active].Name
	switch s.Cause {
	case Failed:
		return []string{
			fmt.Sprintf("%s was left because it was unhealthy: %s", s.Regions[s.from].Name, s.reason.unhealthy()),
			fmt.Sprintf("%s was the first other region that was %s", active, s.entry),
		}
	case Recovered:
		return []string{
			fmt.Sprintf("%s is preferred to %s, and was healthy again: %s", active, s.Regions[s.from].Name, s.reason.healthy()),
		}
	case Pinned:
		return []string{"an operator pinned " + active}
	case Expired, Unpinned:
		return []string{s.afterPin(active)}
	}
	return []string{active + " is the first region of the provider"}
}

// afterPin says why a region is active after the end of a pin.
func (s *State) afterPin(active string) string {
	switch {
	case s.from >= 0 && s.Cause == Expired:
		return fmt.Sprintf("the pin of %s has expired, and %s is preferred and healthy: %s",
			s.Regions[s.from].Name, active, s.reason.healthy())
	case s.from >= 0:
		return fmt.Sprintf("an operator ended the pin of %s, and %s is preferred and healthy: %s",
			s.Regions[s.from].Name, active, s.reason.healthy())
	case s.Cause == Expired:
		return "an operator had pinned " + active + ", and the pin has expired"
	}
	return active + " was active when an operator ended a pin"
}

// MoveReason is why the region before the active one was left, or why the active one was entered.
func (s *State) MoveReason() *Reason { return &s.reason }

// Next says what would make another region active, in a line each. A pin always would.
func (s *State) Next() (lines []string) {
	active := &s.Regions[s.Active]
	switch {
	case len(s.Regions) == 1:
		return []string{"nothing: there is one region"}
	case s.Pinned:
		return []string{"only an operator, or the end of the pin"}
	case !s.Rules.Automatic:
		return []string{"only a pin of an operator: Automatic is not set"}
	}
	if active.Health == label.Unhealthy {
		return append([]string{active.Name + " is unhealthy, and there is no other region to move to: the first one is entered " +
			"that is healthy, or else unknown, and not in hold-down" + s.inHoldDown()}, s.unprobed()...)
	}
	for i := range s.Regions[:s.Active] {
		lines = append(lines, s.returnTo(i))
	}
	line := fmt.Sprintf("away from %s: if it becomes unhealthy, by %s in a row of one reporter, or a monitor's verdict%s",
		active.Name, label.Count(s.Rules.Threshold, "failure"), active.failing())
	if to := s.first(label.Healthy, len(s.Regions), (*Region).enterable); to >= 0 {
		line += "; now to " + s.Regions[to].Name + s.Regions[to].endsEarly()
	} else if to := s.first(label.Unknown, len(s.Regions), (*Region).enterable); to >= 0 {
		line += "; now to " + s.Regions[to].Name + ", whose health is unknown" + s.Regions[to].endsEarly()
	} else {
		line += "; now there is no other region to move to" + s.inHoldDown()
	}
	return append(append(lines, line), s.unprobed()...)
}

// endsEarly says that the hold-down of a region ends if it is needed.
func (r *Region) endsEarly() string {
	if r.prefer.IsZero() {
		return ""
	}
	return ", whose hold-down then ends"
}

// unprobed says what it means that there are no probes.
func (s *State) unprobed() []string {
	if s.Rules.Probed {
		return nil
	}
	return []string{"no probe is configured (ProbeInterval): fetches of keys and other reports alone show that a region has " +
		"failed or recovered, which can take half an hour"}
}

// returnTo says when a preferred region is returned to.
func (s *State) returnTo(i int) string {
	r := &s.Regions[i]
	line := "back to " + r.Name + ":"
	switch {
	case r.Health == label.Healthy:
		line += " it is healthy" + r.failing() + ";"
	case r.Health == label.Unhealthy && r.proven(&s.Rules):
		line += " when it is healthy (at " + r.lapse(&s.Rules) + ");"
	default:
		line += " when it is healthy (" + r.recovery(&s.Rules) + ");"
	}
	if until := s.HoldDownUntil(i); !until.IsZero() {
		return line + " not before its hold-down ends at " + stamp(until)
	}
	if until := r.doubt(&s.Rules); r.Health == label.Healthy && !until.IsZero() {
		return line + " not before " + stamp(until) + ", unless that reporter reports a success"
	}
	return line + " it is not in hold-down"
}

// inHoldDown names the regions that are not entered yet. When their hold-down ends is told with each region, and only there.
func (s *State) inHoldDown() string {
	var all []string
	for i := range s.Regions {
		if i != s.Active && !s.Regions[i].enterable() {
			all = append(all, s.Regions[i].Name)
		}
	}
	if len(all) == 0 {
		return ""
	}
	return " (in hold-down: " + strings.Join(all, ", ") + ")"
}

// RegionWhy says why a region has its health, what would change it, and why its hold-down takes longer than others.
func (s *State) RegionWhy(region int) string {
	r := &s.Regions[region]
	if r.holds == 0 || s.HoldDownUntil(region).IsZero() {
		return r.why(&s.Rules)
	}
	text := fmt.Sprintf("%s; in hold-down until %s: ", r.why(&s.Rules), stamp(s.HoldDownUntil(region)))
	again := "it failed again soon after its return at " + stamp(r.returned)
	if s.HoldDownUntil(region).Before(r.prefer) {
		return text + again + ", but the active region is unhealthy"
	}
	return text + fmt.Sprintf("%d times HoldDown, because %s", holds(r.holds), again)
}

// why says why the region has its health, and what would change it.
func (r *Region) why(rules *Rules) string {
	switch r.Health {
	case label.Unhealthy:
		if r.proven(rules) {
			return r.Reason.unhealthy() + "; healthy at " + r.lapse(rules)
		}
		return r.Reason.unhealthy() + "; unknown at " + r.lapse(rules) + "; healthy after " + r.recovery(rules)
	case label.Healthy:
		return r.Reason.healthy() + r.failing()
	}
	if !r.ill {
		return "no success yet" + r.failing()
	}
	text := "it was unhealthy"
	switch {
	case r.Reason.Verdict:
		text += " by " + r.Reason.Reporter + ", whose verdict of " + stamp(r.Reason.To) + " has ended"
	case r.Reason.Reporter != "":
		text += " by " + r.Reason.Reporter + ", whose last failure began at " + stamp(r.Reason.To)
	}
	return text + "; healthy after " + r.recovery(rules) + r.failing()
}

// proven reports whether the region would be healthy if no reporter said otherwise.
func (r *Region) proven(rules *Rules) bool {
	return slices.ContainsFunc(r.Reporters, func(s Reporter) bool { return s.proofs >= rules.Threshold })
}

// lapse says how long the region stays unhealthy without another failure.
func (r *Region) lapse(rules *Rules) string {
	var last time.Time
	for i := range r.Reporters {
		if s := &r.Reporters[i]; s.Health == label.Unhealthy && s.until(rules).After(last) {
			last = s.until(rules)
		}
	}
	return stamp(last) + " if nothing else fails"
}

// recovery says what makes a region healthy that is not.
func (r *Region) recovery(rules *Rules) string {
	if !r.ill {
		return "one success"
	}
	text := label.Count(rules.Threshold, "success") + " in a row of one reporter"
	if !r.failed.IsZero() {
		text += " of requests that began after " + stamp(r.failed)
	}
	var so []string
	for i := range r.Reporters {
		if s := &r.Reporters[i]; s.proofs > 0 {
			so = append(so, fmt.Sprintf("%s: %d", s.Name, s.proofs))
		}
	}
	if len(so) == 0 {
		return text + ", of which there is none"
	}
	return text + ", so far " + strings.Join(so, ", ")
}

// failing names the reporters with failures of a region that is not unhealthy.
func (r *Region) failing() string {
	var so []string
	for i := range r.Reporters {
		if s := &r.Reporters[i]; s.Failures > 0 && s.Health != label.Unhealthy {
			so = append(so, fmt.Sprintf("%s: %s (%s)", s.Name, label.Count(s.Failures, "failure"), s.Failure))
		}
	}
	if len(so) == 0 {
		return ""
	}
	slices.Sort(so)
	return "; so far " + strings.Join(so, ", ")
}

// unhealthy says which signals made a region unhealthy.
func (w *Reason) unhealthy() string {
	if w.Verdict {
		return fmt.Sprintf("%s: a verdict of %s", w.Reporter, stamp(w.To))
	}
	return fmt.Sprintf("%s: %s in a row (%s), of requests that began from %s to %s",
		w.Reporter, label.Count(w.Failures, "failure"), w.Failure, stamp(w.From), stamp(w.To))
}

// healthy says which signals made a region healthy.
func (w *Reason) healthy() string {
	if w.Reporter == "" {
		return "by reports"
	}
	return fmt.Sprintf("%s: successes since %s", w.Reporter, stamp(w.From))
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
