package middleware_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/verifier"
)

// judge is a Verifier whose second opinion is set by the test.
type judge struct {
	mu      sync.Mutex
	err     error
	changed chan struct{}
	asked   int
}

func (*judge) Verify(context.Context, string) (*verifier.Token, error) {
	return nil, errors.New("unused")
}

func (j *judge) Recheck(context.Context, *verifier.Token) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.asked++
	return j.err
}

func (j *judge) Changed() <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.changed
}

func (j *judge) say(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.err = err
	close(j.changed)
	j.changed = make(chan struct{})
}

func reason(err error) verifier.Reason {
	var e *verifier.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return 0
}

// token verifies a token that lives for so long.
func token(t *testing.T, life time.Duration) (*regionjwt.Validator, *verifier.Token) {
	t.Helper()
	w := issuertest.New(t, issuertest.Config{Layout: issuertest.IssuerPerRegion, Algorithm: "ES256"})
	v, err := regionjwt.New(regionjwt.Config{Keys: jwks.Config{HTTPClient: w.Client()}, Leeway: -1, Policies: []verifier.Policy{
		{Provider: w.Provider(), Audience: verifier.Audience(issuertest.Audience)},
	}})
	require.NoError(t, err)
	tok, err := v.Verify(t.Context(), w.Token("us-east-1", issuertest.Claims{ExpiresIn: life}))
	require.NoError(t, err)
	return v, tok
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
			v, own := token(t, 10*time.Minute)
			ctx, stop := middleware.Watch(t.Context(), v, own, grace)
			_, has := ctx.Deadline()
			require.False(t, has, "a deadline would travel with calls")
			after, why := ended(ctx)
			stop()
			require.Equal(t, verifier.ReasonExpired, why)
			require.WithinDuration(t, began.Add(10*time.Minute+max(grace, 0)), began.Add(after), time.Second)
		}
		// A Verifier that cannot judge again.
		v, own := token(t, 10*time.Minute)
		ctx, stop := middleware.Watch(t.Context(), struct{ middleware.Verifier }{v}, own, 0)
		after, why := ended(ctx)
		stop()
		require.Equal(t, verifier.ReasonExpired, why)
		require.WithinDuration(t, time.Now(), own.ValidUntil(), time.Second)
		require.Greater(t, after, 9*time.Minute)
	})
}

func TestWatchChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, tok := token(t, time.Hour)
		j := &judge{changed: make(chan struct{})}
		ctx, stop := middleware.Watch(t.Context(), j, tok, 0)
		time.Sleep(time.Minute)
		j.say(&verifier.Error{Reason: verifier.ReasonKeysUnavailable, RetryAfter: 7 * time.Second})
		time.Sleep(10 * time.Minute)
		require.NoError(t, ctx.Err(), "it cannot tell")
		j.mu.Lock()
		require.InDelta(t, 10*60/7, j.asked, 5, "it asks again, when it may help")
		j.mu.Unlock()
		j.say(nil)
		time.Sleep(time.Minute)
		require.NoError(t, ctx.Err())
		j.say(&verifier.Error{Reason: verifier.ReasonRevoked})
		synctest.Wait()
		require.Equal(t, verifier.ReasonRevoked, reason(context.Cause(ctx)), "at once")
		stop()

		// While it cannot tell, the token still ends with its time.
		j.say(errors.New("an error of nobody's"))
		ctx, stop = middleware.Watch(t.Context(), j, tok, 0)
		_, why := ended(ctx)
		stop()
		require.Equal(t, verifier.ReasonExpired, why)
		require.WithinDuration(t, tok.ValidUntil(), time.Now(), time.Second)

		// In its grace, an expired token can still be revoked.
		j.say(&verifier.Error{Reason: verifier.ReasonExpired})
		ctx, stop = middleware.Watch(t.Context(), j, tok, time.Hour)
		time.Sleep(time.Minute)
		require.NoError(t, ctx.Err())
		j.say(&verifier.Error{Reason: verifier.ReasonRevoked})
		synctest.Wait()
		require.Equal(t, verifier.ReasonRevoked, reason(context.Cause(ctx)))
		stop()

		// A Verifier with a clock of its own decides, not ours.
		j.say(nil)
		ctx, stop = middleware.Watch(t.Context(), j, tok, 0)
		time.Sleep(2 * time.Hour)
		require.NoError(t, ctx.Err())
		stop()
		synctest.Wait() // and nothing is left running
		require.ErrorIs(t, context.Cause(ctx), context.Canceled)

		parent, cancel := context.WithCancelCause(t.Context())
		ctx, stop = middleware.Watch(parent, j, tok, 0)
		cancel(errors.New("gone"))
		synctest.Wait()
		require.EqualError(t, context.Cause(ctx), "gone")
		stop()
	})
}

