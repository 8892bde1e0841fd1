package albauth

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/regionjwt/regionjwt/internal/albtoken"
)

// signers returns the load balancers of c, and every problem with them.
func (c *Config) signers() (all []*signer, errs []error) {
	add := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("albauth: LoadBalancers"+format, args...))
	}
	switch n := len(c.LoadBalancers); {
	case n == 0:
		add(" is empty: list the ARN of each load balancer")
	case n > albtoken.Max:
		add(" has %d entries; the maximum is %d", n, albtoken.Max)
	}
	known := map[string]bool{}
	for i, b := range c.LoadBalancers {
		region, keys, err := albtoken.Find(b.ARN, b.KeysURL, "KeysURL")
		if err != nil {
			add("[%d]: %w", i, err)
		}
		if known[b.ARN] {
			add("[%d]: %q is listed twice", i, b.ARN)
		}
		known[b.ARN] = true
		if len(b.Region) > 256 || strings.ContainsFunc(b.Region, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			add("[%d]: Region %q has a space or a control character, or more than 256 bytes", i, b.Region)
		}
		all = append(all, &signer{arn: b.ARN, region: cmp.Or(b.Region, region), url: keys})
	}
	return all, errs
}
