package clientcredentials_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/issuer"
)

// shared has two regions with one token URL, written in two ways, as a custom domain of Cognito has.
func shared(c *clientcredentials.Config) {
	c.Authority = issuer.Authority{ID: "tenant", Regions: []issuer.Region{
		{Name: east, Issuers: []string{"https://east.example.com"}, TokenURL: "https://east.example.com/token"},
		{Name: west, Issuers: []string{"https://west.example.com"}, TokenURL: "https://EAST.example.com:443/token"},
	}}
}

// Regions with one token URL are one endpoint: it is never asked twice at once for one token, slow or down, whichever region is
// preferred, and nothing is reported of either.
func TestRegionsWithOneTokenURLAreAskedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		preferred := ""
		var reports, events []string
		w := newWorld()
		s := w.source(t, func(c *clientcredentials.Config) {
			shared(c)
			c.Prefer = func() string { return preferred }
			c.Report = func(region string, _ error) { reports = append(reports, region) }
			c.OnEvent = func(e clientcredentials.Event) { events = append(events, e.Region) }
		})
		w.set(east, reply{after: 2 * time.Second})
		tok, err := s.Token(t.Context())
		require.NoError(t, err)
		require.Empty(t, tok.Region(), "nobody knows which of them minted it")
		require.Equal(t, "token of us-east-1,us-west-2 until 2000-01-01T01:00:00Z", tok.String())
		e, o := w.asked()
		require.Equal(t, []int{1, 0}, []int{e, o})
		for _, preferred = range []string{west, east, "elsewhere", west} {
			again, err := s.Token(t.Context())
			require.NoError(t, err)
			require.Same(t, tok, again, "another region of the same endpoint has no other token")
			time.Sleep(time.Second)
		}
		e, o = w.asked()
		require.Zero(t, e+o)

		time.Sleep(2 * time.Hour)
		w.set(east, status(503))
		failed := lack(t, s, clientcredentials.ErrUnavailable)
		require.Equal(t, "clientcredentials: no_region; region us-east-1,us-west-2: status 503", failed.Error())
		e, o = w.asked()
		require.Equal(t, []int{1, 0}, []int{e, o})
		synctest.Wait()
		require.Empty(t, reports, "what a shared endpoint says is about neither region")
		require.Equal(t, []string{east + "," + west, east + "," + west}, events)
	})
}

// With one token URL, Credentials must be the same, and CredentialsFunc may fail for one of the regions.
func TestCredentialsOfASharedTokenURL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clientcredentials.Config{Credentials: map[string]clientcredentials.Credentials{
			"": {ClientID: "machine", Secret: "one"}, west: {ClientID: "machine", Secret: "two"},
		}}
		shared(&c)
		_, err := clientcredentials.New(c)
		require.ErrorContains(t, err, `regions "us-east-1" and "us-west-2" have one TokenURL and different Credentials`)
		require.NotContains(t, err.Error(), "two")
		w := newWorld()
		s := w.source(t, func(c *clientcredentials.Config) {
			shared(c)
			c.Credentials = nil
			c.CredentialsFunc = func(_ context.Context, region string) (clientcredentials.Credentials, error) {
				if region == east {
					return clientcredentials.Credentials{}, errors.New("this vault is down")
				}
				return clientcredentials.Credentials{ClientID: "machine", Secret: "s3cret"}, nil
			}
		})
		_, err = s.Token(t.Context())
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
			s := w.source(t, func(c *clientcredentials.Config) {
				shared(c)
				c.Authority.Regions[1].TokenURL = other
			})
			w.set(east, hang)
			w.set("", hang)
			_ = lack(t, s, clientcredentials.ErrUnavailable)
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

// Credentials that are given once are the same for all regions, whatever their Key is made of.
func TestOneKeyForASharedTokenURL(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	one := clientcredentials.Credentials{
		ClientID: "machine", Method: clientcredentials.PrivateKeyJWT, Key: signer{key, func() error { return nil }},
	}
	c := clientcredentials.Config{Credentials: map[string]clientcredentials.Credentials{"": one}}
	shared(&c)
	s, err := clientcredentials.New(c)
	require.NoError(t, err)
	require.NoError(t, s.Close())

	c.Credentials[west] = clientcredentials.Credentials{ClientID: "machine", Secret: "s3cret"}
	_, err = clientcredentials.New(c)
	require.ErrorContains(t, err, "different Credentials")
}
