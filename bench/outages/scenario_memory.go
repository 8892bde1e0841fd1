package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/bench/internal/peers"
)

const (
	largeSize = 64 << 20
	chunk     = 64 << 10
)

// large has the key server send a good key and 64 MB beside it.
func large(l peers.Library) string {
	return oversized(l, func(k key) (http.HandlerFunc, error) {
		return func(w http.ResponseWriter, _ *http.Request) { _ = writeLarge(w, k) }, nil
	})
}

// bomb has the key server send the same, compressed.
func bomb(l peers.Library) string {
	return oversized(l, func(k key) (http.HandlerFunc, error) {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		if err := errors.Join(writeLarge(z, k), z.Close()); err != nil {
			return nil, err
		}
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(packed.Bytes())
		}, nil
	})
}

// writeLarge writes a key set of largeSize in small parts.
func writeLarge(w io.Writer, k key) error {
	if _, err := fmt.Fprintf(w, `{"keys":[%s],"pad":"`, marshal(k.jwk())); err != nil {
		return err
	}
	part := bytes.Repeat([]byte("x"), chunk)
	for range largeSize / chunk {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, `"}`)
	return err
}

func oversized(l peers.Library, answer func(k key) (http.HandlerFunc, error)) string {
	p, err := newIDP(0)
	if err != nil {
		return cannot(err)
	}
	defer p.close()
	handler, err := answer(p.signer())
	if err != nil {
		return cannot(err)
	}
	p.spoil(handler)
	token := p.token()
	stop := peak()
	began := time.Now()
	s, err := open(l, setupOf(0, p.endpoint()), longest)
	if err == nil {
		defer s.Close()
		err = verify(s, token, longest)
	}
	took, grown := time.Since(began), stop()
	if err != nil {
		return fmt.Sprintf("%s, +%d MB", verdict(err), grown>>20)
	}
	return fmt.Sprintf("**taken** in %.1f s, +%d MB", took.Seconds(), grown>>20)
}

// peak watches how much memory the process holds, and returns by how much it has grown at most when stop is called.
func peak() (stop func() uint64) {
	debug.FreeOSMemory()
	base := held()
	highest, done := base, make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(2 * time.Millisecond)
		defer t.Stop()
		for {
			select {
			case <-done:
				return
			case <-t.C:
				highest = max(highest, held())
			}
		}
	})
	return func() uint64 {
		close(done)
		wg.Wait()
		return max(highest, held()) - base
	}
}

// held is what the runtime has from the system, less what it has given back.
func held() uint64 {
	samples := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
	}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}
