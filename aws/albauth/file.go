package albauth

import (
	"fmt"

	"github.com/regionjwt/regionjwt/configfile"
	"github.com/regionjwt/regionjwt/internal/joined"
	"github.com/regionjwt/regionjwt/verifier"
)

// FromFile returns a Verifier for the load balancers that a configuration file has for a provider, with the file's Tokens and
// Logger, and the revocation rules of its Validator, which must run for that. edit completes the Config: required claims, a
// client for requests. Nil is fine. The file's failover does not apply: set Config.RegionPolicy in edit to reject tokens of
// inactive regions. Of what changes in the file later, only the rules reach the Verifier: other load balancers, clients or
// issuers need a restart. The error is that of New, or says that the file has no load balancers for the provider.
func FromFile(f *configfile.File, provider string, edit func(*Config)) (*Verifier, error) {
	l, ok := f.LoadBalancers(provider)
	if !ok {
		return nil, fmt.Errorf("albauth: loadBalancers of the file has no member %q, the ID of a provider", provider)
	}
	all := f.Config()
	c := Config{Clients: l.Clients, Tokens: all.Tokens, Logger: all.Logger}
	if list := f.Validator().Revocation(); list != nil {
		c.Tokens.Revocation = list
		if own := all.Tokens.Revocation; own != nil { // of Options.Edit: a token is rejected if either says so
			c.Tokens.Revocation = joined.Of[*verifier.Token, verifier.Revocation]{list, own}
		}
	}
	for _, p := range all.Policies {
		if p.Provider.ID == provider {
			c.Provider = p.Provider
		}
	}
	for _, arn := range l.ARNs {
		c.LoadBalancers = append(c.LoadBalancers, LoadBalancer{ARN: arn, KeysURL: l.KeysURLs[arn]})
	}
	if edit != nil {
		edit(&c)
	}
	return New(c)
}
