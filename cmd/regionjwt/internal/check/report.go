package check

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/provider"
	"github.com/regionjwt/regionjwt/internal/label"
)

// drillReport is the answer of check.
type drillReport struct {
	Verdict   string        `json:"verdict"` // ready, not_ready, cannot_tell
	Provider  string        `json:"provider"`
	Regions   []drillRegion `json:"regions"`
	Documents []*document   `json:"discovery"`
	Accepts   []acceptedKey `json:"accepts"` // what a verifier accepts that starts now
	Losses    []loss        `json:"losses"`
	Findings  []finding     `json:"findings"` // the worst first
	Limits    []string      `json:"limits"`   // what the drill cannot see

	reached bool // some URL has answered, in whatever way
}

// drillRegion is a region with its key sets.
type drillRegion struct {
	Name    string    `json:"name"`
	Issuers []string  `json:"issuers"`
	KeySets []*keySet `json:"key_sets"`
}

// The verdicts of check.
const (
	drillReady      = "ready"
	drillNotReady   = "not_ready"
	drillCannotTell = "cannot_tell"
)

var limits = []string{
	"This machine's network is not the services': run the drill where they run.",
	"Which iss a token really carries, and which key signs, shows in a token only: regionjwt inspect --fetch.",
	"Whether a region can issue tokens is not tried, nor whether what each region has of its own is there (the Lambda triggers " +
		"of a Cognito replica, its e-mail settings): its tokens may verify without claims that they should have.",
	"A region is lost with the hosts that it prefers: the worst case for a host that the provider serves from several regions.",
	"It is a picture of one moment: a rotation under way shows as keys that differ.",
}

// report compares what was fetched, and loses the regions.
func (d *drill) report(ctx context.Context) *drillReport {
	r := &drillReport{
		Provider: d.provider.ID, Documents: d.documents, Accepts: []acceptedKey{}, Losses: []loss{}, Findings: []finding{},
		Limits: limits,
	}
	for _, region := range d.provider.Regions {
		one := drillRegion{Name: region.Name, Issuers: region.Issuers, KeySets: []*keySet{}}
		for _, s := range d.sets {
			if s.Region == region.Name {
				one.KeySets = append(one.KeySets, s)
			}
		}
		r.Regions = append(r.Regions, one)
	}
	r.reached = d.reached()
	owners := d.owners()
	d.compareURLs(r)
	d.compareDocuments(r)
	d.compareRegions(r, owners)
	d.compareKeys(r)
	d.loseAll(ctx, r, owners)
	return r
}

// longCache is how long an authorizer's answer may be kept without a warning.
const longCache = time.Minute

// authorizer says what it means that API Gateway keeps the answers of an authorizer.
func (r *drillReport) authorizer(kept time.Duration) {
	switch at := (finding{Detail: kept.String()}); {
	case kept > longCache:
		r.found(codeAuthorizerCacheLong, at)
	case kept > 0:
		r.found(codeAuthorizerCache, at)
	}
}

// reached reports whether any URL has answered, be it with a certificate that is not trusted.
func (d *drill) reached() bool {
	for _, s := range d.sets {
		if s.Status != 0 || s.Certificate != nil {
			return true
		}
	}
	return slices.ContainsFunc(d.documents, func(doc *document) bool { return doc.Status != 0 || doc.Certificate != nil })
}

// decide sets the verdict, and puts the worst findings first.
func (r *drillReport) decide(strict bool) {
	order := []level{levelError, levelWarning, levelInfo}
	slices.SortStableFunc(r.Findings, func(a, b finding) int {
		return cmp.Compare(slices.Index(order, a.Level), slices.Index(order, b.Level))
	})
	has := func(l level) bool {
		return slices.ContainsFunc(r.Findings, func(f finding) bool { return f.Level == l })
	}
	switch {
	case !r.reached:
		r.Verdict = drillCannotTell
	case has(levelError), strict && has(levelWarning):
		r.Verdict = drillNotReady
	default:
		r.Verdict = drillReady
	}
}

// compareURLs looks at each URL by itself.
func (d *drill) compareURLs(r *drillReport) {
	for _, s := range d.sets {
		at := finding{Region: s.Region, URL: s.URL}
		d.compareCertificate(r, s.URL, s.Certificate)
		switch {
		case s.State == urlNotEnabled:
			at.Detail = label.Status(s.Status)
			r.found(codeNotEnabled, at)
		case s.State == urlFailed && (s.Certificate == nil || s.Certificate.Flaw == ""):
			at.Detail = failureOf(s.Error, s.Status)
			r.found(codeURLDown, at)
		case s.State == urlGood && s.took > urlWait:
			at.Detail = fmt.Sprintf("%d ms", s.Millis)
			r.found(codeSlow, at)
		}
		for _, k := range s.Skipped {
			if k.Why == "use_is_not_sig" { // a key that signs nothing
				continue
			}
			skip := finding{Region: s.Region, URL: s.URL, Detail: "key " + k.Key + ": " + k.Why}
			r.found(codeKeySkipped, skip)
		}
	}
}

