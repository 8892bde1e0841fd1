package otel_test

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/observe/otel"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/verifier"
)

// A Validator with revocation rules and failover is instrumented, and scraped by Prometheus: promhttp serves the registry.
func Example() {
	registry := prometheus.NewRegistry()
	reader, err := exporter.New(exporter.WithRegisterer(registry))
	if err != nil {
		fmt.Println(err)
		return
	}
	meters := metric.NewMeterProvider(metric.WithReader(reader))

	provider := issuer.Provider{ID: "shop", Regions: []issuer.Region{
		{Name: "us-east-1", Issuers: []string{"https://us-east-1.idp.example"}},
		{Name: "us-west-2", Issuers: []string{"https://us-west-2.idp.example"}},
	}}
	server := issuertest.New(nil, provider, issuertest.Config{Algorithm: "ES256"})
	defer server.Close()
	v, err := regionjwt.New(regionjwt.Config{
		Policies:   []verifier.Policy{server.Policy()},
		Revocation: &revocation.Config{},
		Failover:   map[string]failover.Config{"shop": {Automatic: true}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	stop, err := otel.Instrument(v, otel.Config{MeterProvider: meters})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()

	// A region is unavailable, and the service has never had its keys.
	server.Break("us-east-1")
	for _, region := range []string{"us-east-1", "us-west-2"} {
		_, _ = v.Verify(context.Background(), server.Issue(region, issuertest.Claims{}))
	}
	for _, line := range scrape(registry, "regionjwt_token_verifications_total") {
		fmt.Println(line)
	}
	// Output:
	// error_type=keys_unavailable regionjwt_cached=false regionjwt_provider=shop regionjwt_region=us-east-1 regionjwt_result=unavailable 1
	// regionjwt_cached=false regionjwt_provider=shop regionjwt_region=us-west-2 regionjwt_result=accepted 1
}

// scrape returns the series of a counter.
func scrape(registry *prometheus.Registry, name string) (lines []string) {
	families, err := registry.Gather()
	if err != nil {
		return []string{err.Error()}
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var line []string
			for _, l := range m.GetLabel() {
				if !strings.HasPrefix(l.GetName(), "otel_") {
					line = append(line, l.GetName()+"="+l.GetValue())
				}
			}
			if f.GetName() == name {
				lines = append(lines, fmt.Sprint(strings.Join(line, " "), " ", m.GetCounter().GetValue()))
			}
		}
	}
	slices.Sort(lines)
	return lines
}
