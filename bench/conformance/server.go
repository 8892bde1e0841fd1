package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/bench/internal/silence"
	"github.com/regionjwt/regionjwt/internal/conformance"
)

// keyServer is a key server of a story, or of all cases, on 127.0.0.1.
type keyServer struct {
	corpus *conformance.Corpus
	other  string // the base URL that nothing may ask
	base   string
	server *http.Server
	listen *silence.Listener
	closed chan struct{}

	mu       sync.Mutex
	state    conformance.Server
	next     int
	requests int
	written  int64
}

// serve starts a key server. It speaks TLS if there is a certificate.
func serve(
	ctx context.Context, c *conformance.Corpus, s conformance.Server, other string, cert *tls.Certificate,
) (*keyServer, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	k := &keyServer{corpus: c, other: other, base: "http://" + l.Addr().String(), closed: make(chan struct{}), state: s}
	k.listen = &silence.Listener{Listener: l}
	k.server = &http.Server{Handler: k, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	if cert == nil {
		go func() { _ = k.server.Serve(k.listen) }()
		return k, nil
	}
	k.base = "https://" + l.Addr().String()
	k.server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12}
	go func() { _ = k.server.ServeTLS(k.listen, "", "") }()
	return k, nil
}

func (k *keyServer) close() {
	close(k.closed)
	_ = k.server.Close()
}

// change makes the server answer in another way from now on.
func (k *keyServer) change(s conformance.Server) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.state, k.next = s, 0
}

// counts returns how many requests came and how many bytes went out.
func (k *keyServer) counts() (requests int, written int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.requests, k.written
}

func (k *keyServer) answer() conformance.Answer {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.requests++
	if len(k.state.Answers) == 0 {
		return conformance.Answer{Status: http.StatusNotFound}
	}
	a := k.state.Answers[k.next]
	switch {
	case k.next+1 < len(k.state.Answers):
		k.next++
	case k.state.Cycle:
		k.next = 0
	}
	return a
}

func (k *keyServer) wait(r *http.Request, seconds float64) bool {
	t := time.NewTimer(time.Duration(seconds * float64(time.Second)))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-k.closed:
	case <-r.Context().Done():
	}
	return false
}

// ServeHTTP answers as the story says; /set/NAME is a key set of the corpus.
func (k *keyServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if name, ok := strings.CutPrefix(r.URL.Path, "/set/"); ok {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(k.corpus.Set(name)) //nolint:gosec // a key set of the corpus
		return
	}
	a := k.answer()
	switch {
	case a.Refuse:
		panic(http.ErrAbortHandler)
	case a.Hang:
		k.wait(r, 3600)
		return
	case !k.wait(r, a.Delay):
		return
	}
	w.Header().Set("Content-Type", "application/json")
	for name, value := range a.Headers {
		w.Header().Set(name, value)
	}
	if a.Redirect != "" {
		w.Header().Set("Location", strings.NewReplacer("{self}", k.base, "{other}", k.other).Replace(a.Redirect))
	}
	if a.If && r.Header.Get("If-None-Match") == a.Headers["ETag"] {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if a.Status != 0 {
		w.WriteHeader(a.Status)
	}
	k.write(w, r, &a)
}

func (k *keyServer) write(w http.ResponseWriter, r *http.Request, a *conformance.Answer) {
	for piece := range k.corpus.Body(a) {
		for size := len(piece); len(piece) > 0; piece = piece[size:] {
			if a.Drip > 0 {
				size = 1
			}
			n, err := w.Write(piece[:size])
			k.mu.Lock()
			k.written += int64(n)
			k.mu.Unlock()
			if err != nil {
				return
			}
			if a.Drip > 0 {
				_ = http.NewResponseController(w).Flush()
				if !k.wait(r, a.Drip) {
					return
				}
			}
		}
	}
}

// certificate makes a certificate for 127.0.0.1, and a file that adapters trust.
func certificate(dir string) (*tls.Certificate, string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, "", err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, "", err
	}
	file := filepath.Join(dir, "roots.pem")
	err = os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file, errors.Join(err)
}
