// Package audit records decisions on tokens: who was let in, which key signed the token, and why a token was rejected. A [Log]
// writes one record for each decision to a slog.Handler; with slog.NewJSONHandler, one JSON object on each line. Its method
// Record is for OnDecision of verifier.Config.
//
// Every rejection is recorded, and every token that is accepted for the first time. [Config] can sample the later decisions on
// the same token, and limit the rejections. Names of users, clients and tokens are left out by default.
//
// A record is written before Verify returns, in its goroutine: a slow handler delays requests. A failed write does not change
// the decision.
//
// # Records
//
// The level is slog.LevelInfo. The message is "token" for a decision, "security event" for a record of RecordSignal, and
// "rejections suppressed" for a record of Flush. These attributes are stable; one without a value is left out:
//
//   - outcome: accepted; or the category of the error: invalid, forbidden, unavailable or rate_limited
//   - reason: the verifier.Reason of a rejection
//   - detail: the claim, header parameter or member that decided; rule: the ID of the revocation rule, if the reason is revoked
//   - provider: the ID of the provider
//   - region: the region that issued the token, if only one is possible
//   - issuer, key_id, thumbprint: iss, and the kid and the thumbprint (RFC 7638, SHA-256) of the key that verified the token
//   - key_origin: fetched, snapshot or static; key_age_seconds: the time since a region last listed the key
//   - cached: whether the signature was checked when the same token was first accepted, not now
//   - duration_seconds: the time that the decision took
//   - subject, client_id, token_id: sub, the client and jti, in clear or as pseudonyms
//   - delegated: true if somebody acts for the subject (RFC 8693)
//   - actor: the sub of the current actor, in clear or as a pseudonym; actor_issuer: its iss if that is not the one of the token,
//     written in the same way
//   - one_in: the record is one of so many decisions that accepted a token again; see Config.SampleCached
//   - suppressed: how many rejections for this reason were not recorded since the last record of that reason
//
// A record of a security event has transmitter, event, outcome and rule: see OnEvent of package sharedsignals. It has no names.
//
// Only records of accepted tokens have issuer, key_id, thumbprint, key_origin, key_age_seconds, subject, client_id, token_id,
// delegated, actor and actor_issuer.
package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/internal/pseudonym"
	"github.com/regionjwt/regionjwt/verifier"
)

// Config configures a Log. The zero Config records every decision, without names of users, clients, tokens and actors.
type Config struct {
	// PseudonymKey is a secret of at least 32 bytes. If it is set, subject, client_id, token_id and actor are written as
	// pseudonyms, except for those in Plain: "hmac:" and an HMAC-SHA-256 that "regionjwt pseudonym" computes, too. Anyone
	// with the key can test whether a record belongs to a given name. Nil means that names which are not in Plain are left
	// out.
	PseudonymKey []byte
	// Plain lists the attributes that are written in clear: "subject", "client_id", "token_id", "actor".
	Plain []string

	// SampleCached records one in so many of the decisions that accept a token again without a check of its signature
	// (verifier.Decision.Cached). 0 and 1 mean all. Rejections and a token's first decision are always recorded.
	SampleCached int
	// MaxRejectionsPerSecond limits the records of rejections for each reason. Further rejections are counted; the next record of
	// that reason, or Flush, has the number. 0 means no limit; an attacker can then fill the log.
	MaxRejectionsPerSecond int

	// OnError is called for each record that the handler did not take, in the goroutine that made the decision. It must not
	// block. Nil means that such errors are ignored.
	OnError func(error)
}

// Log writes audit records. It is safe for concurrent use. Only New makes a Log that writes.
type Log struct {
	handler slog.Handler
	config  Config
	plain   map[string]bool
	start   time.Time
	cached  atomic.Uint64

	mu         sync.Mutex
	rejections map[verifier.Reason]*window // reasons are labels: there are few
}

// window counts the rejections for one reason in one second.
type window struct {
	second     int64
	n          int
	suppressed uint64 // since the last record
}

