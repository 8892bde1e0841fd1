package fakeissuer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// Client returns an HTTP client that reaches the Server in memory, and nothing else.
func (s *Server) Client() *http.Client { return &http.Client{Transport: transport{s}} }

// Serve makes each region listen on a loopback address. Any HTTP client reaches it at the URLs that Provider returns from now on.
func (s *Server) Serve() {
	s.mu.Lock()
	defer s.mu.Unlock()
	bases := map[string]string{}
	for _, r := range s.regions {
		address := cmp.Or(s.config.Addresses[r.name], "127.0.0.1:0")
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
		if err != nil {
			s.Fatalf("%v", err)
			return
		}
		server := &http.Server{Handler: s.handler(r), ReadHeaderTimeout: 10 * time.Second}
		s.servers, s.listeners = append(s.servers, server), append(s.listeners, l)
		r.base = "http://" + l.Addr().String()
		bases[r.name] = r.base
		go func() { _ = server.Serve(l) }()
	}
	if s.config.moves() {
		s.provider = s.config.describe(bases)
		for i, r := range s.provider.Regions {
			s.regions[i].iss = r.Issuers[0]
		}
		s.site = s.newSite()
		return
	}
	for _, u := range s.site.order {
		s.site.documents[s.local(u)] = s.site.documents[u]
	}
	for _, r := range s.regions {
		s.site.hosts[r.base] = r
	}
}

// visit counts a request and waits as long as the fault of r demands. It returns the handler that answers instead of r, or the
// error of a request that gets no answer.
func (s *Server) visit(r *region, path string, done <-chan struct{}) (http.Handler, error) {
	s.mu.Lock()
	r.requests++
	f, restored, broken := r.fault, r.restored, r.brokenPaths[path]
	s.mu.Unlock()
	switch {
	case f.broken, broken:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	case f.hanging:
		select {
		case <-done:
			return nil, errors.New("the client gave up")
		case <-restored:
			return nil, io.ErrUnexpectedEOF
		}
	case f.delay > 0:
		t := time.NewTimer(f.delay)
		defer t.Stop()
		select {
		case <-done:
			return nil, errors.New("the client gave up")
		case <-t.C:
		}
	}
	return f.handler, nil
}

// answer writes what is at a URL.
func (s *Server) answer(w http.ResponseWriter, req *http.Request, u *url.URL) {
	d, r := s.at(u)
	switch {
	case d.region == nil && strings.HasPrefix(u.Host, "issuer-cognito-idp."):
		w.WriteHeader(http.StatusForbidden) // as for a pool that is not in this mode
	case d.region == nil:
		http.NotFound(w, nil)
	case d.tokens:
		s.token(w, req, r)
	default:
		w.Header().Set("Content-Type", "application/json")
		if d.metadata != nil {
			_ = json.NewEncoder(w).Encode(d.metadata)
			return
		}
		s.mu.Lock()
		doc := s.keySet(r)
		s.mu.Unlock()
		_, _ = w.Write(doc)
	}
}

// handler answers for r on a listener.
func (s *Server) handler(r *region) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(req.Body, 1<<20)) // or the server does not notice that the client leaves
		req.Body = io.NopCloser(strings.NewReader(string(body)))
		instead, err := s.visit(r, req.URL.EscapedPath(), req.Context().Done())
		switch {
		case err != nil:
			panic(http.ErrAbortHandler) // closes the connection
		case instead != nil:
			instead.ServeHTTP(w, req)
		default:
			s.mu.Lock()
			base := r.base
			s.mu.Unlock()
			u, err := url.Parse(base + req.URL.EscapedPath())
			if err != nil {
				http.NotFound(w, req)
				return
			}
			s.answer(w, req, u)
		}
	})
}

// transport reaches the Server in memory.
type transport struct{ s *Server }

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer func() { _ = req.Body.Close() }()
	}
	_, r := t.s.at(req.URL)
	if r == nil {
		return nil, &net.DNSError{Err: "no such host", Name: req.URL.Host, IsNotFound: true}
	}
	instead, err := t.s.visit(r, req.URL.EscapedPath(), req.Context().Done())
	if req.Context().Err() != nil {
		return nil, req.Context().Err()
	}
	if err != nil {
		return nil, err
	}
	if instead == nil {
		instead = http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) { t.s.answer(w, in, req.URL) })
	}
	return record(instead, req)
}

// record returns the answer of h to req. If h panics, the connection breaks, as with an http.Server.
func record(h http.Handler, req *http.Request) (resp *http.Response, err error) {
	in := req.Clone(req.Context())
	in.RequestURI, in.RemoteAddr = req.URL.RequestURI(), "192.0.2.1:1234"
	in.Host = req.URL.Host
	if in.Body == nil {
		in.Body = http.NoBody
	}
	defer func() {
		if recover() != nil {
			resp, err = nil, io.ErrUnexpectedEOF
		}
	}()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, in)
	if req.Context().Err() != nil {
		return nil, req.Context().Err()
	}
	resp = w.Result()
	resp.Request = req
	return resp, nil
}
