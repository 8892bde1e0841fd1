package jwks_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
)

// New refuses each setting that lies outside of its range, and names it.
func TestRangesOfSettings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]jwks.Config{
		"RefreshInterval is 1ns":                   {RefreshInterval: 1},
		"RefreshInterval is -1ns":                  {RefreshInterval: -1},
		"RefreshInterval is 876000h0m0s":           {RefreshInterval: 876_000 * time.Hour, MaxStale: 876_000 * time.Hour},
		"MaxStale is 876000h0m0s":                  {MaxStale: 876_000 * time.Hour},
		"MaxStale is 1ns":                          {MaxStale: 1},
		"MaxStale 10m0s is shorter":                {MaxStale: 10 * time.Minute},
		"UnknownKeyInterval is 1ns":                {UnknownKeyInterval: 1},
		"UnknownKeyInterval is 2h0m0s":             {UnknownKeyInterval: 2 * time.Hour},
		"UnknownKeyWait 1s is shorter":             {UnknownKeyWait: time.Second},
		`InsecureKnownKeys: "CognitoLocal" is not`: {InsecureKnownKeys: []string{"CognitoLocal"}}, // the kid
		"MaxKeySetBytes is -1":                     {MaxKeySetBytes: -1},
		"MaxKeySetBytes is 4611686018427387904":    {MaxKeySetBytes: 1 << 62},
		"MaxKeys is -1":                            {MaxKeys: -1},
		"MaxKeys is 4611686018427387904":           {MaxKeys: 1 << 62},
		"MaxRSABits is 1024":                       {MaxRSABits: 1024},
		"MaxRSABits is 16384":                      {MaxRSABits: 16384},
		"MaxRequests is 1":                         {MaxRequests: 1},
		"MaxRequests is 4611686018427387904":       {MaxRequests: 1 << 62},
	} {
		_, err := jwks.New(providers(pool("p", []string{keysURL})), c)
		require.ErrorContains(t, err, name)
	}
}

// Keys are refreshed before half of MaxStale has passed, although RefreshInterval is longer.
func TestRefreshBeforeMaxStale(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		n.at(keysURL).list("one")
		c := newCache(t, n, jwks.Config{RefreshInterval: 2 * time.Hour, MaxStale: 2 * time.Hour}, pool("p", []string{keysURL}))
		require.NoError(t, c.Preload(t.Context()))
		require.LessOrEqual(t, time.Until(jwks.NextRefresh(c, 0)), time.Hour)
	})
}

// A key that another URL has listed for less than a minute is not reported as missing.
func TestRotationIsNoDifference(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		n.at(regionA).list("one")
		n.at(regionB).list("one")
		c := newCache(t, n, jwks.Config{}, pool("p", []string{regionA, regionB}))
		require.NoError(t, c.Preload(t.Context()))
		time.Sleep(time.Minute)
		n.at(regionA).list("one", "two")
		require.Equal(t, 200, ask(t.Context(), c, "p", "two"))
		require.Equal(t, 401, ask(t.Context(), c, "p", "made-up")) // asks both
		time.Sleep(time.Second)
		require.Positive(t, n.at(regionB).requests())
		require.Empty(t, c.Status()[1].MissingKeyIDs)
	})
}

// remote is a connection that says that it leads to another machine.
type remote struct{ net.Conn }

func (remote) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(203, 0, 113, 7), Port: 443} }

// The address of a discovered name is checked each time: also when the name comes to lead to this machine after it was used, and
// when the document comes to name another one.
func TestDiscoveredNamesThatComeToLeadToThisMachine(t *testing.T) {
	t.Parallel()
	for _, moves := range []bool{false, true} {
		const near, far = "https://tenant.example.com/keys", "https://elsewhere.example.com/keys"
		p := newDiscovered(t, "https://tenant.example.com", far)
		if moves {
			p.jwksURI = near
		}
		var asked atomic.Int64
		server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Host == "elsewhere.example.com" {
				asked.Add(1)
			}
			p.mu.Lock()
			body := p.document(r)
			p.mu.Unlock()
			_, _ = w.Write(body)
		}))
		defer server.Close()
		var local atomic.Bool
		transport := server.Client().Transport.(*http.Transport).Clone()
		transport.DisableKeepAlives = true
		transport.TLSClientConfig.ServerName = "example.com"
		transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
			if err == nil && !local.Load() {
				conn = remote{conn}
			}
			return conn, err
		}
		var later atomic.Int64 // what has passed beside the time of this test
		read := func() (mono, wall int64) {
			wall = time.Now().UnixNano() + later.Load()
			return wall, wall
		}
		config := jwks.Config{HTTPClient: &http.Client{Transport: transport}}
		c, err := jwks.NewWithClock([]issuer.Provider{p.provider()}, config, read, func() float64 { return 0.5 })
		require.NoError(t, err)
		require.NoError(t, c.Preload(t.Context()))
		local.Store(true)
		p.mu.Lock()
		p.jwksURI = far
		p.mu.Unlock()
		later.Store(int64(2 * time.Minute)) // the document is read again
		before := asked.Load()
		_ = c.Lookup(t.Context(), jwks.Query{Issuer: p.iss, KeyID: "made-up", Algorithm: "ES256"})
		require.Equal(t, before, asked.Load(), "moves: %t", moves)
		if moves {
			require.Zero(t, before)
		} else {
			require.Positive(t, before)
		}
	}
}
