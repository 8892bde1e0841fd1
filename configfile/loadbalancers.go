package configfile

import (
	"maps"
	"slices"

	"github.com/regionjwt/regionjwt/verifier"
)

// LoadBalancers says which Application Load Balancers of AWS authenticate the users of a provider. Package aws/albauth verifies
// their tokens.
type LoadBalancers struct {
	ARNs     []string          // one in each Region, for example
	Clients  []string          // of the listeners at the provider
	KeysURLs map[string]string // of the keys, by ARN, where AWS documents none
}

// LoadBalancers returns what the file says about the load balancers of a provider; false if it says nothing. A change needs a
// restart.
func (f *File) LoadBalancers(provider string) (LoadBalancers, bool) {
	if f == nil {
		return LoadBalancers{}, false
	}
	l, ok := f.loadBalancers[provider]
	return LoadBalancers{slices.Clone(l.ARNs), slices.Clone(l.Clients), maps.Clone(l.KeysURLs)}, ok
}

// loadBalancersOf checks what the document says about load balancers, as the Validator does not know it.
func (b *builder) loadBalancersOf(d *document, policies []verifier.Policy) map[string]LoadBalancers {
	all := map[string]LoadBalancers{}
	for id, l := range d.LoadBalancers {
		if !slices.ContainsFunc(policies, func(p verifier.Policy) bool { return p.Provider.ID == id }) {
			b.add(l.At, "there is no policy for a provider with the ID %q", id)
		}
		for arn := range l.KeysURLs {
			if !slices.Contains(l.ARNs, arn) {
				b.add(l.At, "keysURLs: %q is none of the arns", arn)
			}
		}
		all[id] = LoadBalancers{l.ARNs, l.Clients, l.KeysURLs}
	}
	return all
}
