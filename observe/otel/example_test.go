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
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/observe/otel"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/verifier"
)

// Everything is observed, and scraped by Prometheus: promhttp serves the registry. The Observer is made first and watches last.
func Example() {
	registry := prometheus.NewRegistry()
	reader, err := exporter.New(exporter.WithRegisterer(registry))
	if err != nil {
		fmt.Println(err)
		return
	}
	meters := metric.NewMeterProvider(metric.WithReader(reader))
	observer, err := otel.New(otel.Config{MeterProvider: meters})
	if err != nil {
		fmt.Println(err)
		return
	}

	world := issuertest.New(nil, issuertest.Config{Layout: issuertest.IssuerPerRegion, Algorithm: "ES256"})
	defer world.Close()
	rules, errRules := revocation.New(revocation.Config{OnEvent: observer.RulesEvent})
	controller, errController := failover.New(failover.Config{Provider: world.Provider(), OnEvent: observer.FailoverEvent})
	if errRules != nil || errController != nil {
		fmt.Println(errRules, errController)
		return
	}
	controllers := []*failover.Controller{controller}
	v, err := regionjwt.New(regionjwt.Config{
		Keys: jwks.Config{HTTPClient: world.Client(), OnFetch: observer.Fetch}, Revocation: rules, Failover: controllers,
		Policies: []verifier.Policy{{Provider: world.Provider(), Audience: verifier.Audience(issuertest.Audience)}},
		Hooks:    observer.VerifierHooks(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	observer.Watch(otel.Watched{Keys: v.Keys(), Verifier: v.Verifier(), Failover: controllers, Rules: rules})

	// A region is lost, and the service has never had its keys.
	world.Break("us-east-1")
	for _, region := range []string{"us-east-1", "us-west-2"} {
		_, _ = v.Verify(context.Background(), world.Token(region, issuertest.Claims{}))
	}
	_ = observer.Close()
	for _, line := range scrape(registry, "regionjwt_validations_total") {
		fmt.Println(line)
	}
	// Output:
	// error_type=keys_unavailable regionjwt_region=us-east-1 regionjwt_remembered=false regionjwt_result=unavailable 1
	// regionjwt_region=us-west-2 regionjwt_remembered=false regionjwt_result=accepted 1
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
