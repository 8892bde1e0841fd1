package middleware_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/verifier"
)

// scripted is a Verifier whose Recheck returns what the test sets.
type scripted struct {
	mu      sync.Mutex
	err     error
	changed chan struct{}
	asked   int
}

func (*scripted) Verify(context.Context, string) (*verifier.Token, error) {
	return nil, errors.New("unused")
}

func (s *scripted) Recheck(context.Context, *verifier.Token) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	return s.err
}

func (s *scripted) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *scripted) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
	close(s.changed)
	s.changed = make(chan struct{})
}

func reason(err error) verifier.Reason {
	var e *verifier.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

// watchable verifies a token that lives for so long. It returns its keys, too, so that a test can take them away.
func watchable(t *testing.T, life time.Duration) (*verifier.Verifier, *jwks.Cache, *verifier.Token) {
	t.Helper()
	w := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256"})
	keys, err := jwks.New([]issuer.Provider{w.Provider()}, jwks.Config{HTTPClient: w.Client()})
	require.NoError(t, err)
	v, err := verifier.New([]verifier.Policy{
		{Provider: w.Provider(), Audience: verifier.Audience(fakeissuer.Audience)},
	}, keys, verifier.Config{Leeway: -1})
	require.NoError(t, err)
	tok, err := v.Verify(t.Context(), w.Issue("us-east-1", fakeissuer.Claims{ExpiresIn: life}))
	require.NoError(t, err)
	return v, keys, tok
}

// ended reports when ctx ended, from now on, and why.
func ended(ctx context.Context) (after time.Duration, why verifier.Reason) {
	began := time.Now()
	<-ctx.Done()
	return time.Since(began), reason(context.Cause(ctx))
}

func TestWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, grace := range []time.Duration{-1, 0, 3 * time.Minute} {
			began := time.Now()
			v, _, own := watchable(t, 10*time.Minute)
			ctx, stop := middleware.Watch(t.Context(), v, own, grace)
			_, has := ctx.Deadline()
			require.False(t, has, "a deadline would travel with calls")
			after, why := ended(ctx)
			stop()
			require.Equal(t, verifier.ReasonExpired, why)
			require.WithinDuration(t, began.Add(10*time.Minute+max(grace, 0)), began.Add(after), time.Second)
		}
	})
}

func TestWatchChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, _, tok := watchable(t, time.Hour)
		script := &scripted{changed: make(chan struct{})}
		ctx, stop := middleware.Watch(t.Context(), script, tok, 0)
		time.Sleep(time.Minute)
		script.set(&verifier.Error{Reason: verifier.ReasonKeysUnavailable, RetryAfter: 7 * time.Second})
		time.Sleep(10 * time.Minute)
		require.NoError(t, ctx.Err(), "the Verifier cannot tell")
		script.mu.Lock()
		require.InDelta(t, 10*60/7, script.asked, 5, "it asks again when that may help")
		script.mu.Unlock()
		script.set(nil)
		time.Sleep(time.Minute)
		require.NoError(t, ctx.Err())
		script.set(&verifier.Error{Reason: verifier.ReasonRevoked})
		synctest.Wait()
		require.Equal(t, verifier.ReasonRevoked, reason(context.Cause(ctx)), "at once")
		stop()

		// While the Verifier cannot tell, the token still ends with its time.
		script.set(errors.New("an unknown error"))
		ctx, stop = middleware.Watch(t.Context(), script, tok, 0)
		_, why := ended(ctx)
		stop()
		require.Equal(t, verifier.ReasonExpired, why)
		require.WithinDuration(t, tok.ValidUntil(), time.Now(), time.Second)

		// In its grace, an expired token can still be revoked.
		script.set(&verifier.Error{Reason: verifier.ReasonExpired})
		ctx, stop = middleware.Watch(t.Context(), script, tok, time.Hour)
		time.Sleep(time.Minute)
		require.NoError(t, ctx.Err())
		script.set(&verifier.Error{Reason: verifier.ReasonRevoked})
		synctest.Wait()
		require.Equal(t, verifier.ReasonRevoked, reason(context.Cause(ctx)))
		stop()

		// The clock of the Verifier decides.
		script.set(nil)
		ctx, stop = middleware.Watch(t.Context(), script, tok, 0)
		time.Sleep(2 * time.Hour)
		require.NoError(t, ctx.Err())
		stop()
		synctest.Wait() // nothing is left running
		require.ErrorIs(t, context.Cause(ctx), context.Canceled)

		parent, cancel := context.WithCancelCause(t.Context())
		ctx, stop = middleware.Watch(parent, script, tok, 0)
		cancel(errors.New("gone"))
		synctest.Wait()
		require.EqualError(t, context.Cause(ctx), "gone")
		stop()
	})
}

