package oauth2_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/issuer"
)

const east, west = "us-east-1", "us-west-2"

// region is a token endpoint on a loopback socket.
type region struct {
	*httptest.Server
	requests atomic.Int32
	hangs    atomic.Bool
	release  chan struct{}
	once     sync.Once
}

func serve(tb testing.TB, name string) *region {
	tb.Helper()
	r := &region{release: make(chan struct{})}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		n := r.requests.Add(1)
		if r.hangs.Load() {
			<-r.release
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":"%s.%d","token_type":"Bearer","expires_in":3600,"scope":"a b"}`, name, n)
	}))
	tb.Cleanup(r.end)
	return r
}

func (r *region) end() { r.once.Do(func() { close(r.release); r.Close() }) }

// source returns a TokenSource with a token endpoint in each region.
func source(tb testing.TB, eastern, western *region) *clientcredentials.TokenSource {
	tb.Helper()
	s, err := clientcredentials.New(issuer.Provider{ID: "tenant", Regions: []issuer.Region{
		{Name: east, Issuers: []string{"https://east.example.com"}, TokenURL: eastern.URL},
		{Name: west, Issuers: []string{"https://west.example.com"}, TokenURL: western.URL},
	}}, clientcredentials.Config{Credentials: clientcredentials.Credentials{ClientID: "machine", Secret: "secret"}})
	require.NoError(tb, err)
	return s
}

func TestTokenSource(t *testing.T) {
	t.Parallel()
	eastern, western := serve(t, east), serve(t, west)
	ts := tokens{source(t, eastern, western)}
	eastern.end()
	token, err := ts.Token()
	require.NoError(t, err)
	require.Equal(t, west+".1", token.AccessToken)
	require.Equal(t, "Bearer", token.Type())
	require.True(t, token.Valid())
	require.WithinDuration(t, time.Now().Add(time.Hour), token.Expiry, time.Minute)

	seen := make(chan string, 1)
	api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header.Get("Authorization") }))
	t.Cleanup(api.Close)
	client := &http.Client{Transport: &oauth2.Transport{Source: ts}}
	resp, err := client.Get(api.URL)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, "Bearer "+west+".1", <-seen)
}

func TestErrors(t *testing.T) {
	t.Parallel()
	eastern, western := serve(t, east), serve(t, west)
	eastern.end()
	western.end()
	_, err := tokens{source(t, eastern, western)}.Token()
	require.ErrorIs(t, err, clientcredentials.ErrUnavailable)
	_, err = tokens{}.Token()
	require.ErrorContains(t, err, "clientcredentials.New")
}
