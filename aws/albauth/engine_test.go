package albauth_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/aws/albauth"
	"github.com/regionjwt/regionjwt/verifier"
)

// took is how long a verification takes, and its outcome.
func took(v *albauth.Verifier, raw string) (time.Duration, string) {
	began := time.Now()
	got := outcome(v, raw)
	return time.Since(began), got
}

// A new key is fetched once, however many callers wait, and their token verifies in the same call.
func TestRotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, k := newServer(), key(t)
		s.latency = 100 * time.Millisecond
		s.publish(t, eastKeys+uuid(1), k)
		v := newVerifier(t, config(s))
		raw := signed(east, uuid(1), k).String()
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				d, got := took(v, raw)
				if got != "accepted" || d != 100*time.Millisecond {
					t.Error(got, d)
				}
			})
		}
		wg.Wait()
		require.Equal(t, 1, s.count(""))
		d, got := took(v, signed(east, uuid(1), k).String())
		require.Equal(t, "accepted", got)
		require.Zero(t, d, "the key is in memory")
	})
}

// A token that arrives before its key is published gets 401, and is accepted as soon as the budget allows to ask again.
func TestAKeyThatIsPublishedLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, k := newServer(), key(t)
		v := newVerifier(t, config(s))
		raw := signed(east, uuid(1), k).String()
		require.Equal(t, "unknown_key", outcome(v, raw))
		s.publish(t, eastKeys+uuid(1), k)
		require.Equal(t, "accepted", outcome(v, raw))
		require.Equal(t, 2, s.count(""))
	})
}

// While a Region is unavailable, its tokens verify with keys that are known, for 24 hours; other tokens get 503, and those of
// the other Region notice nothing.
func TestOneRegionIsUnavailable(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"hang", "refuse", "500", "503", "429", "302", "{}", "panic"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, k := newServer(), key(t)
				for _, url := range []string{eastKeys + uuid(1), eastKeys + uuid(2), westKeys + uuid(1), westKeys + uuid(2)} {
					s.publish(t, url, k)
				}
				var log bytes.Buffer
				c := config(s)
				c.Logger = slog.New(slog.NewTextHandler(&log, nil))
				v := newVerifier(t, c)
				require.Equal(t, "accepted", outcome(v, signed(east, uuid(1), k).String()))
				s.fail(how)
				for range 23 {
					time.Sleep(time.Hour)
					d, got := took(v, signed(east, uuid(1), k).String())
					require.Equal(t, "accepted", got)
					require.Zero(t, d)
					d, got = took(v, signed(west, uuid(1), k).String())
					require.Equal(t, "accepted", got)
					require.Zero(t, d)
				}
				d, got := took(v, signed(east, uuid(2), k).String())
				require.Equal(t, "keys_unavailable", got)
				require.LessOrEqual(t, d, 3*time.Second)
				time.Sleep(time.Hour + time.Second)
				require.Equal(t, "keys_unavailable", outcome(v, signed(east, uuid(1), k).String()), "24 hours are over")
				require.Equal(t, "accepted", outcome(v, signed(west, uuid(2), k).String()))
				synctest.Wait()
				require.Equal(t, 1, strings.Count(log.String(), "key fetch failed"), log.String())
				s.mu.Lock()
				delete(s.broken, eastKeys)
				s.mu.Unlock()
				time.Sleep(2 * time.Second)
				require.Equal(t, "accepted", outcome(v, signed(east, uuid(1), k).String()))
				synctest.Wait()
				require.Equal(t, 1, strings.Count(log.String(), "key fetch recovered"), log.String())
			})
		})
	}
}

