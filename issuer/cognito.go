package issuer

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// CognitoMode is the issuer mode of a Cognito user pool: it decides which iss tokens carry. Its values are those of the Cognito
// API.
type CognitoMode string

// The issuer modes.
const (
	// CognitoAny accepts the tokens of both modes, for pools whose mode is not known or is about to change.
	CognitoAny CognitoMode = ""
	// CognitoOriginal: each region has an iss of its own, https://cognito-idp.{region}.amazonaws.com/{pool}.
	CognitoOriginal CognitoMode = "ORIGINAL"
	// CognitoUpdated: every region issues https://issuer-cognito-idp.{primary}.amazonaws.com/{pool}.
	CognitoUpdated CognitoMode = "UPDATED"
)

// UserPool describes an Amazon Cognito user pool and its replicas. Provider returns the Provider for it.
type UserPool struct {
	// ID is the pool ID, "us-east-1_AbCdEf123". It is required. It contains the primary region and becomes Provider.ID.
	ID string

	// Replicas lists the regions that the pool is replicated to: "us-west-2". Tokens of other regions are rejected.
	Replicas []string

	// Mode is the pool's issuer mode. CognitoAny, the zero value, accepts both. CognitoUpdated needs a pool in an AWS commercial
	// Region; elsewhere CognitoAny accepts the issuers of CognitoOriginal only.
	Mode CognitoMode

	// Domain is the pool's hosted domain; optional. It only sets Region.TokenURL. A name with a dot is a custom domain. Any other
	// name is a prefix, which sets TokenURL for pools in AWS commercial Regions only. All regions have the same TokenURL:
	// Cognito routes it to a region that works.
	Domain string

	// Endpoint overrides where keys are fetched; nil means from the hosts of Cognito. It returns the base URL to use instead of
	// "https://{host}" for a region and an issuer mode (CognitoOriginal or CognitoUpdated), or "" for no change. It does not
	// change which iss is accepted. Use it for FIPS endpoints, private links and emulators.
	Endpoint func(region string, mode CognitoMode) string
}

var (
	regionPattern = regexp.MustCompile(`^[a-z]{2,8}(-[a-z]{2,12}){1,3}-[0-9]{1,2}$`)
	poolPattern   = regexp.MustCompile(`^([a-z0-9-]+)_([0-9A-Za-z]+)$`)
	hostPattern   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)
)

// maxPoolID is the longest pool ID of the Cognito API, in bytes.
const maxPoolID = 55

// partitions maps the beginning of a region's name to the DNS suffix of its partition, longer beginnings first.
var partitions = []struct {
	prefix, suffix string
	updated        bool // the hosts of CognitoUpdated are documented
}{
	{"us-gov-", "amazonaws.com", false},
	{"us-isob-", "sc2s.sgov.gov", false},
	{"us-isof-", "csp.hci.ic.gov", false},
	{"us-iso-", "c2s.ic.gov", false},
	{"eu-isoe-", "cloud.adc-e.uk", false},
	{"us-iso", "", false}, // an unknown partition
	{"eu-iso", "", false},
	{"eusc-", "amazonaws.eu", false},
	{"cn-", "amazonaws.com.cn", false},
	{"us-", "amazonaws.com", true},
	{"eu-", "amazonaws.com", true},
	{"ap-", "amazonaws.com", true},
	{"sa-", "amazonaws.com", true},
	{"ca-", "amazonaws.com", true},
	{"me-", "amazonaws.com", true},
	{"af-", "amazonaws.com", true},
	{"il-", "amazonaws.com", true},
	{"mx-", "amazonaws.com", true},
}

func partitionOf(region string) (suffix string, updated bool) {
	for _, p := range partitions {
		if strings.HasPrefix(region, p.prefix) {
			return p.suffix, p.updated
		}
	}
	return "", false
}

// Cognito returns the Provider for an Amazon Cognito user pool and its replica regions, in either issuer mode. It is short for
// UserPool{ID: poolID, Replicas: replicas}.Provider().
func Cognito(poolID string, replicas ...string) Provider {
	return UserPool{ID: poolID, Replicas: replicas}.Provider()
}

// Provider returns the Provider for the pool. It does not fail: if the description has a problem, the Provider has no regions,
// and the constructor that receives it reports every problem. It does no I/O.
//
// With O for https://cognito-idp.{region}.{suffix}/{ID} and U for https://issuer-cognito-idp.{region}.{suffix}/{ID},
// e for the primary region and w for a replica, the regions list:
//
//	mode             primary: iss; keys        replica: iss; keys
//	CognitoOriginal  O_e; O_e                  O_w, O_e; O_w
//	CognitoUpdated   U_e; U_e, O_e             U_e; O_w, U_e
//	CognitoAny       O_e, U_e; U_e, O_e        O_w, O_e, U_e; O_w, U_e
func (p UserPool) Provider() Provider {
	provider := Provider{ID: p.ID}
	c, err := p.check()
	if err != nil {
		provider.problem = err
		return provider
	}
	for i, region := range append([]string{c.primary}, p.Replicas...) {
		provider.Regions = append(provider.Regions, c.region(region, i == 0))
	}
	return provider
}

