package proxies_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// request is what a client sends. The target is sent as it is.
type request struct {
	method, target string
	header         http.Header
}

func get(target, token string, pairs ...string) request {
	h := http.Header{}
	if token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(pairs); i += 2 {
		h[pairs[i]] = append(h[pairs[i]], pairs[i+1])
	}
	return request{"GET", target, h}
}

// answer is what the client gets, and the request that the application got, or nil.
type answer struct {
	status int
	header http.Header
	app    *http.Request
}

// door is a proxy.
type door func(t *testing.T, r request) answer

// doors are the proxies of a site.
func (s *site) doors(t *testing.T) map[string]door {
	t.Helper()
	conn, err := grpc.NewClient("unix:"+s.path("envoy.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return map[string]door{
		"nginx": s.through("public-nginx.sock"),
		"Caddy": s.through("public-caddy.sock"),
		"Envoy": func(t *testing.T, r request) answer { return asEnvoy(t, authv3.NewAuthorizationClient(conn), r) },
	}
}

// through sends requests to a socket, byte for byte.
func (s *site) through(socket string) door {
	return func(t *testing.T, r request) answer {
		t.Helper()
		conn, err := new(net.Dialer).DialContext(t.Context(), "unix", s.path(socket))
		require.NoError(t, err)
		defer func() { _ = conn.Close() }()
		var b strings.Builder
		b.WriteString(r.method + " " + r.target + " HTTP/1.1\r\nHost: app.example\r\n")
		if r.header.Get("Connection") == "" {
			b.WriteString("Connection: close\r\n")
		}
		for name, values := range r.header {
			for _, v := range values {
				b.WriteString(name + ": " + v + "\r\n")
			}
		}
		s.app.take()
		_, err = io.WriteString(conn, b.String()+"\r\n")
		require.NoError(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err, "%+v", r)
		_, _ = io.Copy(io.Discard, resp.Body)
		return answer{resp.StatusCode, resp.Header, s.app.take()}
	}
}

// asEnvoy asks as Envoy does, and does to the request what Envoy would.
func asEnvoy(t *testing.T, client authv3.AuthorizationClient, r request) answer {
	t.Helper()
	h := &authv3.AttributeContext_HttpRequest{Method: r.method, Path: r.target, HeaderMap: &corev3.HeaderMap{}}
	app := &http.Request{Method: r.method, Header: http.Header{}}
	for name, values := range r.header {
		for _, v := range values {
			h.HeaderMap.Headers = append(h.HeaderMap.Headers, &corev3.HeaderValue{Key: strings.ToLower(name), RawValue: []byte(v)})
			app.Header[strings.ToLower(name)] = append(app.Header[strings.ToLower(name)], v)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	response, err := client.Check(ctx, &authv3.CheckRequest{
		Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{Http: h}},
	})
	require.NoError(t, err, "an error of the call is no decision")
	if response.GetStatus().GetCode() == 0 {
		for _, name := range response.GetOkResponse().GetHeadersToRemove() {
			delete(app.Header, name)
		}
		for _, o := range response.GetOkResponse().GetHeaders() {
			app.Header[o.GetHeader().GetKey()] = []string{o.GetHeader().GetValue()}
		}
		named := http.Header{}
		for name, values := range app.Header {
			named[http.CanonicalHeaderKey(name)] = values
		}
		app.Header = named
		return answer{status: 200, app: app}
	}
	denied := response.GetDeniedResponse()
	a := answer{status: int(denied.GetStatus().GetCode()), header: http.Header{}}
	for _, o := range denied.GetHeaders() {
		a.header.Add(o.GetHeader().GetKey(), o.GetHeader().GetValue())
	}
	return a
}
