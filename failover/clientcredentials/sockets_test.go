package clientcredentials_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/issuer"
)

// region is a token endpoint on a loopback socket.
type region struct {
	*httptest.Server
	requests atomic.Int32
	hangs    atomic.Bool
	release  chan struct{}
}

func serve(t *testing.T, name string) *region {
	t.Helper()
	r := &region{release: make(chan struct{})}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		n := r.requests.Add(1)
		if r.hangs.Load() {
			<-r.release
			return
		}
		if _, secret, _ := req.BasicAuth(); secret != "right" {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = fmt.Fprint(w, `{"error":"invalid_client"}`)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":"%s.%d","token_type":"Bearer","expires_in":3600}`, name, n)
	}))
	t.Cleanup(func() { close(r.release); r.Close() })
	return r
}

// The same over real sockets, with the client of the TokenSource's own.
func TestSockets(t *testing.T) {
	t.Parallel()
	eastern, western := serve(t, east), serve(t, west)
	base := setup{
		Provider: issuer.Provider{ID: "tenant", Regions: []issuer.Region{
			{Name: east, Issuers: []string{"https://east.example.com"}, TokenURL: eastern.URL + "/token"},
			{Name: west, Issuers: []string{"https://west.example.com"}, TokenURL: western.URL + "/token"},
		}},
		Config: clientcredentials.Config{Credentials: clientcredentials.Credentials{ClientID: "machine", Secret: "right"}},
	}
	start := func(edit func(*setup)) *clientcredentials.TokenSource {
		c := base
		if edit != nil {
			edit(&c)
		}
		return c.new(t)
	}
	asked := func() [2]int32 { return [2]int32{eastern.requests.Swap(0), western.requests.Swap(0)} }

	tokens, errs, _ := crowd(t.Context(), start(func(c *setup) { c.Hedge = -1 }))
	require.Empty(t, errs)
	require.Len(t, tokens, 1)
	require.Equal(t, [2]int32{1, 0}, asked())

	_, errs, _ = crowd(t.Context(), start(func(c *setup) {
		c.Credentials, c.CredentialsFunc = clientcredentials.Credentials{}, func(_ context.Context, region string) (clientcredentials.Credentials, error) {
			return clientcredentials.Credentials{ClientID: "machine", Secret: map[string]string{east: "wrong", west: "right"}[region]}, nil
		}
		c.Hedge = -1
	}))
	require.Len(t, errs, 50)
	for _, err := range errs {
		require.ErrorIs(t, err, clientcredentials.ErrRejected)
	}
	require.Equal(t, [2]int32{1, 0}, asked())

	eastern.hangs.Store(true)
	s := start(nil)
	tokens, errs, took := crowd(t.Context(), s)
	require.Empty(t, errs)
	require.Len(t, tokens, 1)
	require.GreaterOrEqual(t, took, 150*time.Millisecond)
	require.Equal(t, [2]int32{1, 1}, asked())
	require.Equal(t, west, have(t, s, west, time.Minute).Region())

	western.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := start(nil).Token(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = s.Token(t.Context())
	require.NoError(t, err, "the token in memory")
}