// cognito is a UserPool that has been checked.
type cognito struct {
	UserPool
	primary, suffix string
}

func (p UserPool) check() (cognito, error) {
	c := cognito{UserPool: p}
	var errs []error
	add := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("user pool %q: "+format, append([]any{p.ID}, args...)...))
	}
	m := poolPattern.FindStringSubmatch(p.ID)
	if m == nil || len(p.ID) > maxPoolID || !regionPattern.MatchString(m[1]) {
		add(`the ID must be {region}_{letters and digits} of at most %d bytes, such as "us-east-1_AbCdEf123"`, maxPoolID)
	} else {
		c.primary = m[1]
	}
	suffix, updated := partitionOf(c.primary)
	c.suffix = suffix
	switch {
	case c.primary == "":
	case suffix == "":
		add("the AWS partition of region %q is unknown: list the regions with their URLs in an issuer.Provider", c.primary)
	case !updated && p.Mode == CognitoUpdated:
		add("Mode is UPDATED, and the hosts of this mode are unknown in the AWS partition of region %q: use CognitoOriginal, or "+
			"list the regions with their URLs in an issuer.Provider", c.primary)
	case !updated && p.Mode == CognitoAny:
		c.Mode = CognitoOriginal
	}
	if p.Mode != CognitoAny && p.Mode != CognitoOriginal && p.Mode != CognitoUpdated {
		add("Mode %q is unknown: use CognitoAny, CognitoOriginal or CognitoUpdated", p.Mode)
	}
	if len(p.Replicas) >= maxValues {
		add("Replicas has %d values: at most %d are supported", len(p.Replicas), maxValues-1)
	}
	for i, r := range p.Replicas {
		switch other, otherUpdated := partitionOf(r); {
		case !regionPattern.MatchString(r):
			add(`replica %q is not an AWS Region: write it as "us-west-2"`, r)
		case r == c.primary:
			add("replica %q is the primary region, which the ID names: remove it from Replicas", r)
		case slices.Contains(p.Replicas[:i], r):
			add("replica %q is listed twice", r)
		case c.primary != "" && (other != suffix || otherUpdated != updated):
			add("replica %q is in another AWS partition than the primary region %q", r, c.primary)
		}
	}
	if p.Domain != "" && !hostPattern.MatchString(p.Domain) {
		add("Domain %q must be a prefix or a host name, in lower case", p.Domain)
	}
	return c, errors.Join(errs...)
}

func (c cognito) region(name string, primary bool) Region {
	var (
		ownO     = c.iss(name, CognitoOriginal)
		primaryO = c.iss(c.primary, CognitoOriginal)
		primaryU = c.iss(c.primary, CognitoUpdated)
		keysO    = c.keys(name, CognitoOriginal)
		keysU    = c.keys(c.primary, CognitoUpdated)
	)
	r := Region{Name: name, TokenURL: c.tokenURL()}
	switch {
	case c.Mode == CognitoOriginal && primary:
		r.Issuers, r.JWKSURLs = []string{ownO}, []string{keysO}
	case c.Mode == CognitoOriginal:
		r.Issuers, r.JWKSURLs = []string{ownO, primaryO}, []string{keysO}
	case c.Mode == CognitoUpdated && primary:
		r.Issuers, r.JWKSURLs = []string{primaryU}, []string{keysU, keysO}
	case c.Mode == CognitoUpdated:
		r.Issuers, r.JWKSURLs = []string{primaryU}, []string{keysO, keysU}
	case primary:
		r.Issuers, r.JWKSURLs = []string{ownO, primaryU}, []string{keysU, keysO}
	default:
		r.Issuers, r.JWKSURLs = []string{ownO, primaryO, primaryU}, []string{keysO, keysU}
	}
	r.JWKSURLs = slices.Compact(r.JWKSURLs) // Endpoint may return the same URL for both modes
	for _, u := range r.JWKSURLs {
		if u == keysU || !primary {
			r.OptionalJWKSURLs = append(r.OptionalJWKSURLs, u)
		}
	}
	return r
}

func (c cognito) iss(region string, mode CognitoMode) string {
	host := "cognito-idp."
	if mode == CognitoUpdated {
		host = "issuer-cognito-idp."
	}
	return "https://" + host + region + "." + c.suffix + "/" + c.ID
}

func (c cognito) keys(region string, mode CognitoMode) string {
	const path = "/.well-known/jwks.json"
	if c.Endpoint != nil {
		if base := c.Endpoint(region, mode); base != "" {
			return strings.TrimSuffix(base, "/") + "/" + c.ID + path
		}
	}
	return c.iss(region, mode) + path
}

func (c cognito) tokenURL() string {
	_, known := partitionOf(c.primary)
	switch {
	case strings.Contains(c.Domain, "."):
		return "https://" + c.Domain + "/oauth2/token"
	case c.Domain != "" && known:
		return "https://" + c.Domain + ".auth." + c.primary + ".amazoncognito.com/oauth2/token"
	}
	return ""
}
