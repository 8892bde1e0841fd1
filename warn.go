package regionjwt

import (
	"fmt"
	"slices"
	"strings"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/tokenkinds"
	"github.com/regionjwt/regionjwt/verifier"
)

// warning is something that is allowed and may be a mistake.
type warning struct{ message, provider, key, text string }

// newWarnings returns the warnings about policies that there were none of for the policies before. The caller holds updating.
func (v *Validator) newWarnings(policies []verifier.Policy) (fresh []warning) {
	now := map[warning]bool{}
	for i := range policies {
		for _, w := range warningsOf(&policies[i]) {
			if !v.warned[w] && !now[w] {
				fresh = append(fresh, w)
			}
			now[w] = true
		}
	}
	v.warned = now
	return fresh
}

// warn logs warnings. The caller holds no lock.
func (v *Validator) warn(all []warning) {
	for _, w := range all {
		v.log.Warn(w.message, "provider", w.provider, w.key, w.text)
	}
}

func warningsOf(p *verifier.Policy) (all []warning) {
	id := p.Provider.ID
	for _, text := range tokenkinds.Unclear(*p) {
		all = append(all, warning{"access tokens and ID tokens cannot be told apart for certain", id, "problem", text})
	}
	if text := tokenkinds.Unmet(*p); text != "" {
		all = append(all, warning{"the policy rejects most access tokens", id, "problem", text})
	}
	for _, name := range p.GroupClaims {
		if strings.Contains(name, ".") && !strings.ContainsAny(name, "/:") {
			help := fmt.Sprintf("%q: if it is a member of an object, write %q", name, "/"+strings.ReplaceAll(name, ".", "/"))
			all = append(all, warning{"a group claim is named with a dot", id, "help", help})
		}
	}
	return all
}

// warnOfSignals logs providers whose security events are believed and that have no Policy.
func (c *Config) warnOfSignals() {
	if c.Revocation == nil {
		return
	}
	for _, s := range c.Revocation.Signals {
		for _, id := range s.Providers {
			if !slices.ContainsFunc(c.Policies, func(p verifier.Policy) bool { return p.Provider.ID == id }) {
				guard.Logger(c.Logger).Warn("security events are believed for a provider that has no Policy", "provider", id,
					"help", "list the Provider.ID of a Policy: rules for others match no token")
			}
		}
	}
}
