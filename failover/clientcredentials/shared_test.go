package clientcredentials_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/issuer"
)

// shared has two regions with one token URL, written in two ways, as a custom domain of Cognito has.
func shared(c *setup) {
	c.Provider.Regions = []issuer.Region{
		{Name: east, Issuers: []string{"https://east.example.com"}, TokenURL: "https://east.example.com/token"},
		{Name: west, Issuers: []string{"https://west.example.com"}, TokenURL: "https://EAST.example.com:443/token"},
	}
}

// Regions with one token URL are one endpoint: it is never asked twice at once for one token, slow or down, whichever region is
// preferred, and nothing is reported of either.
func TestRegionsWithOneTokenURLAreAskedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var ctl *failover.Controller
		var mu sync.Mutex
		var calls []string
		w := newWorld()
		s := w.source(t, func(c *setup) {
			shared(c)
			ctl = c.follow(t, east)
			c.OnRequest = func(region, _ string, _ time.Duration) {
				mu.Lock()
				defer mu.Unlock()
				calls = append(calls, region)
			}
		})
		w.set(east, reply{after: 2 * time.Second})
		tok, err := s.Token(t.Context())
		require.NoError(t, err)
		require.Empty(t, tok.Region(), "it is not known which of them issued it")
		require.Equal(t, "token of us-east-1,us-west-2 until 2000-01-01T01:00:00Z", fmt.Sprint(tok))
		e, o := w.asked()
		require.Equal(t, []int{1, 0}, []int{e, o})
		for _, region := range []string{west, east, west} {
			prefer(t, ctl, region)
			again, err := s.Token(t.Context())
			require.NoError(t, err)
			require.Same(t, tok, again, "another region of the same endpoint has no other token")
			time.Sleep(time.Second)
		}
		e, o = w.asked()
		require.Zero(t, e+o)

		time.Sleep(2 * time.Hour)
		w.set(east, status(503))
		failed := requireError(t, s, clientcredentials.ErrUnavailable)
		require.Equal(t, "clientcredentials: no region answers; region us-east-1,us-west-2: status 503", failed.Error())
		e, o = w.asked()
		require.Equal(t, []int{1, 0}, []int{e, o})
		synctest.Wait()
		require.Empty(t, append(reports(ctl, east), reports(ctl, west)...), "what a shared endpoint says is about neither region")
		mu.Lock()
		defer mu.Unlock()
		require.Equal(t, []string{east + "," + west, east + "," + west}, calls)
	})
}

// CredentialsFunc may fail for one of the regions with one token URL.
func TestCredentialsOfASharedTokenURL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := w.source(t, func(c *setup) {
			shared(c)
			c.Credentials = clientcredentials.Credentials{}
			c.CredentialsFunc = func(_ context.Context, region string) (clientcredentials.Credentials, error) {
				if region == east {
					return clientcredentials.Credentials{}, errors.New("this vault is down")
				}
				return clientcredentials.Credentials{ClientID: "machine", Secret: "s3cret"}, nil
			}
		})
		_, err := s.Token(t.Context())
		require.NoError(t, err)
	})
}

// URLs that differ are asked apart; three regions with two URLs are two endpoints.
func TestEndpointsAreToldApartByURL(t *testing.T) {
	t.Parallel()
	for other, asked := range map[string]int{
		"https://east.example.com/token":     1,
		"HTTPS://East.example.COM:443/token": 1,
		"https://east.example.com/token?a=b": 2,
		"https://east.example.com/Token":     2,
		"https://east.example.com:444/token": 2,
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			s := w.source(t, func(c *setup) {
				shared(c)
				c.Provider.Regions[1].TokenURL = other
			})
			w.set(east, hang)
			w.set("", hang)
			_ = requireError(t, s, clientcredentials.ErrUnavailable)
			w.mu.Lock()
			defer w.mu.Unlock()
			require.Equal(t, asked, w.requests[east]+w.requests[""], other)
		})
	}
}

// signer is a crypto.Signer whose values cannot be compared, as one over a KMS may be.
type signer struct {
	crypto.Signer
	sign func() error
}

// The values of a Key need not be comparable.
func TestAKeyThatCannotBeCompared(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	c := setup{Provider: provider}
	c.Credentials = clientcredentials.Credentials{ClientID: "machine", Key: signer{key, func() error { return nil }}}
	shared(&c)
	_ = c.new(t)
}
