package clientcredentials_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/issuer"
)

const east, west = "us-east-1", "us-west-2"

var provider = issuer.Provider{ID: "tenant", Regions: []issuer.Region{
	{Name: east, Issuers: []string{"https://east.example.com"}, TokenURL: "https://east.example.com/token"},
	{Name: west, Issuers: []string{"https://west.example.com"}, TokenURL: "https://west.example.com/token"},
}}

// reply is how a region answers; the zero reply is a token that lives for an hour.
type reply struct {
	after  time.Duration // negative: never
	err    error
	status int // 0: 200
	media  string
	body   string
	header map[string]string
	life   int // in seconds, of the token; 0: an hour
}

var (
	hang    = reply{after: -1}
	refused = reply{err: errors.New("connection refused")}
	status  = func(code int) reply { return reply{status: code, body: "{}"} }
	verdict = func(code string) reply {
		return reply{status: http.StatusUnauthorized, body: `{"error":"` + code + `","error_description":"s3cret"}`}
	}
)

// world is a provider of two regions in memory; every region counts its requests.
type world struct {
	mu       sync.Mutex
	replies  map[string]reply
	requests map[string]int
	last     *http.Request
	form     url.Values
	issued   int
}

func newWorld() *world {
	return &world{replies: map[string]reply{}, requests: map[string]int{}}
}

func (w *world) set(region string, r reply) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.replies[region] = r
}

// asked returns how many requests the regions got since it was last called.
func (w *world) asked() (eastern, western int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := maps.Clone(w.requests)
	clear(w.requests)
	return r[east], r[west]
}

func regionOf(host string) string {
	return map[string]string{"east.example.com": east, "west.example.com": west}[host]
}

func (w *world) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	_ = req.Body.Close()
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	region := regionOf(req.URL.Host)
	r := w.replies[region]
	w.requests[region]++
	w.issued++
	n := w.issued
	w.last = req
	w.form, _ = url.ParseQuery(string(body))
	w.mu.Unlock()
	if r.after < 0 {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	timer := time.NewTimer(r.after)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
	if r.err != nil {
		return nil, r.err
	}
	return r.response(req, region, n), nil
}

func (r reply) response(req *http.Request, region string, n int) *http.Response {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	if r.body == "" {
		if r.life == 0 {
			r.life = 3600
		}
		r.body = fmt.Sprintf(`{"access_token":"%s.%d","token_type":"bearer","expires_in":%d}`, region, n, r.life)
	}
	if r.media == "" {
		r.media = "application/json; charset=utf-8"
	}
	h := http.Header{"Content-Type": {r.media}}
	for name, value := range r.header {
		h.Set(name, value)
	}
	return &http.Response{
		StatusCode: r.status, Header: h, Body: io.NopCloser(strings.NewReader(r.body)), Request: req, ContentLength: -1,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
}

// setup is what a TokenSource is made of.
type setup struct {
	clientcredentials.Config
	Provider issuer.Provider
}

func (c *setup) new(t *testing.T) *clientcredentials.TokenSource {
	t.Helper()
	s, err := clientcredentials.New(c.Provider, c.Config)
	require.NoError(t, err)
	return s
}

// follow makes a Controller that c follows, with the region pinned.
func (c *setup) follow(t *testing.T, region string) *failover.Controller {
	t.Helper()
	ctl, err := failover.New(c.Provider, failover.Config{Threshold: 1000})
	require.NoError(t, err)
	c.Failover = ctl
	prefer(t, ctl, region)
	return ctl
}

// prefer makes a region the active one.
func prefer(t *testing.T, c *failover.Controller, region string) {
	t.Helper()
	require.NoError(t, c.Pin(t.Context(), region, "", 0))
}

// reports returns what a Controller knows about a region, without the times.
func reports(c *failover.Controller, region string) (lines []string) {
	for _, r := range c.Status().Regions {
		for _, line := range r.Reports {
			if r.Region == region {
				lines = append(lines, line[:strings.LastIndex(line, ", ")])
			}
		}
	}
	return lines
}

// requestTimeout is how long a request may take.
const requestTimeout = 5 * time.Second

// source returns a TokenSource of the world, which has no request in progress when the test ends; edit may be nil.
func (w *world) source(t *testing.T, edit func(*setup)) *clientcredentials.TokenSource {
	t.Helper()
	c := setup{Provider: provider}
	c.Provider.HTTPClient = &http.Client{Transport: w}
	c.Credentials = clientcredentials.Credentials{ClientID: "machine", Secret: "s3cret"}
	if edit != nil {
		edit(&c)
	}
	s := c.new(t)
	t.Cleanup(s.Settle)
	return s
}

// have demands a token of a region, within a time.
func have(t *testing.T, s *clientcredentials.TokenSource, region string, within time.Duration) *clientcredentials.Token {
	t.Helper()
	began := time.Now()
	tok, err := s.Token(t.Context())
	require.NoError(t, err)
	require.Equal(t, region, tok.Region())
	require.LessOrEqual(t, time.Since(began), within)
	return tok
}

// requireError demands an error of a category that says nothing that it should not.
func requireError(t *testing.T, s *clientcredentials.TokenSource, category error) error {
	t.Helper()
	tok, err := s.Token(t.Context())
	require.Nil(t, tok)
	require.ErrorIs(t, err, category)
	require.NotErrorIs(t, err, map[error]error{
		clientcredentials.ErrRejected: clientcredentials.ErrUnavailable, clientcredentials.ErrUnavailable: clientcredentials.ErrRejected,
	}[category])
	require.NotContains(t, err.Error(), "s3cret")
	return err
}

// crowd has 50 callers at once ask for a token; they say how long it took the last one.
func crowd(ctx context.Context, s *clientcredentials.TokenSource) (tokens map[*clientcredentials.Token]int, errs []error, took time.Duration) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	tokens = map[*clientcredentials.Token]int{}
	began := time.Now()
	for range 50 {
		wg.Go(func() {
			tok, err := s.Token(ctx)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
				return
			}
			tokens[tok]++
		})
	}
	wg.Wait()
	return tokens, errs, time.Since(began)
}
