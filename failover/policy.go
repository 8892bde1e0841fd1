package failover

import (
	"errors"
	"slices"
	"time"
)

// inactiveError refuses a token of a region that is not active.
var errInactive = errors.New("failover: none of the regions that may have minted the token is active")

// unknownError says why it is not known which region operators have activated.
type unknownError struct{ error }

var (
	errNotKnown  error = unknownError{errors.New("failover: it is not known yet which region is active")}
	errNotMadeBy error = unknownError{errNotMade}
)

// Unavailable tells a verifier that this is no verdict on the token.
func (unknownError) Unavailable() bool { return true }

// Unwrap returns why.
func (e unknownError) Unwrap() error { return e.error }

// Admit implements verifier.RegionPolicy. Without Config.RefuseInactive it admits every region, and an authority that is not
// the Controller's is always admitted. Otherwise it admits a token that the active region may have minted, and one of a
// region that ceased to be active less than Drain ago. While the orders of the operators are not known, a token that would be
// refused is unavailable instead; and so is every token if New has not made the Controller.
func (c *Controller) Admit(authority string, possible []string, _ time.Time) error {
	if !c.made() {
		return errNotMadeBy
	}
	s := c.snapshot.Load()
	if !c.config.RefuseInactive || authority != s.Provider || slices.Contains(possible, s.Active) {
		return nil
	}
	if !s.OrderKnown {
		return errNotKnown
	}
	now := time.Now()
	for _, name := range possible {
		if left, ok := s.left[name]; ok && now.Sub(left) < c.config.Drain {
			return nil
		}
	}
	return errInactive
}

// AuthorizationServers lists the issuers of the authority, those of the active region first: what
// httpauth.Metadata.AuthorizationServers wants.
func (c *Controller) AuthorizationServers() []string {
	if !c.made() {
		return nil
	}
	active := c.Active()
	var servers []string
	add := func(issuers []string) {
		for _, iss := range issuers {
			if !slices.Contains(servers, iss) {
				servers = append(servers, iss)
			}
		}
	}
	for _, r := range c.config.Provider.Regions {
		if r.Name == active {
			add(r.Issuers)
		}
	}
	for _, r := range c.config.Provider.Regions {
		add(r.Issuers)
	}
	return servers
}
