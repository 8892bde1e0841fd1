package failover

import (
	"errors"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/verdict"
)

// errInactive rejects a token of a region that is not active.
var errInactive = errors.New("failover: none of the regions that may have issued the token is active")

// unknownError says why it is not known which region operators have pinned.
type unknownError struct{ error }

var (
	errNotKnown  error = unknownError{errors.New("failover: it is not known yet which region is active")}
	errNotMadeBy error = unknownError{errNotMade}
)

// Is tells a verifier that this is no decision on the token.
func (unknownError) Is(target error) bool { return target == verdict.ErrUnavailable }

// Unwrap returns the cause.
func (e unknownError) Unwrap() error { return e.error }

// Admit rejects tokens of inactive regions if Config.RejectInactive is set. It is a region policy of package verifier:
// regions are those that may have issued the token. It admits a token that the pinned region may have issued, one that was
// issued before the pin or less than DrainPeriod after it, and every token of another provider. Without a pin, and while pins
// are in conflict, it admits all. Until the pins are known, no token can be judged (503), and neither can any token if New
// has not made the Controller.
func (c *Controller) Admit(provider string, regions []string, issuedAt time.Time) error {
	if !c.made() {
		return errNotMadeBy
	}
	s := c.snapshot.Load()
	if !c.config.RejectInactive || provider != s.status.Provider {
		return nil
	}
	if !c.replica.State().Known {
		return errNotKnown
	}
	p := s.pin
	if p == nil || !p.inForce(time.Now()) || len(s.status.Conflicts) > 0 || slices.Contains(regions, p.Region) {
		return nil
	}
	if !issuedAt.IsZero() && issuedAt.Before(p.At.Add(c.config.DrainPeriod)) {
		return nil
	}
	return errInactive
}

// Issuers returns the issuers of the provider, those of the active region first: the authorization servers in the metadata of a
// resource (RFC 9728).
func (c *Controller) Issuers() []string {
	if !c.made() {
		return nil
	}
	active, regions := c.Active(), c.current.Load().Regions
	var all []string
	add := func(issuers []string) {
		for _, iss := range issuers {
			if !slices.Contains(all, iss) {
				all = append(all, iss)
			}
		}
	}
	for _, r := range regions {
		if r.Name == active {
			add(r.Issuers)
		}
	}
	for _, r := range regions {
		add(r.Issuers)
	}
	return all
}
