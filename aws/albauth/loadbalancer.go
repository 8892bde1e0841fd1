package albauth

import (
	"cmp"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/regionjwt/regionjwt/internal/outbound"
)

// maxLoadBalancers is how many load balancers a Verifier may have.
const maxLoadBalancers = 64

// arnPattern has the partition and the Region as groups.
var arnPattern = regexp.MustCompile(
	`^arn:(aws[a-z-]*):elasticloadbalancing:([a-z]{2,}(?:-[a-z]+)+-[0-9]+):[0-9]{12}:loadbalancer/app/[A-Za-z0-9-]+/[0-9a-z]+$`)

// keyServer is where the keys of a Region are, by its partition. %[1]s is the Region. The servers of other partitions are not
// documented.
var keyServer = map[string]string{
	"aws":        "https://public-keys.auth.elb.%[1]s.amazonaws.com",
	"aws-cn":     "https://public-keys.auth.elb.%[1]s.amazonaws.com.cn",
	"aws-us-gov": "https://s3-%[1]s.amazonaws.com/aws-elb-public-keys-prod-%[1]s",
}

// partitionOf returns the partition that the name of a Region belongs to, as far as it says so.
func partitionOf(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	}
	return ""
}

// signers returns the load balancers of c, and every problem with them.
func (c *Config) signers() (all []*signer, errs []error) {
	add := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("albauth: LoadBalancers"+format, args...))
	}
	switch n := len(c.LoadBalancers); {
	case n == 0:
		add(" is empty: list the ARN of each load balancer")
	case n > maxLoadBalancers:
		add(" has %d entries; the maximum is %d", n, maxLoadBalancers)
	}
	known := map[string]bool{}
	for i, b := range c.LoadBalancers {
		parts := arnPattern.FindStringSubmatch(b.ARN)
		if parts == nil {
			add("[%d]: %q is not the ARN of an Application Load Balancer", i, b.ARN)
			continue
		}
		partition, region := parts[1], parts[2]
		if other := partitionOf(region); (other != "" || keyServer[partition] != "" && partition != "aws") && other != partition {
			add("[%d]: the Region of %q is not in its partition", i, b.ARN)
		}
		if known[b.ARN] {
			add("[%d]: %q is listed twice", i, b.ARN)
		}
		known[b.ARN] = true
		if len(b.Region) > 256 || strings.ContainsFunc(b.Region, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			add("[%d]: Region %q has a space or a control character, or more than 256 bytes", i, b.Region)
		}
		s := &signer{arn: b.ARN, region: cmp.Or(b.Region, region), url: strings.TrimSuffix(b.KeysURL, "/")}
		server, documented := keyServer[partition]
		switch {
		case b.KeysURL == "" && documented:
			s.url = fmt.Sprintf(server, region)
		case b.KeysURL == "":
			add("[%d]: where the keys of partition %q are is not documented: set KeysURL", i, partition)
		default:
			u, err := url.Parse(b.KeysURL)
			if err != nil || !outbound.Allowed(u, nil) || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery {
				add("[%d]: KeysURL is not an https URL without query, fragment and user", i)
			}
		}
		all = append(all, s)
	}
	return all, errs
}