// A stream ends at once if its key may not be used any longer, also if nobody can say whether the token is still good. While the
// key may be used, it goes on.
func TestWatchEndsWithTheKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, why := range []verifier.Reason{verifier.ReasonKeysUnavailable, verifier.ReasonUnknownKeyRateLimited} {
			for _, grace := range []time.Duration{0, time.Hour} {
				v, tok := token(t, 12*time.Hour)
				j := &judge{changed: make(chan struct{}), err: &verifier.Error{Reason: why, RetryAfter: time.Minute}}
				ctx, stop := middleware.Watch(t.Context(), j, tok, grace)
				time.Sleep(time.Hour)
				require.NoError(t, ctx.Err())
				require.NoError(t, v.Keys().Update(nil)) // its key is gone
				j.say(&verifier.Error{Reason: verifier.ReasonRulesUnavailable})
				synctest.Wait()
				require.NoError(t, ctx.Err(), "that is not about keys")
				j.say(&verifier.Error{Reason: why})
				synctest.Wait()
				require.Equal(t, why, reason(context.Cause(ctx)))
				stop()
			}
		}
		// With its real Verifier: in its grace, too, a token that is expired needs its key.
		v, tok := token(t, time.Hour)
		ctx, stop := middleware.Watch(t.Context(), v, tok, 10*time.Hour)
		time.Sleep(2 * time.Hour)
		require.NoError(t, ctx.Err())
		require.NoError(t, v.Keys().Update(nil))
		synctest.Wait()
		require.Equal(t, verifier.ReasonKeysUnavailable, reason(context.Cause(ctx)))
		stop()
	})
}

// What a new configuration finds too old ends, whatever the token was promised before.
func TestWatchAfterUpdate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, tok := token(t, 12*time.Hour)
		for _, grace := range []time.Duration{0, time.Minute} {
			j := &judge{changed: make(chan struct{})}
			ctx, stop := middleware.Watch(t.Context(), j, tok, grace)
			time.Sleep(time.Hour)
			j.say(&verifier.Error{Reason: verifier.ReasonTooOld})
			after, why := ended(ctx)
			stop()
			require.Equal(t, verifier.ReasonTooOld, why)
			require.Equal(t, grace, after)
		}
	})
}

