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
			var ctl *failover.Controller
			w := newWorld()
			w.set(east, c.reply)
			s := w.source(t, func(c *setup) { ctl = c.follow(t, east) })
			_, _ = s.Token(t.Context())
			time.Sleep(10 * time.Second)
			want := []string{"token: healthy"}
			switch c.want {
			case nothing:
				want = nil
			case "":
			default:
				want = []string{"token: unknown, 1 failure in a row (" + c.want + ")"}
			}
			require.Equal(t, want, reports(ctl, east), name)
		})
	}
}

// A TokenSource follows an Automatic Controller, and makes it fail over.
func TestReportsMakeAControllerFailOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, err := failover.New(provider, failover.Config{Automatic: true})
		require.NoError(t, err)
		w := newWorld()
		w.set(east, status(502))
		s := w.source(t, func(config *setup) { config.Failover = c })
		for range 60 {
			_, _ = s.Token(t.Context())
			time.Sleep(time.Second)
		}
		require.Equal(t, west, c.Active())
		require.Equal(t, []string{"token: unhealthy, 3 failures in a row (status 502)"}, reports(c, east))
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

// hollow is an error that panics when its chain is walked, if it is a nil pointer.
type hollow struct{ cause error }

func (*hollow) Error() string   { return "hollow" }
func (h *hollow) Unwrap() error { return h.cause }

// badKey is a key that cannot sign.
type badKey struct{ crypto.Signer }

func (badKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { panic("s3cret") }

// Callbacks, clients, keys and log handlers that panic are failures of that attempt, and end nothing else.
func TestCodeOfOthersThatPanicsEndsNothing(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		edit func(*setup)
		why  string // "": there is a token all the same
		logs string
	}{
		"transport": {
			func(c *setup) { c.Provider.HTTPClient = &http.Client{Transport: wild{}} }, "panicked", "the HTTP client panicked",
		},
		"CredentialsFunc": {func(c *setup) {
			c.Credentials, c.CredentialsFunc = clientcredentials.Credentials{}, wild{}.Credentials
		}, "no_credentials", "CredentialsFunc panicked"},
		"Key": {func(c *setup) {
			c.Credentials = clientcredentials.Credentials{ClientID: "machine", Key: badKey{key}}
		}, "no_credentials", "Credentials.Key panicked"},
		"error of CredentialsFunc": {func(c *setup) {
			c.Credentials = clientcredentials.Credentials{}
			c.CredentialsFunc = func(context.Context, string) (clientcredentials.Credentials, error) {
				return clientcredentials.Credentials{}, (*hollow)(nil)
			}
		}, "no_credentials", ""},
		"OnRequest": {
			func(c *setup) { c.OnRequest = func(string, string, time.Duration) { panic("s3cret") } }, "", "OnRequest panicked",
		},
		"OnChange of the Controller": {func(c *setup) {
			ctl, err := failover.New(c.Provider, failover.Config{OnChange: func(failover.Status, failover.Status) { panic("s3cret") }})
			require.NoError(t, err)
			c.Failover = ctl
		}, "", ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			s := newWorld().source(t, func(config *setup) {
				config.Logger = slog.New(slog.NewTextHandler(&out, nil))
				c.edit(config)
			})
			for range 3 {
				if c.why == "" {
					_, err := s.Token(t.Context())
					require.NoError(t, err, name)
				} else {
					require.Contains(t, requireError(t, s, clientcredentials.ErrUnavailable).Error(), c.why, name)
				}
				time.Sleep(time.Second)
			}
			s.Settle()
			require.Contains(t, out.String(), c.logs, name)
			require.NotContains(t, out.String(), "s3cret")
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.set(east, status(503))
		s := w.source(t, func(c *setup) { c.Logger = slog.New(wild{}) })
		have(t, s, west, 0)
	})
}

// A TokenSource that New has not made panics nowhere, and says what it is where it can.
func TestNilAndZeroTokenSources(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*clientcredentials.TokenSource{"nil": nil, "zero": {}} {
		_, err := s.Token(t.Context())
		require.ErrorContains(t, err, "clientcredentials.New", name)
		_, err = s.Transport(nil, "https://api.example.com")
		require.ErrorContains(t, err, "clientcredentials.New", name)
		require.False(t, s.Invalidate(nil))
		require.False(t, s.Invalidate(&clientcredentials.Token{}))
	}
	for _, token := range []*clientcredentials.Token{nil, {}} {
		require.Empty(t, token.Region())
		require.Empty(t, token.Value())
		require.Zero(t, token.Expiry())
		require.Equal(t, "no token", fmt.Sprint(token))
	}
}

func TestNewRejectsTypedNils(t *testing.T) {
	t.Parallel()
	p := provider
	p.HTTPClient = &http.Client{Transport: (*http.Transport)(nil)}
	for name, key := range map[string]crypto.Signer{
		"RSA": (*rsa.PrivateKey)(nil), "ECDSA": (*ecdsa.PrivateKey)(nil), "zero RSA": &rsa.PrivateKey{}, "zero ECDSA": &ecdsa.PrivateKey{},
	} {
		_, err := clientcredentials.New(p, clientcredentials.Config{
			Logger: &slog.Logger{}, Credentials: clientcredentials.Credentials{ClientID: "machine", Key: key},
		})
		require.ErrorContains(t, err, "Key", name)
		require.ErrorContains(t, err, "clientcredentials: Logger has no handler")
		require.ErrorContains(t, err, "clientcredentials: Provider.HTTPClient.Transport is a nil pointer")
		_, err = clientcredentials.New(provider, clientcredentials.Config{Logger: slog.New((*slog.TextHandler)(nil))})
		require.ErrorContains(t, err, "clientcredentials: Logger has no handler")
	}
}

// A nil Controller means the order of the provider. A zero one, and one for another provider, would never decide anything.
func TestATokenSourceWithAControllerThatIsNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newWorld().source(t, func(config *setup) { config.Failover = nil })
		have(t, s, east, 0)
	})
	other := provider
	other.ID = "another"
	foreign, err := failover.New(other, failover.Config{})
	require.NoError(t, err)
	for want, c := range map[string]*failover.Controller{
		"Failover is zero: make it with failover.New":      {},
		`Failover is for provider "another", not "tenant"`: foreign,
	} {
		_, err := clientcredentials.New(provider, clientcredentials.Config{Failover: c})
		require.ErrorContains(t, err, want)
	}
}
