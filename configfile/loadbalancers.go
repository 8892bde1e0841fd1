package configfile

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/regionjwt/regionjwt/internal/albtoken"
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
			b.add(l.At, "there is no policy for a provider with the ID %q: there are those for %s", id, idsOf(policies))
		}
		b.checkLoadBalancers(&l)
		all[id] = LoadBalancers{l.ARNs, l.Clients, l.KeysURLs}
	}
	return all
}

func (b *builder) checkLoadBalancers(l *loadBalancers) {
	if len(l.ARNs) == 0 || len(l.ARNs) > albtoken.Max {
		b.add(l.At, "arns has %d entries: list the ARN of each load balancer, at most %d", len(l.ARNs), albtoken.Max)
	}
	for i, arn := range l.ARNs {
		at := place{l.At.node.find("arns").elements[i].line, l.At.path + ".arns[" + strconv.Itoa(i) + "]", nil}
		if _, _, err := albtoken.Find(arn, l.KeysURLs[arn], "its URL in keysURLs"); err != nil {
			b.add(at, "%w", err)
		}
		if slices.Contains(l.ARNs[:i], arn) {
			b.add(at, "%q is listed twice", arn)
		}
	}
	for arn := range l.KeysURLs {
		if !slices.Contains(l.ARNs, arn) {
			b.add(l.At, "keysURLs: %q is none of the arns", arn)
		}
	}
	switch {
	case len(l.Clients) == 0:
		b.add(l.At, `clients is empty: list those of the listeners, or "*" alone for every client`)
	case slices.Contains(l.Clients, ""):
		b.add(l.At, "clients: an ID is empty")
	case slices.Contains(l.Clients, verifier.AllowAnyClient) && len(l.Clients) > 1:
		b.add(l.At, `clients: "*" is not the only one`)
	}
}

func idsOf(policies []verifier.Policy) string {
	ids := make([]string, 0, len(policies))
	for _, p := range policies {
		ids = append(ids, strconv.Quote(p.Provider.ID))
	}
	return strings.Join(ids, ", ")
}
