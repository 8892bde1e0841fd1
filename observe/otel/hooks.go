package otel

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/verifier"
)

// judgement is what tells the series of judgements of one place apart.
type judgement struct {
	result     string
	reason     verifier.Reason // 0 for accepted
	issuer     string          // "" where it is not named
	remembered bool
}

// validations are the series of one place.
type validations struct {
	table[judgement, []metric.AddOption]
}

// VerifierHooks returns hooks for a verifier.Config. They pass the context on, for exemplars.
func (o *Observer) VerifierHooks() verifier.Hooks {
	if !o.made() {
		return verifier.Hooks{}
	}
	return verifier.Hooks{Verified: o.verified, Drifted: o.tokenDrifted}
}

func resultOf(e *verifier.Error) string {
	if e == nil {
		return "accepted"
	}
	category := e.Category()
	switch {
	case errors.Is(category, verifier.ErrUnavailable):
		return "unavailable"
	case errors.Is(category, verifier.ErrRateLimited):
		return "rate_limited"
	case errors.Is(category, verifier.ErrForbidden):
		return "forbidden"
	default:
		return "invalid"
	}
}

func (o *Observer) verified(ctx context.Context, v verifier.Verified) {
	j := judgement{result: resultOf(v.Err), remembered: v.Cached}
	var authority, region string
	switch {
	case v.Err != nil:
		authority, region, j.reason = v.Err.Provider, v.Err.Region, v.Err.Reason
	case v.Token != nil:
		authority, region, j.issuer = v.Token.Provider(), v.Token.Region(), o.issuer(v.Token)
	}
	p := o.place(authority, region)
	here, ok := o.places.find(p)
	if !ok {
		here = o.places.add(p, &validations{})
	}
	add, ok := here.find(j)
	if !ok {
		add = here.add(j, []metric.AddOption{metric.WithAttributeSet(o.set(p, j.attributes()...))})
	}
	o.instruments.validations.Add(ctx, 1, add...)

	d := judgement{result: j.result, remembered: j.remembered}
	record, ok := o.durations.find(d)
	if !ok {
		record = o.durations.add(d, []metric.RecordOption{metric.WithAttributeSet(o.set(place{}, d.attributes()...))})
	}
	o.instruments.validationDuration.Record(ctx, v.Took.Seconds(), record...)
}

// issuer names the iss of an accepted token, which is one that was configured.
func (o *Observer) issuer(t *verifier.Token) string {
	if o.config.Issuers == nil {
		return ""
	}
	if name, ok := o.config.Issuers[t.Issuer()]; ok {
		return name
	}
	return other
}

func (j *judgement) attributes() []attribute.KeyValue {
	all := []attribute.KeyValue{keyResult.String(j.result), keyRemembered.Bool(j.remembered)}
	if j.reason != 0 {
		all = append(all, keyErrorType.String(j.reason.String()))
	}
	if j.issuer != "" {
		all = append(all, keyIssuer.String(j.issuer))
	}
	return all
}

func (o *Observer) tokenDrifted(ctx context.Context, d verifier.Drift) {
	set := o.set(o.place(d.Provider, d.Region), keyDrift.String(string(d.Kind)))
	o.instruments.drifts.Add(ctx, 1, metric.WithAttributeSet(set))
}

// Fetch counts and traces a fetch of keys. It is for jwks.Config.OnFetch.
func (o *Observer) Fetch(f jwks.Fetch) {
	if !o.made() {
		return
	}
	p := o.place(f.Provider, f.Region)
	o.noteFailures(&f)
	result := []attribute.KeyValue{keyResult.String("ok")}
	if f.Failure != "" {
		result = []attribute.KeyValue{keyResult.String("failed"), keyErrorType.String(failureOf(f.Failure))}
	}
	set := o.set(p, append(slices.Clip(result), keyDemanded.Bool(f.OnDemand))...)
	o.instruments.fetches.Add(context.Background(), 1, metric.WithAttributeSet(set))
	o.instruments.fetchDuration.Record(context.Background(), f.Duration.Seconds(), metric.WithAttributeSet(o.set(p, result[0])))
	o.trace(&f, p, result)
}

// noteFailures counts the failures in a row that show that a region is unavailable.
func (o *Observer) noteFailures(f *jwks.Fetch) {
	o.mu.Lock()
	defer o.mu.Unlock()
	at := place{f.Provider, f.Region}
	switch {
	case f.Failure == "":
		delete(o.failing, at)
	case f.Outage:
		o.failing[at]++
	}
}

// failureOf names a failure without the number of its status.
func failureOf(failure string) string {
	label, _, _ := strings.Cut(failure, " ")
	return label
}

// trace makes a span of a fetch. It has no parent: several requests may wait for it, or none.
func (o *Observer) trace(f *jwks.Fetch, p place, result []attribute.KeyValue) {
	if o.tracer == nil {
		return
	}
	all := slices.Concat(result, o.config.Attributes, []attribute.KeyValue{
		keyRegion.StringSlice([]string{p.region}), keyDemanded.Bool(f.OnDemand),
	})
	if text, ok := strings.CutPrefix(f.Failure, "status "); ok {
		if status, err := strconv.Atoi(text); err == nil {
			all = append(all, keyStatusCode.Int(status))
		}
	}
	end := time.Now()
	_, span := o.tracer.Start(context.Background(), "regionjwt.fetch_keys", trace.WithNewRoot(),
		trace.WithTimestamp(end.Add(-f.Duration)), trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(all...))
	if f.Failure != "" {
		span.SetStatus(codes.Error, failureOf(f.Failure))
	}
	span.End(trace.WithTimestamp(end))
}

// FailoverEvent counts what a controller tells. It is for failover.Config.OnEvent, of any number of controllers.
func (o *Observer) FailoverEvent(e failover.Event) {
	if !o.made() {
		return
	}
	ctx := context.Background()
	p := o.place(e.State.Provider, e.Region)
	switch e.Kind {
	case failover.Moved:
		o.instruments.moves.Add(ctx, 1, metric.WithAttributeSet(o.set(p, keyCause.String(string(e.Cause)))))
	case failover.HealthChanged:
		for _, r := range e.State.Regions {
			if r.Name == e.Region {
				o.instruments.healthChanges.Add(ctx, 1, metric.WithAttributeSet(o.set(p, keyHealth.String(string(r.Health)))))
			}
		}
	case failover.StoreChanged:
		if e.State.Trouble != "" {
			o.troubleBegan(p.authority, controlFailover, string(e.State.Trouble))
		}
	case failover.Pinned, failover.Resumed:
	}
	if e.Missed > 0 {
		o.instruments.missed.Add(ctx, int64(e.Missed), metric.WithAttributeSet(o.set(place{authority: p.authority})))
	}
}

// RulesEvent counts the troubles that a revocation.List tells of. It is for revocation.Config.OnEvent.
func (o *Observer) RulesEvent(e revocation.Event) {
	if !o.made() {
		return
	}
	for control, now := range map[string]revocation.Trouble{controlRules: e.Trouble, controlRulesCopy: e.CopyTrouble} {
		o.mu.Lock()
		before := o.trouble[control]
		o.trouble[control] = now
		o.mu.Unlock()
		if now != "" && now != before {
			o.troubleBegan("", control, string(now))
		}
	}
}

func (o *Observer) troubleBegan(authority, control, trouble string) {
	set := o.set(place{authority: authority}, keyControl.String(control), keyTrouble.String(trouble))
	o.instruments.troubles.Add(context.Background(), 1, metric.WithAttributeSet(set))
}
