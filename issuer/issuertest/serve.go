package issuertest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"time"

	"github.com/regionjwt/regionjwt/internal/jose/josetest"
	"github.com/regionjwt/regionjwt/issuer"
)

const (
	wellKnown     = "/.well-known/"
	keysPath      = "/tenant" + wellKnown + "jwks.json"
	updatedPrefix = "/updated" // the path under which a listener answers for the host of the updated mode
)

// keySet is the document that r publishes. The caller holds mu.
func (w *World) keySet(r *region) []byte {
	if r.lagging != nil {
		return r.lagging
	}
	doc, err := josetest.Set(r.ring.signers...)
	if err != nil {
		w.fatalf("%v", err)
	}
	return doc
}

// Client returns an HTTP client that reaches the world in memory, and nothing else.
func (w *World) Client() *http.Client { return &http.Client{Transport: transport{w}} }

// Serve has each region listen on a loopback address from now on. Call it before Authority. Any HTTP client reaches it.
func (w *World) Serve() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.regions {
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			w.fatalf("%v", err)
			return
		}
		s := &http.Server{Handler: w.handler(r), ReadHeaderTimeout: 10 * time.Second}
		w.servers = append(w.servers, s)
		r.base = "http://" + l.Addr().String()
		go func() { _ = s.Serve(l) }()
	}
}

// visit counts a request and waits as long as the fault of r makes it wait. It returns the fault, or the error of an
// exchange that gets no answer.
func (w *World) visit(r *region, done <-chan struct{}) (fault, error) {
	w.mu.Lock()
	r.fetches++
	f, mended := r.fault, r.mended
	w.mu.Unlock()
	switch {
	case f.broken:
		return f, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	case f.hanging:
		select {
		case <-done:
			return f, errors.New("given up")
		case <-mended:
			return f, io.ErrUnexpectedEOF
		}
	case f.delay > 0:
		t := time.NewTimer(f.delay)
		defer t.Stop()
		select {
		case <-done:
			return f, errors.New("given up")
		case <-t.C:
		}
	}
	return f, nil
}

// answer writes what r publishes under path.
func (w *World) answer(rw http.ResponseWriter, r *region, updatedHost bool, path string, f fault) {
	maps.Copy(rw.Header(), f.header)
	if f.status != 0 {
		rw.WriteHeader(f.status)
		_, _ = rw.Write(f.body)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	primary := r == w.regions[0]
	if updatedHost && (!primary || w.config.Issuer == issuer.Original) {
		rw.WriteHeader(http.StatusForbidden)
		return
	}
	tenant := "/tenant"
	if w.config.Layout == Cognito {
		tenant = "/" + w.config.ID
	}
	rw.Header().Set("Content-Type", "application/json")
	switch path {
	case tenant + wellKnown + "jwks.json":
		_, _ = rw.Write(w.keySet(r))
	case tenant + wellKnown + "openid-configuration":
		_ = json.NewEncoder(rw).Encode(map[string]any{
			"issuer": w.issuerOf(r), "jwks_uri": r.base + tenant + wellKnown + "jwks.json",
		})
	default:
		http.NotFound(rw, nil)
	}
}

// handler answers for r on a listener.
func (w *World) handler(r *region) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, io.LimitReader(req.Body, 1<<20)) // or the server never sees the client leave
		f, err := w.visit(r, req.Context().Done())
		if err != nil {
			panic(http.ErrAbortHandler) // closes the connection
		}
		path, updated := strings.CutPrefix(req.URL.Path, updatedPrefix)
		w.answer(rw, r, updated, path, f)
	})
}

// transport reaches the world in memory.
type transport struct{ w *World }

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	r, updated := t.route(req.URL.Scheme + "://" + req.URL.Host)
	if r == nil {
		return nil, &net.DNSError{Err: "no such host", Name: req.URL.Host, IsNotFound: true}
	}
	f, err := t.w.visit(r, req.Context().Done())
	if req.Context().Err() != nil {
		return nil, req.Context().Err()
	}
	if err != nil {
		return nil, err
	}
	rec := httptest.NewRecorder()
	t.w.answer(rec, r, updated, req.URL.Path, f)
	resp := rec.Result()
	resp.Request = req
	return resp, nil
}

// route finds the region behind a host; updated says that it is the host of the updated mode.
func (t transport) route(base string) (r *region, updated bool) {
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	original := strings.Replace(base, "://issuer-cognito-idp.", "://cognito-idp.", 1)
	for _, r := range t.w.regions {
		if r.base == original {
			return r, base != original
		}
	}
	return nil, false
}