// failureOf names a failure by its class.
func failureOf(class string, status int) string {
	if class == label.HTTP {
		return label.Status(status)
	}
	return class
}

// compareCertificate looks at the certificate of a host.
func (d *drill) compareCertificate(r *drillReport, rawURL string, c *certificate) {
	if c == nil {
		return
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return
	}
	switch {
	case c.Flaw != "":
		r.found(codeCertificateBad, finding{Host: u.Host, Detail: c.Flaw + "; it ends " + cli.Stamp(c.Expires)})
	case c.Days < d.days:
		left := fmt.Sprintf("%d days left; it ends %s", c.Days, cli.Stamp(c.Expires))
		r.found(codeCertificateSoon, finding{Host: u.Host, Detail: left})
	}
}

// compareDocuments looks at the discovery documents.
func (d *drill) compareDocuments(r *drillReport) {
	good := slices.ContainsFunc(d.documents, func(doc *document) bool { return doc.misnamed || doc.State == urlGood })
	for _, doc := range d.documents {
		at := finding{Region: strings.Join(doc.Regions, ", "), Issuer: doc.Issuer, URL: doc.URL}
		d.compareCertificate(r, doc.URL, doc.Certificate)
		switch {
		case doc.State == urlNotEnabled && good:
			at.Detail = label.Status(doc.Status)
			r.found(codeNotEnabled, at)
			continue
		case doc.State == urlNotEnabled:
			at.Detail = label.Status(doc.Status)
			r.found(codeIssuerNotServed, at)
			continue
		case doc.State == urlFailed && doc.Error != label.Discovery:
			if doc.Certificate == nil || doc.Certificate.Flaw == "" {
				at.Detail = failureOf(doc.Error, doc.Status)
				r.found(codeDiscoveryDown, at)
			}
			continue
		}
		d.compareContents(r, doc, at)
	}
}

// compareContents looks at what a discovery document says.
func (d *drill) compareContents(r *drillReport, doc *document, at finding) {
	if doc.misnamed {
		at.Detail = "it names " + cut(doc.Names)
		if doc.Names == "" {
			at.Detail = "it names none"
		}
		if d.document(doc.Names) != nil && !doc.Used {
			r.found(codeDiscoveryOther, at)
		} else {
			r.found(codeDiscoveryIssuer, at)
		}
		at.Detail = ""
	}
	if doc.KeysAt == "" {
		r.found(codeDiscoveryBad, at)
	}
	if !doc.Token {
		r.found(codeNoTokenEndpoint, at)
	}
	listed := slices.ContainsFunc(d.sets, func(s *keySet) bool { return requestURL(s.URL) == requestURL(doc.KeysAt) })
	if !doc.Used && doc.KeysAt != "" && !listed {
		at.Detail = "it names " + cut(doc.KeysAt)
		r.found(codeKeysElsewhere, at)
	}
}

// compareRegions looks for regions that are unavailable, and for hosts that cannot be lost.
func (d *drill) compareRegions(r *drillReport, owners map[string][]string) {
	if len(d.provider.Regions) == 1 {
		r.found(codeNoOtherRegion, finding{Region: d.provider.Regions[0].Name})
	}
	for _, region := range d.provider.Regions {
		if !d.works(region.Name) {
			r.found(codeRegionUnavailable, finding{Region: region.Name})
		}
		owns, speaks := false, false
		for host, regions := range owners {
			if !slices.Equal(regions, []string{region.Name}) {
				continue
			}
			owns = true
			speaks = speaks || slices.ContainsFunc(d.sets, func(s *keySet) bool {
				u, err := url.Parse(s.URL)
				return err == nil && provider.HostPort(u) == host && s.Region == region.Name && s.State == urlGood
			})
		}
		if owns && !speaks && d.works(region.Name) {
			r.found(codeRegionHostsUnavailable, finding{Region: region.Name})
		}
		if !owns && len(d.provider.Regions) > 1 {
			r.found(codeNotDrilled, finding{Region: region.Name})
		}
	}
	for _, host := range sortedKeys(owners) {
		if len(owners[host]) > 1 {
			r.found(codeSharedHost, finding{Region: strings.Join(owners[host], ", "), Host: host})
		}
	}
}
