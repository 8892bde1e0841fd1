package check

import (
	"context"
	"net/http"
	"time"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/issuer"
)

// Probe is what a JWKS URL has answered.
type Probe struct {
	Region, URL string
	State       string // good, failed, not_enabled
	Failure     string // why it is not good
	Keys        int
	Took        time.Duration
	CertEnds    time.Time // zero if no certificate was seen
	CertFlaw    string
	HasDate     bool
	Ahead       time.Duration // how far its clock is ahead of this one, by its Date header; less than a second is 0
}

// ProbeAll asks every JWKS URL of a provider once, and the discovery documents that name some. An issuer whose discovery fails
// has a Probe of its document instead.
func ProbeAll(
	ctx context.Context, p issuer.Provider, client *http.Client, plainHosts []string, timeout time.Duration,
) ([]Probe, error) {
	d := &drill{provider: p, plainHosts: plainHosts, client: client, timeout: timeout, progress: func(string, ...any) {}}
	if err := d.checkConfig(); err != nil {
		return nil, cli.Fail(cli.ExitUsage, "%w", err)
	}
	d.fetchAll(ctx)
	var all []Probe
	for _, doc := range d.documents {
		if doc.Used && doc.State != urlGood {
			failure := failureOf(doc.Error, doc.Status)
			all = append(all, d.probe(Probe{Region: doc.Regions[0], URL: doc.URL, State: doc.State, Failure: failure}))
		}
	}
	for _, s := range d.sets {
		one := Probe{Region: s.Region, URL: s.URL, State: s.State, Keys: len(s.Keys)}
		if s.State != urlGood {
			one.Failure = failureOf(s.Error, s.Status)
		}
		all = append(all, d.probe(one))
	}
	return all, nil
}

// probe adds what the exchange itself has shown.
func (d *drill) probe(p Probe) Probe {
	r := d.records.of(p.URL)
	if r == nil {
		return p
	}
	p.Took, p.HasDate, p.Ahead = r.took, !r.date.IsZero(), r.ahead
	if r.certificate != nil {
		p.CertEnds, p.CertFlaw = r.certificate.Expires, r.certificate.Flaw
	}
	return p
}
