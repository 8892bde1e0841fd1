package jwks_test

import (
	"bytes"
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
)

const (
	east = "us-east-1"
	west = "us-west-2"
)

// world is a test world with a cache in front of it.
type world struct {
	*issuertest.World
	*jwks.Cache
	t *testing.T
}

// inBubble runs f in a synctest bubble with a world in memory and a cache of its keys.
func inBubble(t *testing.T, wc issuertest.Config, change func(*jwks.Config), f func(*testing.T, world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		if wc.Algorithm == "" {
			wc.Algorithm = "ES256"
		}
		w := issuertest.New(t, wc)
		c := jwks.Config{Authorities: authorities(w), Client: w.Client()}
		if change != nil {
			change(&c)
		}
		cache, err := jwks.New(c)
		require.NoError(t, err)
		defer func() { require.NoError(t, cache.Close()) }()
		f(t, world{World: w, Cache: cache, t: t})
	})
}

// issuerOf is the iss that the region mints first.
func (w world) issuerOf(region string) string {
	for _, r := range w.Authority().Regions {
		if r.Name == region {
			return r.Issuers[0]
		}
	}
	w.t.Fatalf("no region %q", region)
	return ""
}

// ask asks for the key that the region signs with now.
func (w world) ask(region string) ([]*jwks.Key, error) {
	return w.Keys(w.t.Context(), w.issuerOf(region), w.KeyID(region))
}

func (w world) mustHave(region string) *jwks.Key {
	w.t.Helper()
	keys, err := w.ask(region)
	require.NoError(w.t, err)
	require.Len(w.t, keys, 1)
	require.Equal(w.t, w.KeyID(region), keys[0].ID)
	return keys[0]
}

// running has a cache refresh until the function that it returns is called.
func running(t *testing.T, c interface{ Run(context.Context) error }) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	return func() {
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
	}
}

// within runs f and requires that it took no longer than limit of virtual time.
func within(t *testing.T, limit time.Duration, f func()) {
	t.Helper()
	began := time.Now()
	f()
	require.LessOrEqual(t, time.Since(began), limit)
}

// faults are the ways in which a region can be dark.
var faults = map[string]func(*issuertest.World, string){
	"refuses": func(w *issuertest.World, r string) { w.Break(r) },
	"hangs":   func(w *issuertest.World, r string) { w.Hang(r) },
	"503":     func(w *issuertest.World, r string) { w.Status(r, http.StatusServiceUnavailable, nil) },
	"429":     func(w *issuertest.World, r string) { w.Status(r, 429, http.Header{"Retry-After": {"30"}}) },
	"302": func(w *issuertest.World, r string) {
		w.Status(r, 302, http.Header{"Location": {"https://idp.example/"}})
	},
	"garbage":     func(w *issuertest.World, r string) { w.Corrupt(r, []byte("<html>sign in</html>")) },
	"empty set":   func(w *issuertest.World, r string) { w.Corrupt(r, []byte(`{"keys":[]}`)) },
	"no set":      func(w *issuertest.World, r string) { w.Corrupt(r, []byte(`{}`)) },
	"much":        func(w *issuertest.World, r string) { w.Corrupt(r, bytes.Repeat([]byte(" "), 1<<20)) },
	"late by 1 m": func(w *issuertest.World, r string) { w.Slow(r, time.Minute) },
}

var layouts = map[string]issuertest.Config{
	"user pool":              {Layout: issuertest.Cognito},
	"issuer per region":      {Layout: issuertest.IssuerPerRegion},
	"discovery":              {Layout: issuertest.IssuerPerRegion, Discovery: true},
	"one issuer, other keys": {Layout: issuertest.OneIssuer},
	"one issuer, mirrored":   {Layout: issuertest.OneIssuerMirrored},
}

func TestBothRegions(t *testing.T) {
	t.Parallel()
	for name, layout := range layouts {
		t.Run(name, func(t *testing.T) {
			inBubble(t, layout, nil, func(t *testing.T, w world) {
				w.mustHave(east)
				w.mustHave(west)
				first := w.mustHave(east)
				require.Same(t, first, w.mustHave(east))
				synctest.Wait()
				require.LessOrEqual(t, w.Fetches(east), 2, "a set is fetched once")
				require.LessOrEqual(t, w.Fetches(west), 2, "a set is fetched once")
			})
		})
	}
}

