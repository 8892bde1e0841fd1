package middleware

import (
	"context"
	"errors"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/verifier"
)

// Watch returns a copy of ctx that is cancelled once t is not valid any more: grace after Verify would refuse it for its age,
// and at once when it is revoked or its key withdrawn. context.Cause is then the *verifier.Error. The copy has no deadline, so
// that none travels with calls that are made under it.
//
// Where v is no Rechecker, the age is all that ends it. While v cannot tell, or panics, nothing but the age ends it. stop
// releases what Watch holds, and has to be called; it does not wait. If v or t is nil, the copy is canceled at once.
func Watch(
	ctx context.Context, v Verifier, t *verifier.Token, grace time.Duration,
) (watched context.Context, stop context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	switch {
	case t == nil:
		cancel(&verifier.Error{Reason: verifier.TokenMissing, Err: errors.New("middleware: Watch: the token is nil")})
	case nils.Is(v):
		cancel(&verifier.Error{Reason: verifier.KeysUnavailable, RetryAfter: again, Err: errNoVerifier})
	}
	if ctx.Err() == nil {
		w := &watch{token: t, grace: max(grace, 0), cancel: cancel}
		w.rechecker, _ = v.(Rechecker)
		go w.run(ctx)
	}
	return ctx, func() { cancel(context.Canceled) }
}

type watch struct {
	rechecker Rechecker // nil where the Verifier is none
	token     *verifier.Token
	grace     time.Duration
	aged      time.Time // when the token was first found too old; zero until then
	cancel    context.CancelCauseFunc
}

// run judges the token whenever its time is up or something has changed, until it ends or ctx does.
func (w *watch) run(ctx context.Context) {
	for {
		var changed <-chan struct{}
		if w.rechecker != nil {
			changed = w.changes() // before the question, so that no change is missed
		}
		wait, err := w.judge(ctx)
		if err != nil {
			w.cancel(err)
			return
		}
		timer := time.NewTimer(min(wait, lookEvery)) // a timer sleeps while the machine does
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// changes asks for the channel of changes. It is nil after a panic: the timer then decides.
func (w *watch) changes() (changed <-chan struct{}) {
	guard.Report(guard.Apart("Rechecker.Changed", func() { changed = w.rechecker.Changed() }))
	return changed
}

// recheck has the Rechecker judge the token. A panic is an error that cannot tell.
func (w *watch) recheck(ctx context.Context) (err error) {
	p := guard.Apart("Rechecker.Recheck", func() { err = w.rechecker.Recheck(ctx, w.token) })
	if p == nil {
		p = guard.Sound("the error of Rechecker.Recheck", err)
	}
	guard.Report(p) // if it is a panic
	return p
}

// again is the time after which a token is judged again that could not be judged.
const again = time.Second

// lookEvery is the longest time after which the wall clock is looked at.
const lookEvery = time.Minute

// judge returns why the token ends now, or when to judge it again.
func (w *watch) judge(ctx context.Context) (wait time.Duration, end error) {
	left := time.Until(w.token.ValidUntil().Add(w.grace))
	over := &verifier.Error{Reason: verifier.Expired, Authority: w.token.Authority(), Region: w.token.Region()}
	if w.rechecker == nil {
		if left <= 0 {
			return 0, over
		}
		return left, nil
	}
	err := w.recheck(ctx)
	if err == nil {
		if left <= 0 {
			left = again // the clock of the Verifier is another one
		}
		return left, nil
	}
	e := asError(err)
	aged := e != nil && (e.Reason == verifier.Expired || e.Reason == verifier.TooOld)
	outcome, after := Classify(err)
	if aged {
		if w.aged.IsZero() {
			w.aged = time.Now()
		}
		left = min(left, time.Until(w.aged.Add(w.grace))) // the configuration may have changed since ValidUntil
	}
	switch {
	case !aged && outcome != Unavailable:
		return 0, err
	case left > 0 && aged: // in its grace
		return left, nil
	case left > 0: // it cannot tell
		return min(left, after), nil
	case aged:
		return 0, err
	}
	return 0, over
}
