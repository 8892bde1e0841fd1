package issuer

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// IssuerType is the issuer mode of a Cognito user pool: which iss its tokens carry.
type IssuerType int

// The issuer types.
const (
	// AnyIssuer accepts the tokens of both modes: for pools about to be switched, and where the mode is not known.
	AnyIssuer IssuerType = iota
	// Original is the mode in which every region's host names itself: https://cognito-idp.{region}.amazonaws.com/{pool}.
	Original
	// Updated is the mode in which every region mints the primary's https://issuer-cognito-idp.{primary}.amazonaws.com/{pool}.
	Updated
)

// String returns "any", "original" or "updated".
func (t IssuerType) String() string {
	switch t {
	case AnyIssuer:
		return "any"
	case Original:
		return "original"
	case Updated:
		return "updated"
	}
	return "unknown"
}

// UserPool describes an Amazon Cognito user pool and its replicas.
type UserPool struct {
	// ID is the pool ID, "us-east-1_AbCdEf123"; required. It names the primary region, and becomes Provider.ID.
	ID string

	// Replicas names the regions that the pool is replicated to: "us-west-2". Tokens of other regions are refused.
	Replicas []string

	// Issuer is the pool's issuer mode; the zero value accepts both.
	Issuer IssuerType

	// Domain is the pool's hosted domain; optional, it only fills Region.TokenURL. A name with a dot is a custom domain;
	// any other name is a prefix, which is known in partition aws only. Both fail over by name: all regions have the same
	// TokenURL, and Cognito routes it to a region that works.
	Domain string

	// DNSSuffix overrides the suffix that the partition of the region implies ("amazonaws.com"). Where it is empty, the
	// host names of the Updated mode are known in partition aws only: elsewhere Updated is refused, and AnyIssuer
	// accepts the Original issuers alone.
	DNSSuffix string

	// BaseURL overrides where keys are fetched: it returns the URL to dial in place of "https://{host}" for a region
	// and an issuer mode (never AnyIssuer), or "" to leave it. It never changes an iss. For FIPS endpoints, private
	// links and emulators.
	BaseURL func(region string, t IssuerType) string
}

var (
	regionPattern = regexp.MustCompile(`^[a-z]{2,8}(-[a-z]{2,12}){1,3}-[0-9]{1,2}$`)
	poolPattern   = regexp.MustCompile(`^([a-z0-9-]+)_([0-9A-Za-z]+)$`)
	hostPattern   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)
)

// maxPoolID is the longest pool ID of the Cognito API, in octets.
const maxPoolID = 55