// Each region is dark in turn, in every way and every layout, from the start: the other one's keys come at once.
func TestDarkFromTheStart(t *testing.T) {
	t.Parallel()
	for layoutName, layout := range layouts {
		for faultName, spoil := range faults {
			for _, dark := range []string{east, west} {
				t.Run(layoutName+"/"+faultName+"/"+dark, func(t *testing.T) {
					inBubble(t, layout, nil, func(t *testing.T, w world) {
						spoil(w.World, dark)
						bright := map[string]string{east: west, west: east}[dark]
						// A mirror that is preferred may have to be waited for, for half a second.
						within(t, 500*time.Millisecond, func() { w.mustHave(bright) })
					})
				})
			}
		}
	}
}

// Once a region's keys are at hand, nothing that happens to it is noticed for a day.
func TestDarkLater(t *testing.T) {
	t.Parallel()
	for faultName, spoil := range faults {
		t.Run(faultName, func(t *testing.T) {
			inBubble(t, layouts["issuer per region"], nil, func(t *testing.T, w world) {
				key := w.mustHave(east)
				spoil(w.World, east)
				for range 23 {
					time.Sleep(time.Hour)
					within(t, 0, func() { require.Same(t, key, w.mustHave(east)) })
				}
				time.Sleep(2 * time.Hour)
				_, err := w.ask(east)
				require.ErrorIs(t, err, jwks.ErrUnavailable)
				require.NotErrorIs(t, err, jwks.ErrUnknownKey)
				w.Mend(east)
				time.Sleep(time.Minute) // what Retry-After asked for at most
				w.mustHave(east)
			})
		})
	}
}

func TestStartWhileAllIsDark(t *testing.T) {
	inBubble(t, issuertest.Config{}, nil, func(t *testing.T, w world) {
		w.Break(east)
		w.Break(west)
		_, err := w.ask(west)
		var unavailable *jwks.UnavailableError
		require.ErrorAs(t, err, &unavailable)
		require.GreaterOrEqual(t, unavailable.RetryAfter, time.Second)
		require.LessOrEqual(t, unavailable.RetryAfter, 2*time.Second)
		for range 600 { // ten minutes of requests: the back-off does not outgrow a second while somebody asks
			time.Sleep(time.Second)
			_, err = w.ask(west)
			require.ErrorIs(t, err, jwks.ErrUnavailable)
		}
		w.Mend(west)
		time.Sleep(1100 * time.Millisecond)
		w.mustHave(west)
	})
}

func TestSingleFlight(t *testing.T) {
	inBubble(t, layouts["issuer per region"], nil, func(t *testing.T, w world) {
		w.Slow(east, 300*time.Millisecond)
		results := make(chan error, 200)
		for range cap(results) {
			go func() {
				_, err := w.ask(east)
				results <- err
			}()
		}
		for range cap(results) {
			require.NoError(t, <-results)
		}
		require.Equal(t, 1, w.Fetches(east))
		require.Zero(t, w.Fetches(west), "nobody asked for the other region's keys")
	})
}

func TestCallerGivesUp(t *testing.T) {
	inBubble(t, layouts["issuer per region"], nil, func(t *testing.T, w world) {
		w.Slow(east, 1500*time.Millisecond)
		patient := make(chan error, 1)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		within(t, 100*time.Millisecond, func() {
			go func() {
				_, err := w.ask(east)
				patient <- err
			}()
			_, err := w.Keys(ctx, w.issuerOf(east), w.KeyID(east))
			require.ErrorIs(t, err, jwks.ErrUnavailable)
			require.ErrorIs(t, err, context.DeadlineExceeded)
		})
		require.NoError(t, <-patient, "the other caller's fetch went on")
		require.Equal(t, 1, w.Fetches(east))
	})
}

func TestWaitIsBounded(t *testing.T) {
	inBubble(t, layouts["issuer per region"], nil, func(t *testing.T, w world) {
		w.Hang(east)
		within(t, 2*time.Second, func() {
			_, err := w.ask(east)
			require.ErrorIs(t, err, jwks.ErrUnavailable)
		})
	})
}

