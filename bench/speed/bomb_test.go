package speed_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
)

// BenchmarkBomb has a key server answer with 1 GB of JSON in a megabyte of gzip, and reports by how much the memory that the
// process has from the system, and its heap, grow at most while the keys are fetched. The fetch has to fail.
func BenchmarkBomb(b *testing.B) {
	var packed bytes.Buffer
	w, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	_, _ = io.WriteString(w, `{"keys":[`)
	blank := []byte(strings.Repeat(" ", 1<<20))
	for range 1 << 10 {
		_, _ = w.Write(blank)
	}
	_, _ = io.WriteString(w, `]}`)
	_ = w.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed.Bytes())
	}))
	defer server.Close()
	var heap, system float64
	for b.Loop() {
		c, err := jwks.New([]issuer.Provider{{ID: "bomb", Regions: []issuer.Region{
			{Name: "one", Issuers: []string{server.URL}, JWKSURLs: []string{server.URL + "/jwks"}},
		}}}, jwks.Config{})
		if err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		before := memory()
		stop, peak := watchMemory()
		if c.Preload(b.Context()) == nil {
			b.Fatal("the bomb was taken for a key set")
		}
		stop()
		heap, system = max(heap, peak.heap-before.heap), max(system, peak.system-before.system)
	}
	b.ReportMetric(heap/1e6, "MB-heap-over")
	b.ReportMetric(system/1e6, "MB-over")
	b.ReportMetric(0, "ns/op")
}

type amount struct{ heap, system float64 }

func memory() amount {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return amount{float64(m.HeapAlloc), float64(m.Sys)}
}

// watchMemory looks every millisecond until stop, and keeps the most that it sees.
func watchMemory() (stop func(), peak *amount) {
	peak = &amount{}
	var ended atomic.Bool
	done := make(chan struct{})
	look := func() {
		now := memory()
		peak.heap, peak.system = max(peak.heap, now.heap), max(peak.system, now.system)
	}
	go func() {
		defer close(done)
		for !ended.Load() {
			look()
			time.Sleep(time.Millisecond)
		}
		look()
	}()
	return func() {
		ended.Store(true)
		<-done
	}, peak
}