// partitions maps the beginning of a region's name to the DNS suffix of its partition, longer beginnings first.
var partitions = []struct {
	prefix, suffix string
	updated        bool // the host names of the Updated mode are published
}{
	{"us-gov-", "amazonaws.com", false},
	{"us-isob-", "sc2s.sgov.gov", false},
	{"us-isof-", "csp.hci.ic.gov", false},
	{"us-iso-", "c2s.ic.gov", false},
	{"eu-isoe-", "cloud.adc-e.uk", false},
	{"us-iso", "", false}, // a partition that is not known
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

// Cognito returns the Provider of a user pool, or everything that is wrong with p as one joined error. It does no I/O.
//
// With O for https://cognito-idp.{region}.{suffix}/{ID} and U for https://issuer-cognito-idp.{region}.{suffix}/{ID},
// e the primary region and w a replica, the regions list:
//
//	mode       primary: iss; keys        replica: iss; keys
//	Original   O_e; O_e                  O_w, O_e; O_w
//	Updated    U_e; U_e, O_e             U_e; O_w, U_e
//	AnyIssuer  O_e, U_e; U_e, O_e        O_w, O_e, U_e; O_w, U_e
func Cognito(p UserPool) (Provider, error) {
	c, err := p.check()
	if err != nil {
		return Provider{}, err
	}
	a := Provider{ID: p.ID}
	for i, region := range append([]string{c.primary}, p.Replicas...) {
		a.Regions = append(a.Regions, c.region(region, i == 0))
	}
	return a, a.Validate()
}

// cognito is a UserPool that has been checked.
type cognito struct {
	UserPool
	primary, suffix string
}

func (p UserPool) check() (cognito, error) {
	c := cognito{UserPool: p, suffix: p.DNSSuffix}
	var errs []error
	add := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("user pool %q: "+format, append([]any{p.ID}, args...)...))
	}
	m := poolPattern.FindStringSubmatch(p.ID)
	if m == nil || len(p.ID) > maxPoolID || !regionPattern.MatchString(m[1]) {
		return c, fmt.Errorf("user pool %q: the ID is not {region}_{letters and digits} of up to %d octets", p.ID, maxPoolID)
	}
	c.primary = m[1]
	suffix, updated := partitionOf(c.primary)
	if p.DNSSuffix == "" {
		c.suffix = suffix
		if suffix == "" {
			add("the partition of region %q is not known: set DNSSuffix", c.primary)
		}
		if !updated && p.Issuer == Updated {
			add("the host names of updated issuers are not known for region %q: set DNSSuffix", c.primary)
		}
		if !updated && p.Issuer == AnyIssuer {
			c.Issuer = Original
		}
	} else if len(p.DNSSuffix) > maxName || !hostPattern.MatchString(p.DNSSuffix) {
		add("DNSSuffix %q is not a lower-case host name", p.DNSSuffix)
	}
	if p.Issuer < AnyIssuer || p.Issuer > Updated {
		add("unknown issuer type %d", int(p.Issuer))
	}
	for i, r := range p.Replicas {
		switch other, otherUpdated := partitionOf(r); {
		case !regionPattern.MatchString(r):
			add("replica %q is not a region", r)
		case r == c.primary:
			add("replica %q is the primary region", r)
		case slices.Contains(p.Replicas[:i], r):
			add("replica %q is listed twice", r)
		case p.DNSSuffix == "" && (other != suffix || otherUpdated != updated):
			add("replica %q is in another partition", r)
		}
	}
	if p.Domain != "" && !hostPattern.MatchString(p.Domain) {
		add("domain %q is not a lower-case host name", p.Domain)
	}
	return c, errors.Join(errs...)
}

func (c cognito) region(name string, primary bool) Region {
	var (
		ownO     = c.iss(name, Original)
		primaryO = c.iss(c.primary, Original)
		primaryU = c.iss(c.primary, Updated)
		keysO    = c.keys(name, Original)
		keysU    = c.keys(c.primary, Updated)
	)
	r := Region{Name: name, TokenURL: c.tokenURL()}
	switch {
	case c.Issuer == Original && primary:
		r.Issuers, r.JWKSURLs = []string{ownO}, []string{keysO}
	case c.Issuer == Original:
		r.Issuers, r.JWKSURLs = []string{ownO, primaryO}, []string{keysO}
	case c.Issuer == Updated && primary:
		r.Issuers, r.JWKSURLs = []string{primaryU}, []string{keysU, keysO}
	case c.Issuer == Updated:
		r.Issuers, r.JWKSURLs = []string{primaryU}, []string{keysO, keysU}
	case primary:
		r.Issuers, r.JWKSURLs = []string{ownO, primaryU}, []string{keysU, keysO}
	default:
		r.Issuers, r.JWKSURLs = []string{ownO, primaryO, primaryU}, []string{keysO, keysU}
	}
	r.JWKSURLs = slices.Compact(r.JWKSURLs) // BaseURL may send both hosts to one
	for _, u := range r.JWKSURLs {
		if u == keysU || !primary {
			r.OptionalJWKSURLs = append(r.OptionalJWKSURLs, u)
		}
	}
	return r
}

func (c cognito) iss(region string, t IssuerType) string {
	host := "cognito-idp."
	if t == Updated {
		host = "issuer-cognito-idp."
	}
	return "https://" + host + region + "." + c.suffix + "/" + c.ID
}

func (c cognito) keys(region string, t IssuerType) string {
	const path = "/.well-known/jwks.json"
	if c.BaseURL != nil {
		if base := c.BaseURL(region, t); base != "" {
			return strings.TrimSuffix(base, "/") + "/" + c.ID + path
		}
	}
	return c.iss(region, t) + path
}

func (c cognito) tokenURL() string {
	_, known := partitionOf(c.primary)
	switch {
	case strings.Contains(c.Domain, "."):
		return "https://" + c.Domain + "/oauth2/token"
	case c.Domain != "" && known && c.DNSSuffix == "":
		return "https://" + c.Domain + ".auth." + c.primary + ".amazoncognito.com/oauth2/token"
	}
	return ""
}