// A stream ends at once if its key may not be used any longer, even if it is not known whether the token is still valid.
// While the key may be used, it goes on.
func TestWatchEndsWithTheKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, why := range []verifier.Reason{verifier.ReasonKeysUnavailable, verifier.ReasonUnknownKeyRateLimited} {
			for _, grace := range []time.Duration{0, time.Hour} {
				_, keys, tok := watchable(t, 12*time.Hour)
				script := &scripted{changed: make(chan struct{}), err: &verifier.Error{Reason: why, RetryAfter: time.Minute}}
				ctx, stop := middleware.Watch(t.Context(), script, tok, grace)
				time.Sleep(time.Hour + 30*time.Second) // between two attempts, which are a minute apart
				require.NoError(t, ctx.Err())
				require.NoError(t, keys.Update(nil)) // its key is gone
				script.set(&verifier.Error{Reason: verifier.ReasonRulesUnavailable})
				synctest.Wait()
				require.NoError(t, ctx.Err(), "that is not about keys")
				script.set(&verifier.Error{Reason: why})
				synctest.Wait()
				require.Equal(t, why, reason(context.Cause(ctx)))
				stop()
			}
		}
		// With its real Verifier: in its grace, too, a token that is expired needs its key.
		v, keys, tok := watchable(t, time.Hour)
		ctx, stop := middleware.Watch(t.Context(), v, tok, 10*time.Hour)
		time.Sleep(2 * time.Hour)
		require.NoError(t, ctx.Err())
		require.NoError(t, keys.Update(nil))
		synctest.Wait()
		require.Equal(t, verifier.ReasonKeysUnavailable, reason(context.Cause(ctx)))
		stop()
	})
}

// A stream ends if a new configuration finds its token too old.
func TestWatchAfterUpdate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, _, tok := watchable(t, 12*time.Hour)
		for _, grace := range []time.Duration{0, time.Minute} {
			script := &scripted{changed: make(chan struct{})}
			ctx, stop := middleware.Watch(t.Context(), script, tok, grace)
			time.Sleep(time.Hour)
			script.set(&verifier.Error{Reason: verifier.ReasonTooOld})
			after, why := ended(ctx)
			stop()
			require.Equal(t, verifier.ReasonTooOld, why)
			require.Equal(t, grace, after)

			// A lifetime that is too long is no matter of age: there is no grace.
			script.set(nil)
			ctx, stop = middleware.Watch(t.Context(), script, tok, time.Hour)
			script.set(&verifier.Error{Reason: verifier.ReasonTooOld, Detail: "exp"})
			after, why = ended(ctx)
			stop()
			require.Equal(t, verifier.ReasonTooOld, why)
			require.Zero(t, after)
		}
	})
}

// A Verifier of others whose Changed returns a channel that is closed already is not asked all the time.
func TestWatchOfAVerifierThatAlwaysChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		closed := make(chan struct{})
		close(closed)
		_, _, tok := watchable(t, time.Hour)
		v := &scripted{changed: closed}
		watched, stop := middleware.Watch(t.Context(), v, tok, 0)
		defer stop()
		time.Sleep(time.Second)
		synctest.Wait()
		require.NoError(t, watched.Err())
		v.mu.Lock()
		defer v.mu.Unlock()
		require.LessOrEqual(t, v.asked, 110)
	})
}
