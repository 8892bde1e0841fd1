package oauth2_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
	xclientcredentials "golang.org/x/oauth2/clientcredentials"
)

const (
	callers = 50
	// xTimeout is that of a request of golang.org/x/oauth2: short, as its callers wait for it one after the other.
	xTimeout = 20 * time.Millisecond
)

// contenders are ways to get a token where one region hangs.
var contenders = []struct {
	name  string
	start func(tb testing.TB, eastern, western *region) oauth2.TokenSource
}{
	{"regionjwt", func(tb testing.TB, eastern, western *region) oauth2.TokenSource {
		tb.Helper()
		return tokens{source(tb, eastern, western)}
	}},
	{"x/oauth2", func(_ testing.TB, eastern, _ *region) oauth2.TokenSource { return plain(eastern) }},
	{"x/oauth2, second region by hand", func(_ testing.TB, eastern, western *region) oauth2.TokenSource {
		return either{plain(eastern), plain(western)}
	}},
}

// plain is the token source of golang.org/x/oauth2 for one region.
func plain(r *region) oauth2.TokenSource {
	config := xclientcredentials.Config{
		ClientID: "machine", ClientSecret: "secret", TokenURL: r.URL, AuthStyle: oauth2.AuthStyleInHeader,
	}
	client := &http.Client{Timeout: xTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	return config.TokenSource(context.WithValue(context.Background(), oauth2.HTTPClient, client))
}

// either asks the second source where the first has failed.
type either [2]oauth2.TokenSource

func (e either) Token() (*oauth2.Token, error) {
	if token, err := e[0].Token(); err == nil {
		return token, nil
	}
	return e[1].Token()
}

// figures say how long callers waited, and what it cost.
type figures struct {
	median, last             time.Duration
	failed                   int
	easternAsks, westernAsks int32
}

// rush has all callers ask a new source at once, while the east hangs.
func rush(tb testing.TB, start func(tb testing.TB, eastern, western *region) oauth2.TokenSource) figures {
	tb.Helper()
	eastern, western := serve(tb, east), serve(tb, west)
	defer western.end()
	defer eastern.end()
	eastern.hangs.Store(true)
	ts := start(tb, eastern, western)
	var mu sync.Mutex
	var f figures
	var waits []time.Duration
	var wg sync.WaitGroup
	began := time.Now()
	for range callers {
		wg.Go(func() {
			_, err := ts.Token()
			mu.Lock()
			defer mu.Unlock()
			waits = append(waits, time.Since(began))
			if err != nil {
				f.failed++
			}
		})
	}
	wg.Wait()
	slices.Sort(waits)
	f.median, f.last = waits[callers/2], waits[callers-1]
	f.easternAsks, f.westernAsks = eastern.requests.Load(), western.requests.Load()
	return f
}

// 50 callers at once, and the first region hangs.
func TestHangingRegion(t *testing.T) {
	text := fmt.Sprintf("%d callers, one region hanging (a request of x/oauth2 has %v):", callers, xTimeout)
	results := map[string]figures{}
	for _, c := range contenders {
		f := rush(t, c.start)
		results[c.name] = f
		text += fmt.Sprintf("\n%-32s median %6.0f ms, last %6.0f ms, %2d failed, %d and %d requests", c.name,
			f.median.Seconds()*1e3, f.last.Seconds()*1e3, f.failed, f.easternAsks, f.westernAsks)
	}
	t.Log(text)
	ours := results["regionjwt"]
	require.Zero(t, ours.failed)
	require.LessOrEqual(t, ours.easternAsks, int32(1))
	require.EqualValues(t, 1, ours.westernAsks)
	require.Equal(t, callers, results["x/oauth2"].failed)
	for name, f := range results {
		if name != "regionjwt" {
			require.GreaterOrEqual(t, f.last, callers*xTimeout, "one after the other")
		}
	}
}

// BenchmarkHangingRegion is TestHangingRegion; one operation is a new source and all of its callers.
func BenchmarkHangingRegion(b *testing.B) {
	for _, c := range contenders {
		b.Run(c.name, func(b *testing.B) {
			var sum figures
			for b.Loop() {
				f := rush(b, c.start)
				sum.median += f.median
				sum.last += f.last
				sum.failed += f.failed
				sum.easternAsks += f.easternAsks
				sum.westernAsks += f.westernAsks
			}
			per := func(v float64, unit string) { b.ReportMetric(v/float64(b.N), unit) }
			per(sum.median.Seconds()*1e3, "median-ms")
			per(sum.last.Seconds()*1e3, "last-ms")
			per(float64(sum.failed), "failed")
			per(float64(sum.easternAsks+sum.westernAsks), "requests")
		})
	}
}

// BenchmarkFromMemory is the price of a token from memory.
func BenchmarkFromMemory(b *testing.B) {
	for _, c := range contenders[:2] {
		b.Run(c.name, func(b *testing.B) {
			ts := c.start(b, serve(b, east), serve(b, west))
			_, err := ts.Token()
			require.NoError(b, err)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := ts.Token(); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