func TestNoWaitIfAskedNotTo(t *testing.T) {
	inBubble(t, layouts["issuer per region"], func(c *jwks.Config) { c.UnknownKeyWait = -1 }, func(t *testing.T, w world) {
		w.Slow(east, time.Second)
		within(t, 0, func() {
			_, err := w.ask(east)
			require.ErrorIs(t, err, jwks.ErrUnavailable)
		})
		time.Sleep(1100 * time.Millisecond)
		w.mustHave(east)
	})
}

func TestRotation(t *testing.T) {
	t.Parallel()
	for name, layout := range layouts {
		t.Run(name, func(t *testing.T) {
			inBubble(t, layout, nil, func(t *testing.T, w world) {
				old := w.mustHave(east)
				for range 5 {
					time.Sleep(time.Minute)
					w.Rotate(east)
					w.mustHave(east)
				}
				keys, err := w.Keys(t.Context(), w.issuerOf(east), old.ID)
				require.NoError(t, err)
				require.Equal(t, old.Thumbprint, keys[0].Thumbprint)
			})
		})
	}
}

// The primary rotates a key in and dies; a mirror that lags does not have it yet. The key stays.
func TestLaggingMirrorRemovesNothing(t *testing.T) {
	inBubble(t, layouts["one issuer, mirrored"], nil, func(t *testing.T, w world) {
		defer running(t, w)()
		synctest.Wait()
		w.Lag(west)
		w.Rotate(east)
		key := w.mustHave(east)
		w.Break(east)
		for range 23 {
			time.Sleep(time.Hour)
			require.Same(t, key, w.mustHave(east))
		}
	})
}

// A mirror that lags does not speak for the preferred one, which is dark: what it lacks may exist.
func TestLaggingMirrorProvesNothing(t *testing.T) {
	inBubble(t, layouts["one issuer, mirrored"], nil, func(t *testing.T, w world) {
		w.Lag(west)
		w.Rotate(east)
		w.Break(east)
		for range 10 {
			_, err := w.ask(east)
			require.ErrorIs(t, err, jwks.ErrUnavailable)
			time.Sleep(time.Minute)
		}
		w.World.Status(east, http.StatusForbidden, nil) // it was never more than a name
		_, err := w.ask(east)
		require.ErrorIs(t, err, jwks.ErrUnknownKey)
		w.Mend(east)
		time.Sleep(2 * time.Hour) // such a mirror is asked again once an hour
		w.mustHave(east)
	})
}

func TestWithdrawal(t *testing.T) {
	inBubble(t, layouts["issuer per region"], nil, func(t *testing.T, w world) {
		defer running(t, w)()
		old := w.mustHave(east)
		w.Rotate(east)
		w.mustHave(east)
		w.Withdraw(east)
		_, err := w.Keys(t.Context(), w.issuerOf(east), "unknown") // has the set fetched
		require.ErrorIs(t, err, jwks.ErrUnknownKey)
		time.Sleep(30 * time.Second)
		_, err = w.Keys(t.Context(), w.issuerOf(east), "another") // again, within the minute
		require.ErrorIs(t, err, jwks.ErrUnknownKey)
		_, err = w.Keys(t.Context(), w.issuerOf(east), old.ID)
		require.NoError(t, err, "one answer without it is not enough, nor are two at once")
		time.Sleep(2 * time.Minute) // the second answer that counts is asked for early
		_, err = w.Keys(t.Context(), w.issuerOf(east), old.ID)
		require.ErrorIs(t, err, jwks.ErrUnknownKey)
		w.mustHave(east)
	})
}

// A key that a mirror listed, too, goes when the preferred mirror withdraws it: the mirror is not asked any more.
func TestWithdrawalIsNotHeldUpByAMirror(t *testing.T) {
	inBubble(t, layouts["one issuer, mirrored"], nil, func(t *testing.T, w world) {
		w.Break(east)
		old := w.mustHave(east) // from the mirror
		w.Mend(east)
		for range 4 {
			time.Sleep(20 * time.Minute)
			w.mustHave(east)
			synctest.Wait()
		}
		asked := w.Fetches(west)
		w.Rotate(east)
		w.mustHave(east)
		w.Withdraw(east)
		for range 4 {
			time.Sleep(20 * time.Minute)
			w.mustHave(east)
			synctest.Wait()
		}
		require.Equal(t, asked, w.Fetches(west))
		_, err := w.Keys(t.Context(), w.issuerOf(east), old.ID)
		require.ErrorIs(t, err, jwks.ErrUnknownKey)
	})
}
