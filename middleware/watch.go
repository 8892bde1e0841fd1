package middleware

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/regionjwt/regionjwt/internal/authz"
	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/verifier"
)

// Watch returns a copy of ctx that is canceled when t stops being valid: grace after it expires, or as soon as it is revoked, its
// key is withdrawn, or another check of v.Recheck rejects it. context.Cause then returns the *verifier.Error. The copy has no
// deadline, so that none is passed on with calls that are made under it. A negative grace means 0.
//
// While v cannot tell whether t is valid, or panics, only the age of t ends it. If v or t is nil, the copy is canceled at once.
// stop releases the resources of Watch and must be called; it does not wait.
func Watch(
	ctx context.Context, v Verifier, t *verifier.Token, grace time.Duration,
) (watched context.Context, stop context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	switch {
	case t == nil:
		cancel(&verifier.Error{Reason: verifier.ReasonTokenMissing, Err: errors.New("middleware: Watch: the token is nil")})
	case nils.Is(v):
		cancel(&verifier.Error{Reason: verifier.ReasonKeysUnavailable, RetryAfter: authz.Again, Err: authz.ErrNoVerifier})
	}
	if ctx.Err() == nil {
		w := &watch{verifier: v, token: t, grace: max(grace, 0), cancel: cancel}
		go w.run(ctx)
	}
	return ctx, func() { cancel(context.Canceled) }
}

type watch struct {
	verifier Verifier
	token    *verifier.Token
	grace    time.Duration
	aged     time.Time // when the token was first found too old; zero until then
	quick    int       // checks in a row that followed the one before at once
	cancel   context.CancelCauseFunc
}

// run checks the token whenever its time is up or something has changed, until it ends or ctx does.
func (w *watch) run(ctx context.Context) {
	for {
		changed := w.changed() // before the check, so that no change is missed
		left, err := w.evaluate(ctx)
		if err != nil {
			w.cancel(err)
			return
		}
		if !w.pause(ctx, min(left, wallClockInterval), changed) { // a timer sleeps while the machine does
			return
		}
	}
}

// A Verifier whose Changed returns a closed channel would be asked all the time: after manyQuick checks of which each followed
// the one before it within checkEvery, there is a pause of checkEvery before the next one.
const (
	checkEvery = 10 * time.Millisecond
	manyQuick  = 8
)

// pause waits for a change, at most that long. It returns false when ctx has ended.
func (w *watch) pause(ctx context.Context, most time.Duration, changed <-chan struct{}) bool {
	began := time.Now()
	wait(ctx, most, changed)
	if time.Since(began) >= checkEvery {
		w.quick = 0
	} else if w.quick++; w.quick >= manyQuick {
		wait(ctx, checkEvery, nil)
	}
	return ctx.Err() == nil
}

// wait waits for the first of three: the end of ctx, of most, or a change.
func wait(ctx context.Context, most time.Duration, changed <-chan struct{}) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-changed:
	case <-timer.C:
	}
}

// changed returns the channel of changes. It is nil after a panic: the timer then decides.
func (w *watch) changed() (changed <-chan struct{}) {
	guard.Report(guard.Apart("Verifier.Changed", func() { changed = w.verifier.Changed() }))
	return changed
}

// recheck lets the Verifier check the token again. A panic is an error that says nothing about the token.
func (w *watch) recheck(ctx context.Context) (err error) {
	p := guard.Apart("Verifier.Recheck", func() { err = w.verifier.Recheck(ctx, w.token) })
	if p == nil {
		p = guard.Sound("the error of Verifier.Recheck", err)
	}
	guard.Report(p) // if it is a panic
	return p
}

// keyIsGone reports whether the key of the token may no longer be used, although it is not known to be withdrawn.
func (w *watch) keyIsGone(e *verifier.Error) bool {
	if e == nil || e.Reason != verifier.ReasonKeysUnavailable && e.Reason != verifier.ReasonUnknownKeyRateLimited {
		return false
	}
	k := w.token.Key()
	return k == nil || !k.Valid()
}

// wallClockInterval is the longest time after which the wall clock is read.
const wallClockInterval = time.Minute

// evaluate returns why the token ends now, or when to check it again.
func (w *watch) evaluate(ctx context.Context) (wait time.Duration, end error) {
	left := time.Until(w.token.ValidUntil().Add(w.grace))
	err := w.recheck(ctx)
	if err == nil {
		if left <= 0 {
			left = authz.Again // the clock of the Verifier is another one
		}
		return left, nil
	}
	e := authz.AsError(err)
	aged := e != nil && (e.Reason == verifier.ReasonExpired || e.Reason == verifier.ReasonTooOld && e.Detail != "exp")
	status, _, after := Classify(err)
	if aged {
		if w.aged.IsZero() {
			w.aged = time.Now()
		}
		left = min(left, time.Until(w.aged.Add(w.grace))) // the configuration may have changed since ValidUntil
	}
	switch {
	case !aged && status != http.StatusServiceUnavailable && status != http.StatusTooManyRequests:
		return 0, err
	case w.keyIsGone(e):
		return 0, err
	case left > 0 && aged: // in its grace
		return left, nil
	case left > 0: // the Verifier cannot tell
		return min(left, after), nil
	case aged:
		return 0, err
	}
	return 0, &verifier.Error{Reason: verifier.ReasonExpired, Provider: w.token.Provider(), Region: w.token.Region()}
}
