package middleware

import (
	"context"
	"errors"
	"time"

	"github.com/regionjwt/regionjwt/verifier"
)

// Watch returns a copy of ctx that is cancelled once t is not valid any more: grace after Verify would refuse it for its age,
// and at once when it is revoked or its key withdrawn. context.Cause is then the *verifier.Error. The copy has no deadline, so
// that none travels with calls that are made under it.
//
// Where v is no Rechecker, the age is all that ends it. While v cannot tell, nothing ends. stop releases what Watch holds, and
// has to be called; it does not wait.
func Watch(
	ctx context.Context, v Verifier, t *verifier.Token, grace time.Duration,
) (watched context.Context, stop context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watch{token: t, grace: max(grace, 0), cancel: cancel}
	w.rechecker, _ = v.(Rechecker)
	go w.run(ctx)
	return ctx, func() { cancel(context.Canceled) }
}

type watch struct {
	rechecker Rechecker // nil where the Verifier is none
	token     *verifier.Token
	grace     time.Duration
	cancel    context.CancelCauseFunc
}

// run judges the token whenever its time is up or something has changed, until it ends or ctx does.
func (w *watch) run(ctx context.Context) {
	for {
		var changed <-chan struct{}
		if w.rechecker != nil {
			changed = w.rechecker.Changed() // before the question, so that no change is missed
		}
		wait, err := w.judge(ctx)
		if err != nil {
			w.cancel(err)
			return
		}
		timer := time.NewTimer(wait)
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

// again is the time after which a token is judged again that could not be judged.
const again = time.Second

// judge returns why the token ends now, or when to judge it again.
func (w *watch) judge(ctx context.Context) (wait time.Duration, end error) {
	left := time.Until(w.token.ValidUntil().Add(w.grace))
	var err error
	if w.rechecker != nil {
		err = w.rechecker.Recheck(ctx, w.token)
	} else if left <= 0 {
		err = &verifier.Error{Reason: verifier.Expired, Authority: w.token.Authority(), Region: w.token.Region()}
	}
	e := asError(err)
	switch {
	case err == nil:
		if left <= 0 {
			left = again // the clock of the Verifier is another one
		}
		return left, nil
	case e != nil && (e.Reason == verifier.Expired || e.Reason == verifier.TooOld):
		if left > 0 { // of the grace
			return left, nil
		}
	case errors.Is(err, verifier.ErrUnavailable):
		if left > 0 {
			_, after := Classify(err)
			return min(left, after), nil
		}
	}
	return 0, err
}
