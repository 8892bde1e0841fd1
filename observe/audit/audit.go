// Package audit keeps a record of decisions on tokens, for those who have to show later who was let in, by which key, and under
// which rules. A [Log] is the hook Verified of verifier.Hooks; it writes each [Record] to an slog.Handler: with
// slog.NewJSONHandler, one JSON object on each line.
//
// Every refusal is recorded, and every token that is accepted for the first time. Of the same token accepted again one in
// so many may be recorded instead: see [Config.RepeatsOneIn]. Names of persons, clients and tokens are left out unless asked for.
//
// A record is written before Verify returns, in its goroutine: a handler that waits for a disk makes requests wait. What cannot
// be written is counted, and does not change the decision.
package audit

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/verifier"
)

// Message is that of the records of a Log.
const Message = "token"

// minKey is how long a DigestKey has to be, in octets.
const minKey = 32

// Disclosure says how a name is written.
type Disclosure int

// The disclosures.
const (
	Omit  Disclosure = iota // not at all
	Keyed                   // as "hmac:" and its Digest: the records of a name can be found, but not whose it is
	Plain                   // as the token has it
)

// Config configures a Log. Handler or OnRecord is required; the zero value of every other field is the default.
type Config struct {
	// Handler takes the records, at slog.LevelInfo. It must be enabled at that level. Nil means that there is none.
	Handler slog.Handler
	// OnRecord takes the records as well, or instead. It is called in the goroutine of Verify, with its context. Nil is fine.
	OnRecord func(context.Context, Record)

	// Subject, Client and TokenID say how sub, the client and jti are written. The zero value is Omit.
	Subject, Client, TokenID Disclosure
	// DigestKey is the secret of Keyed, at least 32 octets. Who has it can find out of any name whether it is meant.
	DigestKey []byte

	// RepeatsOneIn records one in so many of the decisions that accept a token which was accepted before: those of which the
	// signature was not checked again. 0 and 1 mean each. A token's first decision is recorded in any case, and so are refusals.
	RepeatsOneIn int

	// RefusalsPerSecond bounds the records of refusals for one reason in one second. Those beyond are counted, and the next
	// record of that reason says how many there were. 0 means no bound: who sends a million bad tokens has a million records
	// written.
	RefusalsPerSecond int

	// OnFailure is told of each record that the Handler did not take, or for which it or OnRecord panicked. It is called in the
	// goroutine of Verify. Nil is fine.
	OnFailure func(error)
}

// Status counts what became of the decisions that a Log was told of.
type Status struct {
	Written    uint64
	Repeats    uint64 // that were left out by RepeatsOneIn
	Suppressed uint64 // refusals that were left out by RefusalsPerSecond
	Failed     uint64 // records that the Handler did not take, or for which it or OnRecord panicked
}

// Log writes a record of decisions. It is safe for concurrent use.
type Log struct {
	config  Config
	began   time.Time
	repeats atomic.Uint64

	written, left, suppressed, failed atomic.Uint64

	mu       sync.Mutex
	refusals map[verifier.Reason]*window // each of a closed list
}

// window counts the refusals for one reason in one second.
type window struct {
	second     int64
	n          int
	suppressed uint64 // since the last record
}