// A key that is used is renewed before it is too old, without a token that waits; one that the server has removed ends after 24
// hours.
func TestKeysAreRenewedAheadOfNeed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, k := newServer(), key(t)
		s.latency = 500 * time.Millisecond
		s.publish(t, eastKeys+uuid(1), k)
		v := newVerifier(t, config(s))
		_, got := took(v, signed(east, uuid(1), k).String())
		require.Equal(t, "accepted", got)
		verified, err := v.Verify(t.Context(), signed(east, uuid(1), k).String())
		require.NoError(t, err)
		for range 7 * 24 {
			time.Sleep(time.Hour)
			d, got := took(v, signed(east, uuid(1), k).String())
			require.Equal(t, "accepted", got)
			require.Zero(t, d)
			require.True(t, verified.Key().Valid())
			require.Less(t, verified.Key().Age(), 14*time.Hour)
		}
		require.LessOrEqual(t, s.count(""), 15)
		s.fail("404")
		for range 10 {
			time.Sleep(time.Hour)
			require.Equal(t, "accepted", outcome(v, signed(east, uuid(1), k).String()))
		}
		time.Sleep(14 * time.Hour)
		require.False(t, verified.Key().Valid())
		require.Equal(t, "unknown_key", outcome(v, signed(east, uuid(1), k).String()))
	})
}

// A connection that has died silently costs a second: the key is asked for again on another one.
func TestASilentConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, k := newServer(), key(t)
		s.publish(t, eastKeys+uuid(1), k)
		s.fail("hang")
		v := newVerifier(t, config(s))
		go func() {
			time.Sleep(500 * time.Millisecond)
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.broken, eastKeys)
		}()
		d, got := took(v, signed(east, uuid(1), k).String())
		require.Equal(t, "accepted", got)
		require.Equal(t, time.Second, d)
		require.Equal(t, 2, s.count(""))
	})
}

// A flood of made-up keys: at most 5 requests at once and then one in 2 seconds; 401 or 429, never 5xx; known keys and the
// other load balancer do not notice; a rotation in the middle of it is found.
func TestFlood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, k := newServer(), key(t)
		s.latency = 50 * time.Millisecond
		for _, url := range []string{eastKeys + uuid(1), westKeys + uuid(1), westKeys + uuid(2)} {
			s.publish(t, url, k)
		}
		v := newVerifier(t, config(s))
		require.Equal(t, "accepted", outcome(v, signed(east, uuid(1), k).String()))
		time.Sleep(time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		seen, mu := map[string]int{}, sync.Mutex{}
		var wg sync.WaitGroup
		flood := func(n int) {
			for ctx.Err() == nil {
				time.Sleep(10 * time.Millisecond)
				n++
				raw := signed(east, uuid(1000+n), k).String()
				wg.Go(func() {
					got := outcome(v, raw)
					mu.Lock()
					defer mu.Unlock()
					seen[got]++
				})
			}
		}
		before := s.count(eastKeys)
		for i := range 3 {
			wg.Go(func() { flood(i << 20) })
		}
		for i := range 100 {
			time.Sleep(100 * time.Millisecond)
			for _, raw := range []string{signed(east, uuid(1), k).String(), signed(west, uuid(1+i/50), k).String()} {
				d, got := took(v, raw)
				require.Equal(t, "accepted", got)
				require.LessOrEqual(t, d, 50*time.Millisecond)
			}
		}
		require.LessOrEqual(t, s.count(eastKeys)-before, 5+10/2+1)
		s.publish(t, eastKeys+uuid(2), k)
		began := time.Now()
		for outcome(v, signed(east, uuid(2), k).String()) != "accepted" && time.Since(began) < time.Minute {
			time.Sleep(time.Second) // as Retry-After says
		}
		require.LessOrEqual(t, time.Since(began), 10*time.Second)
		cancel()
		wg.Wait()
		require.Len(t, seen, 2, "%v", seen)
		require.NotZero(t, seen["unknown_key"])
		require.NotZero(t, seen["unknown_key_rate_limited"])
	})
}