func TestStepUpAndProfile(t *testing.T) {
	t.Parallel()
	w := issuertest.New(t, issuertest.Config{Layout: issuertest.IssuerPerRegion, Algorithm: "ES256"})
	v, err := regionjwt.New(regionjwt.Config{Keys: jwks.Config{HTTPClient: w.Client()}, Policies: []verifier.Policy{
		{Provider: w.Provider(), Audience: verifier.Audience(issuertest.Audience)},
	}})
	require.NoError(t, err)
	now := time.Now()
	require.Error(t, middleware.Require(mustVerify(t, v, w, issuertest.Claims{}), []middleware.Requirement{
		middleware.StepUp(middleware.StepUpChallenge{}, nil),
	}), "it demands nothing")
	for _, c := range []struct {
		acr, auth any
		demand    middleware.StepUpChallenge
		met       bool
	}{
		{"mfa", now.Unix(), middleware.StepUpChallenge{ACR: []string{"phr", "mfa"}, MaxAge: time.Minute}, true},
		{"pwd", now.Unix(), middleware.StepUpChallenge{ACR: []string{"mfa"}}, false},
		{nil, now.Unix(), middleware.StepUpChallenge{ACR: []string{"mfa"}}, false},
		{1, now.Unix(), middleware.StepUpChallenge{ACR: []string{"mfa"}}, false},
		{nil, now.Add(-time.Hour).Unix(), middleware.StepUpChallenge{MaxAge: time.Minute}, false},
		{nil, now.Add(-time.Hour).Unix(), middleware.StepUpChallenge{MaxAge: 2 * time.Hour}, true},
		{nil, nil, middleware.StepUpChallenge{MaxAge: 2 * time.Hour}, false},
		{nil, "yesterday", middleware.StepUpChallenge{MaxAge: 2 * time.Hour}, false},
	} {
		tok := mustVerify(t, v, w, issuertest.Claims{Set: map[string]any{"acr": c.acr, "auth_time": c.auth}})
		err := middleware.Require(tok, []middleware.Requirement{middleware.StepUp(c.demand, func() time.Time { return now })})
		require.Equal(t, c.met, err == nil, "%+v", c)
		if err != nil {
			o, _ := middleware.Classify(err)
			require.Equal(t, middleware.NeedStepUp, o)
			require.Equal(t, "insufficient_user_authentication", o.String())
		}
	}
	require.Equal(t, middleware.StepUpChallenge{ACR: []string{"a"}, MaxAge: time.Minute}, middleware.StepUpOf([]middleware.Requirement{
		middleware.Scopes("x"), middleware.StepUp(middleware.StepUpChallenge{ACR: []string{"a"}, MaxAge: time.Hour}, nil),
		middleware.StepUp(middleware.StepUpChallenge{ACR: []string{"b"}, MaxAge: time.Minute}, nil),
	}))
	profile := []middleware.Requirement{middleware.AccessTokenProfile()}
	full := issuertest.Claims{Header: map[string]any{"typ": "application/AT+JWT"}}
	require.NoError(t, middleware.Require(mustVerify(t, v, w, full), profile))
	for _, missing := range []string{"sub", "client_id", "iat", "jti"} {
		c := full
		c.Set = map[string]any{missing: nil}
		require.Equal(t, verifier.ReasonTypNotAllowed, reason(middleware.Require(mustVerify(t, v, w, c), profile)), missing)
	}
	full.Header = map[string]any{"typ": "JWT"}
	require.Equal(t, verifier.ReasonTypNotAllowed, reason(middleware.Require(mustVerify(t, v, w, full), profile)))
}

func mustVerify(t *testing.T, v middleware.Verifier, w *issuertest.World, c issuertest.Claims) *verifier.Token {
	t.Helper()
	tok, err := v.Verify(t.Context(), w.Token("us-east-1", c))
	require.NoError(t, err)
	return tok
}

func TestLogAttr(t *testing.T) {
	t.Parallel()
	_, tok := token(t, time.Hour)
	require.Equal(t, "token=[authority=test-authority region=us-east-1]", middleware.LogAttr(tok, nil).String())
	require.Equal(t, "token=[authority=a region=r reason=revoked]",
		middleware.LogAttr(tok, &verifier.Error{Reason: verifier.ReasonRevoked, Provider: "a", Region: "r", Err: errors.New("x")}).String())
	require.Equal(t, "token=[reason=temporarily_unavailable]", middleware.LogAttr(nil, errors.New("x")).String())
	require.Equal(t, slog.KindGroup, middleware.LogAttr(nil, nil).Value.Kind())
}