// New returns a Log, or everything that is wrong with c.
func New(c Config) (*Log, error) {
	var errs []error
	if c.Handler == nil && c.OnRecord == nil {
		errs = append(errs, errors.New("audit: Handler or OnRecord is required"))
	}
	if nils.Typed(c.Handler) {
		errs = append(errs, errors.New("audit: Handler is set, and nil"))
	} else if c.Handler != nil {
		errs = append(errs, checkHandler(c.Handler))
	}
	keyed := false
	for _, d := range []Disclosure{c.Subject, c.Client, c.TokenID} {
		if d < Omit || d > Plain {
			errs = append(errs, fmt.Errorf("audit: %d is not a Disclosure", d))
		}
		keyed = keyed || d == Keyed
	}
	if keyed && len(c.DigestKey) < minKey {
		errs = append(errs, fmt.Errorf("audit: DigestKey has less than %d octets", minKey))
	}
	if c.RepeatsOneIn < 0 || c.RefusalsPerSecond < 0 {
		errs = append(errs, errors.New("audit: RepeatsOneIn and RefusalsPerSecond cannot be negative"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	c.DigestKey = slices.Clone(c.DigestKey)
	return &Log{config: c, began: time.Now(), refusals: map[verifier.Reason]*window{}}, nil
}

// checkHandler reports a handler that takes no records. A zero one of package slog panics.
func checkHandler(h slog.Handler) error {
	enabled := false
	if p := guard.Call("Handler", func() { enabled = h.Enabled(context.Background(), slog.LevelInfo) }); p != nil {
		return fmt.Errorf("audit: %w", p)
	}
	if !enabled {
		return errors.New("audit: Handler is not enabled at slog.LevelInfo")
	}
	return nil
}

// Verified records a decision. It is for Hooks.Verified of a verifier.
func (l *Log) Verified(ctx context.Context, v verifier.Verified) {
	if l == nil || v.Err == nil && v.Token == nil { // nobody's Log, or no decision
		return
	}
	r := l.record(&v)
	switch {
	case v.Err != nil:
		var ok bool
		if r.Suppressed, ok = l.admit(v.Err.Reason, r.Time); !ok {
			l.suppressed.Add(1)
			return
		}
	case v.Remembered && l.config.RepeatsOneIn > 1:
		if l.repeats.Add(1)%uint64(l.config.RepeatsOneIn) != 0 {
			l.left.Add(1)
			return
		}
		r.OneIn = l.config.RepeatsOneIn
	}
	l.write(ctx, &r)
}

func (l *Log) write(ctx context.Context, r *Record) {
	var told, failed error
	if l.config.OnRecord != nil {
		told = guard.Call("OnRecord", func() { l.config.OnRecord(ctx, *r) })
	}
	if p := guard.Call("the audit handler", func() { failed = l.handle(ctx, r) }); p != nil {
		failed = p
	}
	if told != nil {
		failed = errors.Join(told, failed)
	}
	if failed != nil {
		l.failed.Add(1)
		if l.config.OnFailure != nil {
			guard.Report(guard.Call("OnFailure", func() { l.config.OnFailure(failed) }))
		}
		return
	}
	l.written.Add(1)
}

func (l *Log) handle(ctx context.Context, r *Record) error {
	h := l.config.Handler
	switch {
	case h == nil && l.config.OnRecord == nil:
		return errNotMade
	case h == nil:
		return nil
	case !h.Enabled(ctx, slog.LevelInfo):
		return errDisabled
	}
	out := slog.NewRecord(r.Time, slog.LevelInfo, Message, 0)
	out.AddAttrs(r.attrs()...)
	return h.Handle(ctx, out)
}

var errNotMade = errors.New("audit: the Log was not made by New")

var errDisabled = errors.New("audit: the handler is not enabled at slog.LevelInfo any more")

// admit reports whether a refusal is recorded, and how many were not since the last one that was.
func (l *Log) admit(reason verifier.Reason, at time.Time) (suppressed uint64, ok bool) {
	if l.config.RefusalsPerSecond == 0 {
		return 0, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.refusals[reason]
	if w == nil {
		w = &window{}
		l.refusals[reason] = w
	}
	if second := int64(at.Sub(l.began) / time.Second); second > w.second { // by the monotonic clock

		w.second, w.n = second, 0
	}
	if w.n >= l.config.RefusalsPerSecond {
		w.suppressed++
		return 0, false
	}
	w.n++
	suppressed, w.suppressed = w.suppressed, 0
	return suppressed, true
}

// Flush writes one record for each reason of which refusals were left out since its last record: when a flood has ended, or
// the process does. It has a reason, the time, and how many there were.
func (l *Log) Flush(ctx context.Context) {
	if l == nil {
		return
	}
	now := time.Now()
	var records []Record
	l.mu.Lock()
	for reason, w := range l.refusals {
		if w.suppressed > 0 {
			e := verifier.Error{Reason: reason}
			records = append(records, Record{
				Time: now, Outcome: outcomeOf(&e), Reason: reason.String(), Suppressed: w.suppressed, Summary: true,
			})
			w.suppressed = 0
		}
	}
	l.mu.Unlock()
	for i := range records {
		l.write(ctx, &records[i])
	}
}

// Status counts what became of the decisions.
func (l *Log) Status() Status {
	if l == nil {
		return Status{}
	}
	return Status{
		Written: l.written.Load(), Repeats: l.left.Load(), Suppressed: l.suppressed.Load(), Failed: l.failed.Load(),
	}
}

// Digest returns what Keyed writes after "hmac:" for a value of a field, "subject", "client" or "token_id", of the tokens of an
// authority: HMAC-SHA-256 (RFC 2104) with the DigestKey, base64url without padding. So whoever is shown a token can find its
// records. The three texts are each preceded by their length as 8 octets, the highest first.
func Digest(key []byte, field, authority, value string) string {
	mac := hmac.New(sha256.New, key)
	for _, s := range []string{field, authority, value} {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		mac.Write(n[:])
		mac.Write([]byte(s))
	}
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// disclose writes a value as d says.
func (c *Config) disclose(d Disclosure, field, authority, value string) string {
	switch {
	case d == Omit || value == "":
		return ""
	case d == Keyed:
		return "hmac:" + Digest(c.DigestKey, field, authority, value)
	default:
		return value
	}
}
