package clientcredentials_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/failover/clientcredentials"
)

// A resource server that refuses tokens has another one fetched, but cannot have the issuers hammered.
func TestReject(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := w.source(t, nil)
		require.False(t, s.Invalidate(nil))
		first := have(t, s, east, 0)
		for range 50 {
			require.True(t, s.Invalidate(first))
		}
		tokens, errs, _ := crowd(t.Context(), s)
		require.Empty(t, errs)
		require.Len(t, tokens, 1)
		require.NotContains(t, tokens, first)
		require.True(t, s.Invalidate(first), "there is another one")
		began := time.Now()
		for time.Since(began) < time.Minute {
			s.Invalidate(have(t, s, east, 0))
			time.Sleep(100 * ms)
		}
		e, o := w.asked()
		require.LessOrEqual(t, e, 1+1+6)
		require.Zero(t, o)

		// Where all is dark, a token that was refused serves on: the server may be wrong.
		w.set(east, hang)
		w.set(west, hang)
		time.Sleep(time.Minute)
		last := have(t, s, east, 0)
		require.True(t, s.Invalidate(last))
		require.Same(t, last, have(t, s, east, time.Second))
		time.Sleep(6 * time.Second)
		w.set(east, verdict("invalid_client"))
		w.set(west, verdict("invalid_client"))
		time.Sleep(10 * time.Second)
		_ = requireError(t, s, clientcredentials.ErrRejected)
	})
}

// The age of a token is the larger of what the two clocks say, and never negative.
func TestClocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := w.source(t, nil)
		mono, wall := s.Skew()
		tok := have(t, s, east, 0)
		wall.Store(-int64(24 * time.Hour)) // set back
		require.Same(t, tok, have(t, s, east, 0))
		time.Sleep(time.Hour)
		again := have(t, s, east, 0)
		require.NotSame(t, tok, again, "the other clock went on")
		wall.Add(int64(time.Hour)) // the process was frozen
		last := have(t, s, east, 0)
		require.NotSame(t, again, last)
		mono.Add(int64(time.Hour))
		require.NotSame(t, last, have(t, s, east, 0))
	})
}

// What does not heed its context holds up nobody but its own region.
func TestDeafHook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		w := newWorld()
		s := w.source(t, func(c *setup) {
			c.Credentials = clientcredentials.Credentials{}
			c.CredentialsFunc = func(_ context.Context, region string) (clientcredentials.Credentials, error) {
				if region == east {
					<-release
				}
				return clientcredentials.Credentials{ClientID: "machine", Secret: "s"}, nil
			}
		})
		w.set(west, hang)
		began := time.Now()
		_ = requireError(t, s, clientcredentials.ErrUnavailable)
		require.Equal(t, 5150*ms, time.Since(began))
		w.set(west, reply{})
		time.Sleep(time.Second)
		have(t, s, west, 0)
		close(release)
	})
}

// Credentials that cannot be had are an outage of ours, not of the region: the next one is asked, and nothing is reported.
func TestCredentialsFunc(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("vault: s3cret")
		fail := broken
		secret := "one"
		var ctl *failover.Controller
		w := newWorld()
		s := w.source(t, func(c *setup) {
			c.Credentials = clientcredentials.Credentials{}
			c.CredentialsFunc = func(_ context.Context, region string) (clientcredentials.Credentials, error) {
				if region == west {
					return clientcredentials.Credentials{}, nil // not valid
				}
				return clientcredentials.Credentials{ClientID: "machine", Secret: secret, SecretInBody: true}, fail
			}
			ctl = c.follow(t, east)
		})
		err := requireError(t, s, clientcredentials.ErrUnavailable)
		require.ErrorIs(t, err, broken)
		require.Equal(t, "clientcredentials: no region answers; region us-east-1: no_credentials; region us-west-2: no_credentials", err.Error())
		require.Empty(t, append(reports(ctl, east), reports(ctl, west)...))
		fail = nil
		time.Sleep(time.Second)
		have(t, s, east, 0)
		require.Equal(t, "one", w.form.Get("client_secret"))
		secret = "two"
		time.Sleep(time.Hour)
		have(t, s, east, 0)
		synctest.Wait()
		require.Equal(t, "two", w.form.Get("client_secret"))
		synctest.Wait()
		require.Equal(t, []string{"token: healthy"}, reports(ctl, east))
	})
}

// BenchmarkToken is the price of a token from memory.
func BenchmarkToken(b *testing.B) {
	p := provider
	p.HTTPClient = &http.Client{Transport: newWorld()}
	ctl, err := failover.New(p, failover.Config{})
	require.NoError(b, err)
	s, err := clientcredentials.New(p, clientcredentials.Config{
		Credentials: clientcredentials.Credentials{ClientID: "machine", Secret: "s3cret"}, Failover: ctl,
	})
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Token(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
