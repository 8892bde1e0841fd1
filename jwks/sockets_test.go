package jwks_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
)

// listener has a loopback port on which each connection is handled by f once a request has come. It returns the port's URL.
func listener(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					_ = r.Body.Close()
				}
				f(c)
			}()
		}
	}()
	return "http://" + l.Addr().String() + "/keys"
}

// wait returns after d, or as the test ends.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// A preferred mirror that misbehaves on the wire, in each way there is, costs half a second once, and nobody a verdict.
func TestBadListeners(t *testing.T) {
	t.Parallel()
	for name, handle := range map[string]func(context.Context, net.Conn){
		"accepts and says nothing": func(ctx context.Context, c net.Conn) { <-ctx.Done(); _ = c.Close() },
		"resets": func(_ context.Context, c net.Conn) {
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		},
		"closes":       func(_ context.Context, c net.Conn) { _ = c.Close() },
		"is no server": func(_ context.Context, c net.Conn) { _, _ = fmt.Fprint(c, "SSH-2.0-OpenSSH_9.9\r\n"); _ = c.Close() },
		"promises more": func(_ context.Context, c net.Conn) {
			_, _ = fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"keys\":[")
			_ = c.Close()
		},
		"drips": func(ctx context.Context, c net.Conn) {
			_, _ = fmt.Fprint(c, "HTTP/1.1 200 OK\r\n\r\n")
			for wait(ctx, 20*time.Millisecond) {
				if _, err := fmt.Fprint(c, " "); err != nil {
					return
				}
			}
		},
		"drips headers": func(ctx context.Context, c net.Conn) {
			_, _ = fmt.Fprint(c, "HTTP/1.1 200 OK\r\n")
			for n := 0; wait(ctx, 20*time.Millisecond); n++ {
				if _, err := fmt.Fprintf(c, "X-%d: y\r\n", n); err != nil {
					return
				}
			}
		},
		"floods headers": func(_ context.Context, c net.Conn) {
			_, _ = fmt.Fprint(c, "HTTP/1.1 200 OK\r\n")
			for n := range 1 << 20 {
				if _, err := fmt.Fprintf(c, "X-%d: %0100d\r\n", n, n); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad := listener(t, func(c net.Conn) { handle(t.Context(), c) })
			judgeMirror(t, bad)
		})
	}
	t.Run("refuses", func(t *testing.T) {
		t.Parallel()
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		require.NoError(t, l.Close())
		judgeMirror(t, "http://"+l.Addr().String()+"/keys")
	})
}

// judgeMirror has a cache prefer the mirror bad to a good one, and one have nothing else.
func judgeMirror(t *testing.T, bad string) {
	t.Helper()
	w := issuertest.New(t, issuertest.Config{Layout: issuertest.IssuerPerRegion, Algorithm: "ES256"})
	w.Serve()
	a := w.Authority()
	a.Regions[0].JWKS = []string{bad, a.Regions[0].JWKS[0]}
	a.Regions[1].JWKS = []string{bad + "?alone"}
	cache, err := jwks.New(jwks.Config{Authorities: []issuer.Authority{a}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cache.Close()) })
	_, err = cache.Keys(t.Context(), a.Regions[0].Issuers[0], w.KeyID(east))
	require.NoError(t, err)
	_, err = cache.Keys(t.Context(), a.Regions[1].Issuers[0], w.KeyID(west))
	require.ErrorIs(t, err, jwks.ErrUnavailable)
}
