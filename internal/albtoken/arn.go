package albtoken

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/regionjwt/regionjwt/internal/outbound"
)

// Max is how many load balancers a Verifier may have.
const Max = 64

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

// Find returns the Region of a load balancer, and the URL of its keys, without a slash at the end: keysURL, or the documented
// one. setting is the name under which keysURL can be set.
func Find(arn, keysURL, setting string) (region, keys string, err error) {
	parts := arnPattern.FindStringSubmatch(arn)
	if parts == nil {
		return "", "", fmt.Errorf("%q is not the ARN of an Application Load Balancer, "+
			"arn:aws:elasticloadbalancing:REGION:ACCOUNT:loadbalancer/app/NAME/ID", arn)
	}
	partition, region := parts[1], parts[2]
	if other := partitionOf(region); (other != "" || keyServer[partition] != "" && partition != "aws") && other != partition {
		return "", "", fmt.Errorf("the Region of %q is not in its partition", arn)
	}
	server, documented := keyServer[partition]
	switch {
	case keysURL == "" && documented:
		return region, fmt.Sprintf(server, region), nil
	case keysURL == "":
		return "", "", fmt.Errorf("where the keys of partition %q are is not documented: set %s", partition, setting)
	}
	u, err := url.Parse(keysURL)
	if err != nil || !outbound.Allowed(u, nil) || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery {
		return "", "", errors.New(setting + " is not an https URL without query, fragment and user")
	}
	return region, strings.TrimSuffix(keysURL, "/"), nil
}