// New returns a Log that writes to h, or an error for each problem with h and c. The handler must be enabled at slog.LevelInfo.
func New(h slog.Handler, c Config) (*Log, error) {
	l := &Log{handler: h, config: c, plain: map[string]bool{}, start: time.Now(), rejections: map[verifier.Reason]*window{}}
	l.config.PseudonymKey = slices.Clone(c.PseudonymKey)
	errs := []error{checkHandler(h)}
	report := func(format string, args ...any) { errs = append(errs, fmt.Errorf("audit: "+format, args...)) }
	for _, name := range c.Plain {
		switch {
		case !slices.Contains(pseudonym.Fields(), name):
			report("Plain: %q is not one of %q", name, pseudonym.Fields())
		case l.plain[name]:
			report("Plain: %q is listed twice", name)
		}
		l.plain[name] = true
	}
	if c.PseudonymKey != nil && len(c.PseudonymKey) < pseudonym.MinKeyBytes {
		report("PseudonymKey has %d bytes: at least %d are required", len(c.PseudonymKey), pseudonym.MinKeyBytes)
	}
	if c.PseudonymKey != nil && !slices.ContainsFunc(pseudonym.Fields(), func(name string) bool { return !l.plain[name] }) {
		report("PseudonymKey is not used: Plain lists every attribute")
	}
	if c.SampleCached < 0 {
		report("SampleCached is negative")
	}
	if c.MaxRejectionsPerSecond < 0 {
		report("MaxRejectionsPerSecond is negative")
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return l, nil
}

// checkHandler reports a handler that takes no records. A zero handler of package slog panics.
func checkHandler(h slog.Handler) error {
	switch {
	case h == nil:
		return errors.New("audit: the slog.Handler is nil")
	case nils.Typed(h):
		return errors.New("audit: the slog.Handler is a nil pointer in an interface")
	}
	enabled := false
	if p := guard.Call("the slog.Handler", func() { enabled = h.Enabled(context.Background(), slog.LevelInfo) }); p != nil {
		return fmt.Errorf("audit: %w", p)
	}
	if !enabled {
		return errors.New("audit: the slog.Handler is not enabled at slog.LevelInfo")
	}
	return nil
}

// made reports whether New has made l.
func (l *Log) made() bool { return l != nil && l.handler != nil }

// Record writes a record of a decision. It is for OnDecision of verifier.Config. A decision with neither a token nor an error is
// ignored.
func (l *Log) Record(ctx context.Context, d verifier.Decision) {
	if !l.made() || d.Err == nil && d.Token == nil {
		return
	}
	r := slog.NewRecord(time.Now(), slog.LevelInfo, "token", 0)
	if d.Err != nil {
		suppressed, ok := l.admit(d.Err.Reason, r.Time)
		if !ok {
			return
		}
		r.AddAttrs(rejected(d.Err)...)
		r.AddAttrs(taken(&d)...)
		l.writeSuppressed(ctx, r, d.Err.Reason, suppressed)
		return
	}
	sampled := d.Cached && l.config.SampleCached > 1
	if sampled && l.cached.Add(1)%uint64(l.config.SampleCached) != 0 {
		return
	}
	r.AddAttrs(l.accepted(d.Token)...)
	r.AddAttrs(taken(&d)...)
	r.AddAttrs(l.names(d.Token)...)
	if sampled {
		r.AddAttrs(slog.Int("one_in", l.config.SampleCached))
	}
	l.write(ctx, r)
}

// RecordSignal writes a record of a security event. It is for OnEvent of sharedsignals.Config. Config.MaxRejectionsPerSecond
// limits the records of events that made no rule, for each outcome.
func (l *Log) RecordSignal(transmitter, kind, outcome, ruleID string) {
	if !l.made() {
		return
	}
	ctx := context.Background()
	r := slog.NewRecord(time.Now(), slog.LevelInfo, "security event", 0)
	r.AddAttrs(slog.String("transmitter", transmitter), slog.String("outcome", outcome))
	if kind != "" {
		r.AddAttrs(slog.String("event", kind))
	}
	if ruleID != "" {
		r.AddAttrs(slog.String("rule", ruleID))
		l.write(ctx, r)
		return
	}
	if suppressed, ok := l.admit(verifier.Reason(outcome), r.Time); ok {
		l.writeSuppressed(ctx, r, verifier.Reason(outcome), suppressed)
	}
}

// Flush writes one record for each reason with rejections that no record has reported. Call it when the process ends.
func (l *Log) Flush(ctx context.Context) {
	if !l.made() {
		return
	}
	counts := map[verifier.Reason]uint64{}
	l.mu.Lock()
	for reason, w := range l.rejections {
		if w.suppressed > 0 {
			counts[reason], w.suppressed = w.suppressed, 0
		}
	}
	l.mu.Unlock()
	for reason, n := range counts {
		r := slog.NewRecord(time.Now(), slog.LevelInfo, "rejections suppressed", 0)
		r.AddAttrs(rejected(&verifier.Error{Reason: reason})...)
		l.writeSuppressed(ctx, r, reason, n)
	}
}

// admit reports whether a rejection is recorded, and how many for the same reason were not since the last record.
func (l *Log) admit(reason verifier.Reason, at time.Time) (suppressed uint64, ok bool) {
	if l.config.MaxRejectionsPerSecond == 0 {
		return 0, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.rejections[reason]
	if w == nil {
		w = &window{}
		l.rejections[reason] = w
	}
	if second := int64(at.Sub(l.start) / time.Second); second > w.second { // by the monotonic clock
		w.second, w.n = second, 0
	}
	if w.n >= l.config.MaxRejectionsPerSecond {
		w.suppressed++
		return 0, false
	}
	w.n++
	suppressed, w.suppressed = w.suppressed, 0
	return suppressed, true
}

// writeSuppressed writes a record that has the number of suppressed rejections. If that fails, a later record has it.
func (l *Log) writeSuppressed(ctx context.Context, r slog.Record, reason verifier.Reason, n uint64) {
	if n > 0 {
		r.AddAttrs(slog.Uint64("suppressed", n))
	}
	if l.write(ctx, r) || n == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rejections[reason].suppressed += n
}

var errDisabled = errors.New("audit: the slog.Handler is no longer enabled at slog.LevelInfo")

// write reports whether the handler took r.
func (l *Log) write(ctx context.Context, r slog.Record) bool {
	var failed error
	panicked := guard.Call("the slog.Handler", func() {
		if !l.handler.Enabled(ctx, slog.LevelInfo) {
			failed = errDisabled
			return
		}
		failed = l.handler.Handle(ctx, r)
	})
	switch {
	case panicked != nil:
		failed = fmt.Errorf("audit: %w", panicked)
	case failed == nil:
		return true
	}
	if l.config.OnError != nil {
		guard.Report(guard.Call("OnError", func() { l.config.OnError(failed) }))
	}
	return false
}
