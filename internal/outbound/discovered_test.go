package outbound_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/outbound"
)

const issuerURL = "https://idp.example.com"

// get sends a request, as one to a URL that the metadata of iss names unless iss is "".
func get(t *testing.T, c *http.Client, iss, target string) error {
	t.Helper()
	ctx := t.Context()
	if iss != "" {
		ctx = outbound.WithIssuer(ctx, iss)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader("body"))
	require.NoError(t, err)
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}

// The URL of a discovered request is checked whatever transport sends it; other requests are the user's own choice.
func TestCarefulChecksURLs(t *testing.T) {
	t.Parallel()
	sent := 0
	c := outbound.Careful(&http.Client{Transport: serve(func(r *http.Request) *http.Response {
		sent++
		return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}
	})}, []string{"10.0.0.7", "127.0.0.2"})
	for _, target := range []string{
		"https://127.0.0.1/keys", "http://localhost:8080/keys", "https://[::1]/keys", "https://169.254.169.254/", "https://2130706433/",
		"https://１２７.0.0.1/",
	} {
		require.ErrorIs(t, get(t, c, issuerURL, target), outbound.ErrLocal, target)
		require.Zero(t, sent, target)
	}
	for target, iss := range map[string]string{
		"https://127.0.0.1/keys": "", "http://localhost/keys": "http://127.0.0.1:8080", "https://127.0.0.2/keys": issuerURL,
		"https://idp.example.com/keys": issuerURL, "https://keys.example.com/": issuerURL, "https://[::1]/": "https://[::1]:8443/x",
	} {
		sent = 0
		require.NoError(t, get(t, c, iss, target), target)
		require.Equal(t, 1, sent, target)
	}
}

// names is a resolver of the process that knows two addresses of each name, of which the second is 10 ms late.
func names(t *testing.T, ipv4 map[string]net.IP) {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		query := make([]byte, 1500)
		for {
			n, from, err := server.ReadFrom(query)
			if err != nil {
				return
			}
			_, _ = server.WriteTo(resolve(query[:n], ipv4), from)
		}
	}()
	old := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
	t.Cleanup(func() {
		net.DefaultResolver = old
		_ = server.Close()
		<-ended
	})
}

// resolve answers a DNS query (RFC 1035, section 4): with an address where a name has one, and with nothing else.
func resolve(query []byte, ipv4 map[string]net.IP) []byte {
	var labels []string
	at := 12
	for query[at] != 0 {
		length := int(query[at])
		labels = append(labels, string(query[at+1:at+1+length]))
		at += 1 + length
	}
	question := query[12 : at+5]
	answer := append(bytes.Clone(query[:2]), 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0)
	answer = append(answer, question...)
	ip := ipv4[strings.ToLower(strings.Join(labels, "."))].To4()
	if kind := query[at+2]; kind == 1 && ip != nil {
		answer[7] = 1
		answer = append(answer, 0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4)
		answer = append(answer, ip...)
	}
	return answer
}

