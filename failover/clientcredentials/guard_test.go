package clientcredentials_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/failover/clientcredentials"
)

// An answer below 500, and 503 that says when to come again, is not reported as the loss of its region. An outage is.
func TestWhatIsReportedOfARegion(t *testing.T) {
	t.Parallel()
	const nothing = "nothing"
	retry := map[string]string{"Retry-After": "30"}
	for name, c := range map[string]struct {
		reply reply
		want  string // class of what is reported of east
	}{
		"token":              {reply{}, ""},
		"refusal":            {verdict("invalid_client"), ""},
		"refused connection": {refused, "network"},
		"silence":            {hang, "timeout"},
		"500":                {status(500), "status 500"},
		"503":                {status(503), "status 503"},
		"503, Retry-After":   {reply{status: 503, body: "{}", header: retry}, nothing},
		"429":                {status(429), nothing},
		"429, Retry-After":   {reply{status: 429, body: "{}", header: retry}, nothing},
		"408":                {status(408), nothing},
		"404":                {status(404), nothing},
		"302":                {status(302), nothing},
		"400, server_error":  {reply{status: 400, body: `{"error":"server_error"}`}, nothing},
		"no token":           {reply{body: "{}"}, nothing},
		"HTML":               {reply{media: "text/html", body: "<html>"}, nothing},
	} {
		synctest.Test(t, func(t *testing.T) {
			reported := nothing
			began := time.Now()
			w := newWorld()
			w.set(east, c.reply)
			s := w.source(t, func(c *clientcredentials.Config) {
				c.Report = func(region string, err error) {
					if region != east {
						return
					}
					reported = ""
					var e *clientcredentials.Error
					if err != nil {
						require.ErrorAs(t, err, &e)
						reported = e.Class()
						require.True(t, e.Began().Equal(began))
					}
				}
			})
			_, _ = s.Token(t.Context())
			time.Sleep(10 * time.Second)
			require.NoError(t, s.Close())
			require.Equal(t, c.want, reported, name)
		})
	}
}

// A controller that receives reports of token requests names their class.
func TestReportToAController(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var last atomic.Pointer[failover.Event]
		c, err := failover.New(failover.Config{
			Authority: authority, Automatic: true, OnEvent: func(e failover.Event) { last.Store(&e) },
		})
		require.NoError(t, err)
		w := newWorld()
		w.set(east, status(502))
		s := w.source(t, func(config *clientcredentials.Config) { config.Prefer, config.Report = c.Active, c.Report })
		for range 60 {
			_, _ = s.Token(t.Context())
			time.Sleep(time.Second)
		}
		require.Equal(t, west, c.Active())
		e := last.Load()
		require.Equal(t, failover.Moved, e.Kind)
		require.Equal(t, "report status 502 3", fmt.Sprint(e.Source, " ", e.Class, " ", e.Failures))
	})
}

// wild panics wherever it is called.
type wild struct{}

func (wild) RoundTrip(*http.Request) (*http.Response, error) { panic("s3cret") }
func (wild) Enabled(context.Context, slog.Level) bool        { return true }
func (wild) Handle(context.Context, slog.Record) error       { panic("s3cret") }
func (w wild) WithAttrs([]slog.Attr) slog.Handler            { return w }
func (w wild) WithGroup(string) slog.Handler                 { return w }
func (wild) Credentials(context.Context, string) (clientcredentials.Credentials, error) {
	panic("s3cret")
}

// badKey is a key that cannot sign.
type badKey struct{ crypto.Signer }

