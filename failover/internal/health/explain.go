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
		if s.before == Unpinned || s.before == Expired {
			return []string{fmt.Sprintf("the pin of %s has ended, and %s is preferred and healthy: %s",
				s.Regions[s.from].Name, active, s.reason.healthy())}
		}
		return []string{
			fmt.Sprintf("%s is preferred to %s, and was healthy again: %s", active, s.Regions[s.from].Name, s.reason.healthy()),
		}
	case Pinned:
		return []string{"an operator pinned " + active}
	case Expired:
		return []string{"an operator had pinned " + active + ", and the pin has expired"}
	case Unpinned:
		return []string{active + " was active when an operator ended a pin"}
	}
	return []string{active + " is the first region of the provider"}
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
		return []string{active.Name + " is unhealthy, and there is no other region to move to: the first one is entered that " +
			"is healthy, or else unknown, and not in hold-down" + s.inHoldDown()}
	}
	for i := range s.Regions[:s.Active] {
		lines = append(lines, s.returnTo(i))
	}
	line := fmt.Sprintf("away from %s: if it becomes unhealthy, by %s in a row of one reporter, or a monitor's verdict%s",
		active.Name, count(s.Rules.Threshold, "failure"), active.failing())
	if to := s.first(label.Healthy, len(s.Regions), (*Region).enterable); to >= 0 {
		line += "; now to " + s.Regions[to].Name
	} else if to := s.first(label.Unknown, len(s.Regions), (*Region).enterable); to >= 0 {
		line += "; now to " + s.Regions[to].Name + ", whose health is unknown"
	} else {
		line += "; now there is no other region to move to" +
			s.inHoldDown()
	}
	return append(lines, line)
}

// returnTo says when a preferred region is returned to.
func (s *State) returnTo(i int) string {
	r := &s.Regions[i]
	line := "back to " + r.Name + ":"
	if r.Health == label.Healthy {
		line += " it is healthy" + r.failing() + ";"
	} else {
		line += " when it is healthy (" + r.recovery(&s.Rules) + ");"
	}
	if until := r.prefer; !until.IsZero() {
		return line + " not before its hold-down ends at " + stamp(until)
	}
	return line + " it is not in hold-down"
}

// inHoldDown names the regions that are not entered yet.
func (s *State) inHoldDown() string {
	var all []string
	for i := range s.Regions {
		if t := s.Regions[i].hold; i != s.Active && !t.IsZero() {
			all = append(all, s.Regions[i].Name+" until "+stamp(t))
		}
	}
	if len(all) == 0 {
		return ""
	}
	return " (in hold-down: " + strings.Join(all, ", ") + ")"
}

// Why says why the region has its health, and what would change it.
func (r *Region) Why(rules *Rules) string {
	switch r.Health {
	case label.Unhealthy:
		return r.Reason.unhealthy() + "; " + r.lapse(rules) + "; healthy after " + r.recovery(rules)
	case label.Healthy:
		return r.Reason.healthy() + r.failing()
	}
	if !r.ill {
		return "no success yet" + r.failing()
	}
	text := "it was unhealthy"
	if r.Reason.Reporter != "" {
		text += " by " + r.Reason.Reporter + ", whose last failure began at " + stamp(r.Reason.To)
	}
	return text + "; healthy after " + r.recovery(rules) + r.failing()
}

// lapse says how long the region stays unhealthy without another failure.
func (r *Region) lapse(rules *Rules) string {
	var last time.Time
	for i := range r.Reporters {
		if s := &r.Reporters[i]; s.Health == label.Unhealthy && s.until(rules).After(last) {
			last = s.until(rules)
		}
	}
	return "unknown at " + stamp(last) + " if nothing else fails"
}

// recovery says what makes a region healthy that is not.
func (r *Region) recovery(rules *Rules) string {
	if !r.ill {
		return "one success"
	}
	text := count(rules.Threshold, "success") + " in a row of one reporter"
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
			so = append(so, fmt.Sprintf("%s: %s (%s)", s.Name, count(s.Failures, "failure"), s.Failure))
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
		return fmt.Sprintf("%s: verdict (%s) of %s", w.Reporter, w.Failure, stamp(w.To))
	}
	return fmt.Sprintf("%s: %s in a row (%s), of requests that began from %s to %s",
		w.Reporter, count(w.Failures, "failure"), w.Failure, stamp(w.From), stamp(w.To))
}

// healthy says which signals made a region healthy.
func (w *Reason) healthy() string {
	if w.Reporter == "" {
		return "by reports"
	}
	return fmt.Sprintf("%s: successes since %s", w.Reporter, stamp(w.From))
}

// count writes a number with a word.
func count(n int, one string) string {
	switch {
	case n == 1:
		return "1 " + one
	case strings.HasSuffix(one, "s"):
		return fmt.Sprint(n, " ", one, "es")
	}
	return fmt.Sprint(n, " ", one, "s")
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