// Tokens that nobody has signed cannot cause more than three answers 503 in a row while a key is known.
func TestAnOutageIsNoRowOf5xx(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, k := newServer(), key(t)
		s.publish(t, westKeys+uuid(1), k)
		s.fail("refuse")
		v := newVerifier(t, config(s))
		for i := range 5 {
			require.Equal(t, "keys_unavailable", outcome(v, signed(east, uuid(i), k).String()), "nothing is known yet")
		}
		require.Equal(t, "accepted", outcome(v, signed(west, uuid(1), k).String()))
		row := 0
		for i := range 200 {
			time.Sleep(500 * time.Millisecond)
			switch got := outcome(v, signed(east, uuid(10+i), k).String()); got {
			case "keys_unavailable":
				row++
				require.LessOrEqual(t, row, 3)
			default:
				require.Equal(t, "unknown_key_rate_limited", got)
				row = 0
			}
		}
	})
}

// That holds from the first key on, also if callers have little time.
func TestTheFirstKeyEndsARowOf5xx(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, k := newServer(), key(t)
		s.publish(t, westKeys+uuid(1), k)
		s.fail("hang")
		v := newVerifier(t, config(s))
		unavailable := func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
			defer cancel()
			_, err := v.Verify(ctx, signed(east, uuid(2), k).String())
			return errors.Is(err, verifier.ErrUnavailable)
		}
		for range 5 {
			require.True(t, unavailable(), "nothing is known yet")
		}
		require.Equal(t, "accepted", outcome(v, signed(west, uuid(1), k).String()))
		n := 0
		for range 40 {
			if unavailable() {
				n++
			}
		}
		require.Equal(t, 3, n)
		time.Sleep(time.Minute)
	})
}

// The server's Retry-After is heeded for a minute at most.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, k := newServer(), key(t)
		s.publish(t, eastKeys+uuid(1), k)
		s.fail("retry 3600")
		v := newVerifier(t, config(s))
		raw := signed(east, uuid(1), k).String()
		require.Equal(t, "keys_unavailable", outcome(v, raw))
		s.mu.Lock()
		delete(s.broken, eastKeys)
		s.mu.Unlock()
		time.Sleep(58 * time.Second)
		_, err := v.Verify(t.Context(), raw)
		require.ErrorIs(t, err, verifier.ErrUnavailable)
		var e *verifier.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, 2*time.Second, e.RetryAfter)
		require.Equal(t, 1, s.count(""))
		time.Sleep(2 * time.Second)
		require.Equal(t, "accepted", outcome(v, raw))
	})
}

// A caller that gives up gets no answer about the token, and the request that it has caused goes on.
func TestACallerThatGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, k := newServer(), key(t)
		s.latency = time.Second - 1
		s.publish(t, eastKeys+uuid(1), k)
		v := newVerifier(t, config(s))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := v.Verify(ctx, signed(east, uuid(1), k).String())
		require.ErrorIs(t, err, verifier.ErrUnavailable)
		time.Sleep(time.Second)
		d, got := took(v, signed(east, uuid(1), k).String())
		require.Equal(t, "accepted", got)
		require.Zero(t, d)
		require.Equal(t, 1, s.count(""))
	})
}

// Keys of other load balancers, which anybody can name, take 8 places and no others.
func TestKeysThatVerifyNothingHaveFewPlaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, k, other := newServer(), key(t), key(t)
		s.publish(t, eastKeys+uuid(1), k)
		for i := range 100 {
			s.publish(t, eastKeys+uuid(10+i), other)
		}
		v := newVerifier(t, config(s))
		require.Equal(t, "accepted", outcome(v, signed(east, uuid(1), k).String()))
		for i := range 100 {
			time.Sleep(2 * time.Second)
			require.Equal(t, "bad_signature", outcome(v, signed(east, uuid(10+i), k).String()))
		}
		n := s.count("")
		time.Sleep(time.Minute)
		require.Equal(t, "accepted", outcome(v, signed(east, uuid(1), k).String()))
		require.Equal(t, "bad_signature", outcome(v, signed(east, uuid(109), k).String()))
		require.Equal(t, "bad_signature", outcome(v, signed(east, uuid(102), k).String()))
		require.Equal(t, n, s.count(""), "they are known")
		require.Equal(t, "bad_signature", outcome(v, signed(east, uuid(101), k).String()))
		require.Equal(t, n+1, s.count(""), "it has made room for the eighth")
	})
}
