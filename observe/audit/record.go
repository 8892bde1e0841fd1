package audit

import (
	"errors"
	"log/slog"
	"time"

	"github.com/regionjwt/regionjwt/verifier"
)

// Outcome is what was decided.
type Outcome string

// The outcomes. But for the first they are the categories of verifier.Error.
const (
	Accepted    Outcome = "accepted"
	Invalid     Outcome = "invalid"     // verifier.ErrInvalid: refused
	Forbidden   Outcome = "forbidden"   // verifier.ErrForbidden: refused
	Unavailable Outcome = "unavailable" // verifier.ErrUnavailable: not let in, for it could not be found out
	// RateLimited is verifier.ErrRateLimited: not let in, and not found out, as too many unknown keys were asked for.
	RateLimited Outcome = "rate_limited"
)

// Record is a decision on a token. It holds configured values, closed lists, and what Config asks for. What is "" or 0 is not
// written, but for Rules.
type Record struct {
	Time       time.Time // when the decision was made
	Outcome    Outcome
	Reason     string // the label of the verifier.Reason; "" for Accepted
	Provider   string // "" where the token names no configured issuer
	Issuer     string // the iss, one of the configured ones; "" unless Accepted
	Region     string // "" where several may have minted it, or it is not known
	Key        string // RFC 7638 thumbprint, with SHA-256, of the key that signed it; "" unless Accepted
	KeyAge     time.Duration
	KeyOrigin  string // "fetched", "snapshot" or "fixed": where the key was learnt from; "" unless Accepted
	Remembered bool   // the signature was checked when the same token was first accepted, not now
	Rules      uint64 // the version of the revocation rules in this process; 0 without
	Took       time.Duration

	Subject, Client, TokenID string // as Config discloses them; "" unless Accepted

	OneIn      int    // how many repeats the record stands for; 0 where it stands for itself
	Suppressed uint64 // refusals for this reason that were left out since the last record of one
	Summary    bool   // it is of no decision: it only says how many were Suppressed
}

func outcomeOf(e *verifier.Error) Outcome {
	if e == nil {
		return Accepted
	}
	category := e.Category()
	switch {
	case errors.Is(category, verifier.ErrUnavailable):
		return Unavailable
	case errors.Is(category, verifier.ErrRateLimited):
		return RateLimited
	case errors.Is(category, verifier.ErrForbidden):
		return Forbidden
	default:
		return Invalid
	}
}

// record makes the record of a decision.
func (l *Log) record(v *verifier.Verified) Record {
	r := Record{
		Time: v.Began.Add(v.Took), Outcome: outcomeOf(v.Err), Remembered: v.Cached, Rules: v.Rules, Took: v.Took,
	}
	if v.Err != nil {
		r.Reason, r.Provider, r.Region = v.Err.Reason.String(), v.Err.Provider, v.Err.Region
		return r
	}
	t, c := v.Token, &l.config
	r.Provider, r.Issuer, r.Region, r.Key, r.KeyAge = t.Provider(), t.Issuer(), t.Region(), t.KeyThumbprint(), t.KeyAge()
	r.KeyOrigin = t.KeyOrigin()
	r.Subject = c.disclose(c.Subject, "subject", r.Provider, t.Subject())
	r.Client = c.disclose(c.Client, "client", r.Provider, t.ClientID())
	r.TokenID = c.disclose(c.TokenID, "token_id", r.Provider, t.ID())
	return r
}

// attrs lists what is written, besides the time.
func (r *Record) attrs() []slog.Attr {
	all := make([]slog.Attr, 0, 16)
	text := func(key, value string) {
		if value != "" {
			all = append(all, slog.String(key, value))
		}
	}
	text("outcome", string(r.Outcome))
	text("reason", r.Reason)
	text("authority", r.Provider)
	text("issuer", r.Issuer)
	text("region", r.Region)
	text("key", r.Key)
	if r.Key != "" {
		all = append(all, slog.Float64("key_age_seconds", r.KeyAge.Seconds()), slog.String("key_origin", r.KeyOrigin))
	}
	if !r.Summary {
		all = append(all, slog.Bool("remembered", r.Remembered), slog.Uint64("rules", r.Rules),
			slog.Float64("took_seconds", r.Took.Seconds()))
	}
	text("subject", r.Subject)
	text("client", r.Client)
	text("token_id", r.TokenID)
	if r.OneIn > 0 {
		all = append(all, slog.Int("one_in", r.OneIn))
	}
	if r.Suppressed > 0 {
		all = append(all, slog.Uint64("suppressed", r.Suppressed))
	}
	return all
}