func (badKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { panic("s3cret") }

// Callbacks, clients, keys and log handlers that panic are failures of that attempt, and end nothing else.
func TestCodeOfOthersThatPanicsEndsNothing(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		edit func(*clientcredentials.Config)
		why  string // "": there is a token all the same
		logs string
	}{
		"transport": {
			func(c *clientcredentials.Config) { c.Client = &http.Client{Transport: wild{}} }, "panicked", "Client panicked",
		},
		"typed nil transport": {
			func(c *clientcredentials.Config) { c.Client = &http.Client{Transport: (*http.Transport)(nil)} }, "panicked", "Client panicked",
		},
		"CredentialsFunc": {func(c *clientcredentials.Config) {
			c.Credentials, c.CredentialsFunc = nil, wild{}.Credentials
		}, "no_credentials", "CredentialsFunc panicked"},
		"Key": {func(c *clientcredentials.Config) {
			c.Credentials = map[string]clientcredentials.Credentials{
				"": {ClientID: "machine", Method: clientcredentials.PrivateKeyJWT, Key: badKey{key}},
			}
		}, "no_credentials", "Credentials.Key panicked"},
		"Prefer":  {func(c *clientcredentials.Config) { c.Prefer = func() string { panic("s3cret") } }, "", "Prefer panicked"},
		"Report":  {func(c *clientcredentials.Config) { c.Report = func(string, error) { panic("s3cret") } }, "", "Report panicked"},
		"OnEvent": {func(c *clientcredentials.Config) { c.OnEvent = func(clientcredentials.Event) { panic("s3cret") } }, "", "OnEvent panicked"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			s := newWorld().source(t, func(config *clientcredentials.Config) {
				config.Logger = slog.New(slog.NewTextHandler(&out, nil))
				c.edit(config)
			})
			for range 3 {
				if c.why == "" {
					_, err := s.Token(t.Context())
					require.NoError(t, err, name)
				} else {
					require.Contains(t, lack(t, s, clientcredentials.ErrUnavailable).Error(), c.why, name)
				}
				time.Sleep(time.Second)
			}
			require.NoError(t, s.Close())
			require.Contains(t, out.String(), c.logs, name)
			require.NotContains(t, out.String(), "s3cret")
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.set(east, status(503))
		s := w.source(t, func(c *clientcredentials.Config) { c.Logger = slog.New(wild{}) })
		have(t, s, west, 0)
	})
}

// A Source that New has not made panics nowhere, and says what it is where it can.
func TestNilAndZeroSources(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*clientcredentials.Source{"nil": nil, "zero": {}} {
		_, err := s.Token(t.Context())
		require.ErrorContains(t, err, "clientcredentials.New", name)
		_, err = s.Transport(clientcredentials.TransportConfig{Origins: []string{"https://api.example.com"}})
		require.ErrorContains(t, err, "clientcredentials.New", name)
		require.ErrorContains(t, s.Close(), "clientcredentials.New", name)
		require.False(t, s.Reject(nil))
		require.False(t, s.Reject(&clientcredentials.Token{}))
	}
	require.Empty(t, (&clientcredentials.Token{}).Region())
	require.Equal(t, "no token", (&clientcredentials.Token{}).String())
}

func TestNewRefusesNilsInDisguise(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]crypto.Signer{
		"RSA": (*rsa.PrivateKey)(nil), "ECDSA": (*ecdsa.PrivateKey)(nil), "zero RSA": &rsa.PrivateKey{}, "zero ECDSA": &ecdsa.PrivateKey{},
	} {
		_, err := clientcredentials.New(clientcredentials.Config{
			Authority: authority, Logger: &slog.Logger{}, Credentials: map[string]clientcredentials.Credentials{
				"": {ClientID: "machine", Method: clientcredentials.PrivateKeyJWT, Key: key},
			},
		})
		require.ErrorContains(t, err, "Key", name)
		require.ErrorContains(t, err, "clientcredentials: Logger has no handler")
		_, err = clientcredentials.New(clientcredentials.Config{Authority: authority, Logger: slog.New((*slog.TextHandler)(nil))})
		require.ErrorContains(t, err, "clientcredentials: Logger has no handler")
	}
}

// What a nil or zero Controller says of regions is nothing, so that it may be handed in.
func TestASourceWithAControllerThatIsNone(t *testing.T) {
	t.Parallel()
	for _, c := range []*failover.Controller{nil, {}} {
		synctest.Test(t, func(t *testing.T) {
			s := newWorld().source(t, func(config *clientcredentials.Config) { config.Prefer, config.Report = c.Active, c.Report })
			have(t, s, east, 0)
		})
	}
}
