package clientcredentials_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover/clientcredentials"
)

// A resource server that refuses tokens has another one fetched, but cannot have the issuers hammered.
func TestReject(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := w.source(t, nil)
		require.False(t, s.Reject(nil))
		first := have(t, s, east, 0)
		for range 50 {
			require.True(t, s.Reject(first))
		}
		tokens, errs, _ := crowd(t.Context(), s)
		require.Empty(t, errs)
		require.Len(t, tokens, 1)
		require.NotContains(t, tokens, first)
		require.True(t, s.Reject(first), "there is another one")
		began := time.Now()
		for time.Since(began) < time.Minute {
			s.Reject(have(t, s, east, 0))
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
		require.True(t, s.Reject(last))
		require.Same(t, last, have(t, s, east, time.Second))
		time.Sleep(6 * time.Second)
		w.set(east, verdict("invalid_client"))
		w.set(west, verdict("invalid_client"))
		time.Sleep(10 * time.Second)
		_ = lack(t, s, clientcredentials.ErrRefused)
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

// Close ends what is in progress, and leaves the token at hand.
func TestClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.set(east, hang)
		w.set(west, hang)
		reports := 0
		s := w.source(t, func(c *clientcredentials.Config) { c.Report = func(string, error) { reports++ } })
		waiting := make(chan error)
		go func() {
			_, err := s.Token(t.Context())
			waiting <- err
		}()
		synctest.Wait()
		require.NoError(t, s.Close())
		var e *clientcredentials.Error
		require.ErrorAs(t, <-waiting, &e)
		require.Equal(t, clientcredentials.Closed, e.Reason)
		require.Zero(t, reports)
		require.NoError(t, s.Close())
		require.Equal(t, clientcredentials.Closed, lack(t, s, clientcredentials.ErrUnavailable).Reason)

		v := newWorld()
		s = v.source(t, nil)
		tok := have(t, s, east, 0)
		require.NoError(t, s.Close())
		require.False(t, s.Reject(tok))
		time.Sleep(59 * time.Minute)
		require.Same(t, tok, have(t, s, east, 0))
		time.Sleep(time.Minute)
		_ = lack(t, s, clientcredentials.ErrUnavailable)
		e2, _ := v.asked()
		require.Equal(t, 1, e2)
	})
}

// What does not heed its context holds up nobody but its own region.
func TestDeafHook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		w := newWorld()
		s := w.source(t, func(c *clientcredentials.Config) {
			c.Credentials = nil
			c.CredentialsFunc = func(_ context.Context, region string) (clientcredentials.Credentials, error) {
				if region == east {
					<-release
				}
				return clientcredentials.Credentials{ClientID: "machine", Secret: "s"}, nil
			}
		})
		w.set(west, hang)
		began := time.Now()
		_ = lack(t, s, clientcredentials.ErrUnavailable)
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
		var evidence []string
		w := newWorld()
		s := w.source(t, func(c *clientcredentials.Config) {
			c.Credentials = nil
			c.CredentialsFunc = func(_ context.Context, region string) (clientcredentials.Credentials, error) {
				if region == west {
					return clientcredentials.Credentials{}, nil // not valid
				}
				return clientcredentials.Credentials{ClientID: "machine", Secret: secret, Method: clientcredentials.ClientSecretPost}, fail
			}
			c.Report = func(region string, _ error) { evidence = append(evidence, region) }
		})
		err := lack(t, s, clientcredentials.ErrUnavailable)
		require.ErrorIs(t, err, broken)
		require.Equal(t, "clientcredentials: no_region; region us-east-1: no_credentials; region us-west-2: no_credentials", err.Error())
		require.Empty(t, evidence)
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
		require.Equal(t, []string{east, east}, evidence)
	})
}

// BenchmarkToken is the price of a token from memory.
func BenchmarkToken(b *testing.B) {
	s, err := clientcredentials.New(clientcredentials.Config{
		Provider:    authority,
		Credentials: map[string]clientcredentials.Credentials{"": {ClientID: "machine", Secret: "s3cret"}},
		Client:      &http.Client{Transport: newWorld()},
		Prefer:      func() string { return east },
	})
	require.NoError(b, err)
	defer func() { require.NoError(b, s.Close()) }()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Token(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
