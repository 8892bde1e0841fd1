package otel

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// verification distinguishes the series of one place.
type verification struct {
	result string
	reason verifier.Reason // "" if accepted
	issuer string          // "" if it has no name
	cached bool
}

// verifications are the series of one place.
type verifications struct {
	table[verification, []metric.AddOption]
}

func resultOf(e *verifier.Error) string {
	switch {
	case e == nil:
		return "accepted"
	case errors.Is(e, verifier.ErrUnavailable):
		return "unavailable"
	case errors.Is(e, verifier.ErrRateLimited):
		return "rate_limited"
	case errors.Is(e, verifier.ErrForbidden):
		return "forbidden"
	default:
		return "invalid"
	}
}

// decision records a call of Verify. The context has the trace, for exemplars.
func (o *instrumentation) decision(ctx context.Context, d verifier.Decision) {
	v := verification{result: resultOf(d.Err), cached: d.Cached}
	var provider, region string
	switch {
	case d.Err != nil:
		provider, region, v.reason = d.Err.Provider, d.Err.Region, d.Err.Reason
	case d.Token != nil:
		provider, region, v.issuer = d.Token.Provider(), d.Token.Region(), o.issuer(d.Token)
	}
	p := o.place(provider, region)
	here, ok := o.places.find(p)
	if !ok {
		here = o.places.add(p, &verifications{})
	}
	add, ok := here.find(v)
	if !ok {
		add = here.add(v, []metric.AddOption{metric.WithAttributeSet(set(p, v.attributes()...))})
	}
	o.instruments.verifications.Add(ctx, 1, add...)

	t := verification{result: v.result, cached: v.cached}
	record, ok := o.durations.find(t)
	if !ok {
		record = o.durations.add(t, []metric.RecordOption{metric.WithAttributeSet(set(place{}, t.attributes()...))})
	}
	o.instruments.verificationDuration.Record(ctx, d.Duration.Seconds(), record...)
}

// issuer names the iss of an accepted token, which is a configured one.
func (o *instrumentation) issuer(t *verifier.Token) string {
	if o.config.IssuerNames == nil {
		return ""
	}
	if name, ok := o.config.IssuerNames[t.Issuer()]; ok {
		return name
	}
	return other
}

func (v *verification) attributes() []attribute.KeyValue {
	all := []attribute.KeyValue{keyResult.String(v.result), keyCached.Bool(v.cached)}
	if v.reason != "" {
		all = append(all, keyErrorType.String(string(v.reason)))
	}
	if v.issuer != "" {
		all = append(all, keyIssuer.String(v.issuer))
	}
	return all
}

// fetch records an attempt to fetch keys.
func (o *instrumentation) fetch(f jwks.Fetch) {
	p := o.place(f.Provider, f.Region)
	o.noteFailures(&f)
	result := []attribute.KeyValue{keyResult.String("ok")}
	if f.Failure != "" {
		result = []attribute.KeyValue{keyResult.String("failed"), keyErrorType.String(label.Class(f.Failure))}
	}
	ctx := context.Background()
	all := append(slices.Clip(result), keyOnDemand.Bool(f.OnDemand))
	o.instruments.fetches.Add(ctx, 1, metric.WithAttributeSet(set(p, all...)))
	o.instruments.fetchDuration.Record(ctx, f.Duration.Seconds(), metric.WithAttributeSet(set(p, result[0])))
	o.trace(&f, p, result)
}

// noteFailures counts the failures in a row that show that a region is unavailable.
func (o *instrumentation) noteFailures(f *jwks.Fetch) {
	o.mu.Lock()
	defer o.mu.Unlock()
	at := location{f.Provider, f.Region}
	switch {
	case f.Failure == "":
		delete(o.failing, at)
	case f.Outage:
		o.failing[at]++
	}
}

// trace makes a span of a fetch. It has no parent: several requests may wait for it, or none.
func (o *instrumentation) trace(f *jwks.Fetch, p place, result []attribute.KeyValue) {
	if o.tracer == nil {
		return
	}
	span(o.tracer, "regionjwt.fetch_keys", f.Failure, f.Duration, p, append(slices.Clip(result), keyOnDemand.Bool(f.OnDemand)))
}

// span makes a span of a request that has ended.
func span(t trace.Tracer, name, failure string, took time.Duration, p place, more []attribute.KeyValue) {
	all := append(slices.Clone(more), keyProvider.String(p.provider))
	if p.region != "" {
		all = append(all, keyRegion.String(p.region))
	}
	if status := label.StatusOf(failure); status != 0 {
		all = append(all, keyStatusCode.Int(status))
	}
	end := time.Now()
	_, span := t.Start(context.Background(), name, trace.WithNewRoot(),
		trace.WithTimestamp(end.Add(-took)), trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(all...))
	if failure != "" {
		span.SetStatus(codes.Error, label.Class(failure))
	}
	span.End(trace.WithTimestamp(end))
}

// failover records the differences of two states of a controller.
func (o *instrumentation) failover(before, now failover.Status) {
	ctx := context.Background()
	if now.Active != before.Active {
		p := o.place(now.Provider, now.Active)
		o.instruments.moves.Add(ctx, 1, metric.WithAttributeSet(set(p, keyCause.String(now.Cause))))
	}
	for i, r := range now.Regions {
		if i < len(before.Regions) && r.Health != before.Regions[i].Health {
			p := o.place(now.Provider, r.Region)
			o.instruments.healthChanges.Add(ctx, 1, metric.WithAttributeSet(set(p, keyHealth.String(r.Health))))
		}
	}
}
