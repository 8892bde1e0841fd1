package clientcredentials_test

import (
	"context"
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover/clientcredentials"
)

// waysOut are the ways in which code of others does not return.
var waysOut = map[string]func(){
	"panic":  func() { panic("s3cret") },
	"Goexit": runtime.Goexit,
	"abort":  func() { panic(http.ErrAbortHandler) },
}

// leaving is a transport that ends in its own way while on is set.
type leaving struct {
	inner http.RoundTripper
	on    *atomic.Bool
	end   func()
}

func (w leaving) RoundTrip(r *http.Request) (*http.Response, error) {
	if w.on.Load() {
		w.end()
	}
	return w.inner.RoundTrip(r)
}

// A Client that panics or ends its goroutine fails the request, whose region is asked again later.
func TestAClientThatEndsItsGoroutineIsAskedAgain(t *testing.T) {
	t.Parallel()
	for ending, end := range waysOut {
		synctest.Test(t, func(t *testing.T) {
			var on atomic.Bool
			on.Store(true)
			s := newWorld().source(t, func(c *setup) {
				c.Provider.HTTPClient = &http.Client{Transport: leaving{c.Provider.HTTPClient.Transport, &on, end}}
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := s.Token(ctx)
			require.ErrorIs(t, err, clientcredentials.ErrUnavailable, ending)
			require.NotContains(t, err.Error(), "s3cret", ending)
			on.Store(false)
			time.Sleep(2 * time.Minute)
			token, err := s.Token(t.Context())
			require.NoError(t, err, ending)
			require.Equal(t, east, token.Region(), ending)
		})
	}
}

// A callback that panics or ends its goroutine keeps no caller from its token.
func TestCallbacksThatEndTheirGoroutine(t *testing.T) {
	t.Parallel()
	for ending, end := range waysOut {
		synctest.Test(t, func(t *testing.T) {
			var called atomic.Int64
			w := newWorld()
			w.set(east, refused)
			s := w.source(t, func(c *setup) {
				c.OnRequest = func(string, string, time.Duration) { called.Add(1); end() }
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			token, err := s.Token(ctx)
			require.NoError(t, err, ending)
			require.Equal(t, west, token.Region(), ending)
			synctest.Wait()
			require.EqualValues(t, 2, called.Load(), ending)
			time.Sleep(24 * time.Hour)
			w.set(west, refused)
			w.set(east, reply{})
			token, err = s.Token(t.Context())
			require.NoError(t, err, ending)
			require.Equal(t, east, token.Region(), ending)
		})
	}
}
