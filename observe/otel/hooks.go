package otel

import (
	"context"
	"errors"
	"net/http"
	"slices"

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

// KeyHooks returns hooks for a jwks.Config.
func (o *Observer) KeyHooks() jwks.Hooks {
	if !o.made() {
		return jwks.Hooks{}
	}
	return jwks.Hooks{Fetched: o.fetched, Changed: o.changed, Drifted: o.mirrorDrifted}
}

func resultOf(e *verifier.Error) string {
	if e == nil {
		return "accepted"
	}
	category := e.Category()
	switch {
	case errors.Is(category, verifier.ErrUnavailable):
		return "unavailable"
	case errors.Is(category, verifier.ErrForbidden):
		return "forbidden"
	default:
		return "invalid"
	}
}

func (o *Observer) verified(ctx context.Context, v verifier.Verified) {
	j := judgement{result: resultOf(v.Err), remembered: v.Remembered}
	var authority, region string
	switch {
	case v.Err != nil:
		authority, region, j.reason = v.Err.Authority, v.Err.Region, v.Err.Reason
	case v.Token != nil:
		authority, region, j.issuer = v.Token.Authority(), v.Token.Region(), o.issuer(v.Token)
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
	set := o.set(o.place(d.Authority, d.Region), keyDrift.String(string(d.Kind)))
	o.instruments.drifts.Add(ctx, 1, metric.WithAttributeSet(set))
}

// placesOf names the regions that something concerns, each once.
func (o *Observer) placesOf(uses []jwks.Use, concerns func(jwks.Use) bool) []place {
	var all []place
	for _, u := range uses {
		if p := o.place(u.Authority, u.Region); concerns(u) && !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return all
}

func anyUse(jwks.Use) bool { return true }

func (o *Observer) mirrorDrifted(d jwks.Drift) {
	if d.Ended {
		return
	}
	for _, p := range o.placesOf(d.Uses, anyUse) {
		set := o.set(p, keyDrift.String(string(d.Kind)))
		o.instruments.drifts.Add(context.Background(), 1, metric.WithAttributeSet(set))
	}
}

func (o *Observer) changed(c jwks.KeysChanged) {
	for _, p := range o.placesOf(c.Uses, anyUse) {
		for change, n := range map[string]int{"added": c.Added, "removed": c.Removed} {
			if n > 0 {
				set := o.set(p, keyChange.String(change))
				o.instruments.keyChanges.Add(context.Background(), int64(n), metric.WithAttributeSet(set))
			}
		}
	}
}

// fetched counts a fetch for the regions whose own the URL is.
func (o *Observer) fetched(f jwks.Fetched) {
	o.noteEvidence(&f)
	result := []attribute.KeyValue{keyResult.String("ok")}
	if f.Err != nil {
		result = []attribute.KeyValue{keyResult.String("failed"), keyErrorType.String(classOf(f.Err))}
	}
	uses := slices.DeleteFunc(slices.Clone(f.Uses), func(u jwks.Use) bool { return !u.Home })
	if len(uses) == 0 && len(f.Uses) > 0 {
		uses = f.Uses[:1]
	}
	var counted, timed []attribute.Set
	for _, u := range uses {
		p := o.place(u.Authority, u.Region)
		more := []attribute.KeyValue{keyMirror.String(mirrorName(u.Mirror)), keyDemanded.Bool(f.Demanded)}
		c := o.set(p, slices.Concat(result, more)...)
		if !slices.ContainsFunc(counted, func(s attribute.Set) bool { return s.Equals(&c) }) {
			counted = append(counted, c)
		}
		d := o.set(p, result[0])
		if !slices.ContainsFunc(timed, func(s attribute.Set) bool { return s.Equals(&d) }) {
			timed = append(timed, d)
		}
	}
	for _, set := range counted {
		o.instruments.fetches.Add(context.Background(), 1, metric.WithAttributeSet(set))
	}
	for _, set := range timed {
		o.instruments.fetchDuration.Record(context.Background(), f.Took.Seconds(), metric.WithAttributeSet(set))
	}
	o.trace(&f, result)
}

// noteEvidence counts the failures in a row of the regions that the fetch says something of.
func (o *Observer) noteEvidence(f *jwks.Fetched) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, u := range f.Uses {
		at := place{u.Authority, u.Region}
		switch {
		case !u.Home, f.Err != nil && (f.Err.Class == jwks.ClassCanceled || classOf(f.Err) == "not_enabled"):
		case f.Err != nil:
			o.failing[at]++
		default:
			delete(o.failing, at)
		}
	}
}

// classOf names what was wrong with a fetch. 403 and 404 have a name of their own: so says a mirror that is not enabled.
func classOf(e *jwks.FetchError) string {
	if e.Status == http.StatusForbidden || e.Status == http.StatusNotFound {
		return "not_enabled"
	}
	return string(e.Class)
}

func mirrorName(place int) string {
	if place == 0 {
		return "preferred"
	}
	return other
}

// trace makes a span of a fetch. It has no parent: several requests may wait for it, or none.
func (o *Observer) trace(f *jwks.Fetched, result []attribute.KeyValue) {
	if o.tracer == nil || len(f.Uses) == 0 {
		return
	}
	var regions []string
	for _, p := range o.placesOf(f.Uses, anyUse) {
		if !slices.Contains(regions, p.region) {
			regions = append(regions, p.region)
		}
	}
	all := slices.Concat(result, o.config.Attributes, []attribute.KeyValue{
		keyRegion.StringSlice(regions), keyMirror.String(mirrorName(f.Uses[0].Mirror)), keyDemanded.Bool(f.Demanded),
	})
	if f.Err != nil && f.Err.Status != 0 {
		all = append(all, keyStatusCode.Int(f.Err.Status))
	}
	_, span := o.tracer.Start(context.Background(), "regionjwt.fetch_keys", trace.WithNewRoot(), trace.WithTimestamp(f.Began),
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(all...))
	if f.Err != nil {
		span.SetStatus(codes.Error, classOf(f.Err))
	}
	span.End(trace.WithTimestamp(f.Began.Add(f.Took)))
}

// FailoverEvent counts what a controller tells. It is for failover.Config.OnEvent, of any number of controllers.
func (o *Observer) FailoverEvent(e failover.Event) {
	if !o.made() {
		return
	}
	ctx := context.Background()
	p := o.place(e.State.Authority, e.Region)
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