// A name that resolves to an address of this machine or its link is refused before it is connected to, if its URL was discovered
// and its host is not the issuer's own.
func TestCarefulChecksAddresses(t *testing.T) { // it replaces the resolver of the process
	var connections atomic.Int64
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.StartTLS()
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	names(t, map[string]net.IP{
		"keys.example.test": {127, 0, 0, 1}, "idp.example.test": {127, 0, 0, 1}, "metadata.example.test": {169, 254, 169, 254},
		"nobody.example.test": {0, 0, 0, 0},
	})
	target := func(host string) string { return "https://" + host + ":" + port + "/keys" }
	insecure := &tls.Config{InsecureSkipVerify: true}

	own := outbound.Transport(time.Second, time.Minute)
	own.TLSClientConfig = insecure
	plain := &http.Transport{TLSClientConfig: insecure}
	like := http.DefaultTransport.(*http.Transport).Clone()
	like.TLSClientConfig = insecure
	dialing := &http.Transport{TLSClientConfig: insecure, Dial: net.Dial} //nolint:staticcheck // as somebody may still do
	dialingTLS := &http.Transport{DialTLSContext: (&tls.Dialer{Config: insecure}).DialContext}
	dialingOldTLS := &http.Transport{DialTLS: func(network, addr string) (net.Conn, error) { //nolint:staticcheck // as above
		return tls.Dial(network, addr, insecure)
	}}
	for name, transport := range map[string]*http.Transport{
		"our own": own, "plain": plain, "like the default": like, "Dial": dialing, "DialTLSContext": dialingTLS, "DialTLS": dialingOldTLS,
	} {
		c := outbound.Careful(&http.Client{Transport: transport}, []string{"listed.example.test"})
		defer c.CloseIdleConnections()
		require.NoError(t, get(t, c, "", target("keys.example.test")), "%s: configured", name)
		connections.Store(0)
		for _, host := range []string{"keys.example.test", "KEYS.example.test.", "metadata.example.test", "nobody.example.test"} {
			if strings.HasPrefix(host, "metadata") && transport != own && transport != plain {
				continue // it is dialled, and nobody answers there
			}
			err := get(t, c, "https://other.example.test", target(host))
			require.ErrorIs(t, err, outbound.ErrLocal, "%s: %s", name, host)
		}
		if transport == own || transport == plain {
			require.Zero(t, connections.Load(), "%s: it was connected to", name)
		}
		require.NoError(t, get(t, c, "https://idp.example.test/tenant", target("idp.example.test")), "%s: the issuer's own host", name)
		require.NoError(t, get(t, c, "https://localhost", target("keys.example.test")), "%s: the issuer is on this machine", name)
		require.NotErrorIs(t, get(t, c, "https://other.example.test", target("listed.example.test")), outbound.ErrLocal, "%s: listed", name)
	}
}

// A request that is refused, and a dialer of the user that fails, leave nothing open.
func TestCarefulLeavesNothingOpen(t *testing.T) {
	t.Parallel()
	down := errors.New("no route")
	c := outbound.Careful(&http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, down },
	}}, nil)
	require.ErrorIs(t, get(t, c, issuerURL, "http://keys.example.com/"), down)

	body := &closing{Reader: strings.NewReader("body")}
	req, err := http.NewRequestWithContext(outbound.WithIssuer(t.Context(), issuerURL), http.MethodPost, "http://127.0.0.1/", body)
	require.NoError(t, err)
	_, err = c.Transport.RoundTrip(req)
	require.ErrorIs(t, err, outbound.ErrLocal)
	require.True(t, body.closed, "a round tripper closes the body")
	c.CloseIdleConnections()
}

type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error {
	c.closed = true
	return nil
}

// Where a proxy makes the connection, the address that is dialled is the proxy's, which may be on this machine.
func TestCarefulLeavesProxiesAlone(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		require.Equal(t, "keys.example.com", r.URL.Host)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer proxy.Close()
	by, err := url.Parse(proxy.URL)
	require.NoError(t, err)
	transport := outbound.Transport(time.Second, time.Minute)
	transport.Proxy = http.ProxyURL(by)
	c := outbound.Careful(&http.Client{Transport: transport}, nil)
	defer c.CloseIdleConnections()
	require.NoError(t, get(t, c, issuerURL, "http://keys.example.com/"))
	require.EqualValues(t, 1, asked.Load())
	require.ErrorIs(t, get(t, c, issuerURL, "http://127.0.0.1/"), outbound.ErrLocal, "the URL is checked all the same")

	transport.Proxy = func(*http.Request) (*url.URL, error) { return nil, errors.New("no proxy can be had") }
	c = outbound.Careful(&http.Client{Transport: transport}, nil)
	require.ErrorContains(t, get(t, c, issuerURL, "http://keys.example.com/"), "no proxy can be had")
}

// A client without a transport has that of the process, which is left alone.
func TestCarefulClonesTheDefaultTransport(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	c := outbound.Careful(&http.Client{}, nil)
	defer c.CloseIdleConnections()
	require.NoError(t, get(t, c, "", server.URL))
	require.NoError(t, get(t, c, "http://127.0.0.1:1", server.URL))
	require.ErrorIs(t, get(t, c, issuerURL, server.URL), outbound.ErrLocal)
	var none *http.Transport
	require.NotPanics(t, func() { outbound.Careful(&http.Client{Transport: none}, nil) })
}
