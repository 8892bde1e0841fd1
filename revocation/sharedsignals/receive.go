package sharedsignals

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/secevent"
	"github.com/regionjwt/regionjwt/revocation/internal/signaldoc"
	"github.com/regionjwt/regionjwt/verifier"
)

const (
	leeway     = 30 * time.Second // for exp and nbf
	maxWriting = 512              // events of one transmitter that wait for the stores
	retryRoom  = time.Minute      // after which the transmitter may try again if there is no room
	retryStore = 2 * time.Second
)

// The codes of RFC 8935 section 2.4.
const (
	errInvalidRequest  = "invalid_request"
	errInvalidKey      = "invalid_key"
	errInvalidIssuer   = "invalid_issuer"
	errInvalidAudience = "invalid_audience"
	errAuthentication  = "authentication_failed"
)

// answer is what the transmitter learns about a token. The zero answer accepts it.
type answer struct {
	code        string        // of RFC 8935 for a bad token
	description string        // for people
	later       time.Duration // it could not be found out, or not be done: the transmitter must send it again
	limited     bool          // later, because of too many requests
	full        bool          // later, because there is no room
}

func (a *answer) accepts() bool { return a.code == "" && a.later == 0 }

// receive checks a token, and makes its rules durable. id is the jti that it must have; "" means any. logout says which kind of
// token it must be.
func (r *Receiver) receive(ctx context.Context, t *transmitter, raw, id string, logout bool) answer {
	now := r.now()
	token, err := secevent.Verify(ctx, raw, &secevent.Check{
		Transmitter: t.id, Issuers: t.issuers, Keys: t.keys, Audience: t.Audience, MaxBytes: maxTokenBytes, Now: now,
		Leeway: leeway, Untyped: slices.Contains(t.ignore, "typ"), Expiring: slices.Contains(t.ignore, "exp"),
	})
	if err != nil {
		return r.rejected(t, err)
	}
	if token.Logout != logout || id != "" && id != token.ID {
		r.tell(t, "", string(verifier.ReasonMalformed), "")
		return answer{code: errInvalidRequest, description: "the token is of another kind, or has another jti"}
	}
	findings, err := t.translate(ctx, &token, now)
	switch {
	case errors.Is(err, errLookup):
		r.tell(t, "", outcomeLookup, "")
		r.log.Warn("the subject of a security event could not be looked up", "transmitter", t.id, "failure", err)
		return answer{later: retryStore}
	case err != nil:
		r.tell(t, "", string(verifier.ReasonMalformed), "")
		return answer{code: errInvalidRequest, description: err.Error()}
	}
	return r.apply(ctx, t, &token, findings)
}

// codes are the error codes of RFC 8935 section 2.4 for reasons to reject a token. Others are invalid_request.
var codes = map[verifier.Reason]string{
	verifier.ReasonUnknownIssuer: errInvalidIssuer,
	verifier.ReasonBadAudience:   errInvalidAudience,
	verifier.ReasonUnknownKey:    errInvalidKey,
	verifier.ReasonKeyNotAllowed: errInvalidKey,
	verifier.ReasonBadSignature:  errAuthentication,
}

// rejected tells of a token that is not authentic, and returns the answer.
func (r *Receiver) rejected(t *transmitter, err error) answer {
	var e *verifier.Error
	if !errors.As(err, &e) {
		return answer{later: retryStore}
	}
	r.tell(t, "", string(e.Reason), "")
	a := answer{code: errInvalidRequest, description: string(e.Reason)}
	if e.Detail != "" {
		a.description += ": " + e.Detail
	}
	switch {
	case errors.Is(e, verifier.ErrRateLimited):
		return answer{later: max(e.RetryAfter, time.Second), limited: true}
	case errors.Is(e, verifier.ErrUnavailable):
		return answer{later: max(e.RetryAfter, time.Second)}
	}
	if code := codes[e.Reason]; code != "" {
		a.code = code
	}
	return a
}

// apply does what the events of an authentic token ask for. It returns when the rules are durable.
func (r *Receiver) apply(ctx context.Context, t *transmitter, token *secevent.Token, findings []finding) answer {
	var rules []signaldoc.Rule
	for i := range findings {
		rules = append(rules, findings[i].rules...)
	}
	var results []signaldoc.Result
	if len(rules) > 0 {
		if t.writing.Add(1) > maxWriting {
			t.writing.Add(-1)
			r.tell(t, findings[0].kind, outcomeNotStored, "")
			return answer{later: retryStore, limited: true}
		}
		var err error
		results, err = r.document.Add(ctx, rules)
		t.writing.Add(-1)
		if err != nil || len(results) != len(rules) {
			r.tell(t, findings[0].kind, outcomeNotStored, "")
			r.log.Error("the rule of a security event was not written", "transmitter", t.id, "failure", err)
			return answer{later: retryStore}
		}
	}
	var a answer
	for i := range findings {
		f := &findings[i]
		if f.outcome != "" {
			r.note(t, token, f)
			continue
		}
		for range f.rules {
			outcome := outcomeRepeated
			switch result := results[0]; {
			case result.Err != nil:
				outcome, a.later, a.full = outcomeNoRoom, retryRoom, true
				r.log.Error("there is no room for the rule of a security event", "transmitter", t.id, "kind", f.kind)
			case result.New:
				outcome = outcomeApplied
			}
			r.tell(t, f.kind, outcome, results[0].ID)
			results = results[1:]
		}
	}
	return a
}

// note tells of an event that makes no rule.
func (r *Receiver) note(t *transmitter, token *secevent.Token, f *finding) {
	outcome := f.outcome
	switch {
	case outcome == outcomeNoRule && f.kind == kindVerification:
		outcome = r.noteVerification(t, token)
	case outcome == outcomeNoRule && f.kind == kindStreamUpdated:
		outcome = r.noteStream(t, token, f)
	case outcome == outcomeFuture:
		r.log.Error("a security event is in the future", "transmitter", t.id, "kind", f.kind)
	}
	r.tell(t, f.kind, outcome, "")
}

// tell calls OnEvent, and logs.
func (r *Receiver) tell(t *transmitter, kind, outcome, ruleID string) {
	level := slog.LevelWarn
	switch outcome {
	case outcomeApplied, outcomeRepeated, outcomeNoRule, outcomeVerified, outcomeIgnored, outcomeNoted:
		level = slog.LevelInfo
	}
	r.log.Log(context.Background(), level, "security event",
		"transmitter", t.id, "kind", kind, "outcome", outcome, "rule", ruleID)
	if r.config.OnEvent == nil {
		return
	}
	if p := guard.Call("Config.OnEvent", func() { r.config.OnEvent(t.id, kind, outcome, ruleID) }); p != nil {
		r.log.Error("a panic was recovered", "failure", p)
	}
}
