package verifier_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/conformance"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// needsRun lists the stories in which a key that was withdrawn has to go without anyone asking for it.
var needsRun = []string{"jwks-cache/max-age-year-is-capped", "stateful/clock-back-keeps-cache-age"}

// Every story of the corpus, in virtual time.
func TestStories(t *testing.T) {
	t.Parallel()
	c, err := corpus()
	require.NoError(t, err)
	_, reasons := readExpected(t)
	require.Len(t, c.Stories, 64, "the corpus is not whole")
	known := 0
	for _, s := range c.Stories {
		if reasons[s.ID] != nil {
			known++
		}
		t.Run(s.ID, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { newPlay(t, c, s, reasons[s.ID]).run() })
		})
	}
	require.Len(t, reasons, known)
}

// play is one story in progress.
type play struct {
	t        *testing.T
	corpus   *conformance.Corpus
	story    *conformance.Story
	reasons  [][]string // of each step that presents tokens
	verifier *verifier.Verifier
	revoked  *revokedSet
	stop     func()
	start    time.Time

	mu      sync.Mutex
	shift   time.Duration
	servers map[string]*fakeServer
	other   int
}

// fakeServer is a key server of a story.
type fakeServer struct {
	conformance.Server
	next, requests int
	read           int64 // bytes of bodies
}

// revokedSet is revokedIDs that can grow.
type revokedSet struct {
	mu  sync.Mutex
	ids revokedIDs
}

func (r *revokedSet) Revoked(t *verifier.Token) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ids.Revoked(t)
}

func (*revokedSet) Changed() <-chan struct{} { return nil }

func newPlay(t *testing.T, c *conformance.Corpus, s *conformance.Story, reasons [][]string) *play {
	p := &play{
		t: t, corpus: c, story: s, reasons: reasons, servers: map[string]*fakeServer{}, revoked: &revokedSet{ids: revokedIDs{}},
		start: time.Now(),
	}
	for name, server := range s.Servers {
		p.servers[name] = &fakeServer{Server: server}
	}
	trust := configOf(&s.Policy, s.ID).trust()
	refresh := time.Duration(s.Refresh) * time.Second
	if refresh == 0 {
		refresh = time.Hour
	}
	cache, err := jwks.New(authoritiesOf(trust), jwks.Config{
		HTTPClient: &http.Client{Transport: roundTripper(p.roundTrip)}, RefreshInterval: refresh, MaxStale: 7 * 24 * time.Hour,
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	p.stop = func() {
		cancel()
		time.Sleep(10 * time.Second) // until the last requests have ended
	}
	if slices.Contains(needsRun, s.ID) || s.Refresh > 0 {
		go func() { _ = cache.Run(ctx) }()
	}
	p.verifier, err = verifier.New(trust, cache, verifier.Config{Revocation: p.revoked, Leeway: -1}.At(p.now))
	require.NoError(t, err)
	return p
}

func (p *play) now() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Now().Add(p.shift)
}

var errRefused = errors.New("connection refused")

// answer takes the next answer of a server.
func (p *play) answer(name string) (conformance.Answer, *fakeServer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.servers[name]
	if s == nil {
		p.other++
		return conformance.Answer{Refuse: true}, nil
	}
	s.requests++
	a := s.Answers[s.next]
	switch {
	case s.next+1 < len(s.Answers):
		s.next++
	case s.Cycle:
		s.next = 0
	}
	return a, s
}

// roundTrip answers for keys.example/{server}, and counts what reaches any other place.
func (p *play) roundTrip(r *http.Request) (*http.Response, error) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	if name == "elsewhere.json" || name == "jwks.json" {
		name = "us" // the only server, which has redirected
	}
	if r.URL.Host != "keys.example" {
		name = "other"
	}
	a, server := p.answer(name)
	if a.Refuse {
		return nil, errRefused
	}
	if a.Hang {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	time.Sleep(time.Duration(a.Delay * float64(time.Second)))
	resp := &http.Response{StatusCode: a.Status, Header: http.Header{}, ContentLength: -1, Request: r}
	if resp.StatusCode == 0 {
		resp.StatusCode = http.StatusOK
	}
	for k, v := range a.Headers {
		resp.Header.Set(k, v)
	}
	if a.Redirect != "" {
		to := strings.NewReplacer("{self}", "https://keys.example", "{other}", "https://other.example").Replace(a.Redirect)
		resp.Header.Set("Location", to)
	}
	if a.If && r.Header.Get("If-None-Match") == a.Headers["ETag"] {
		resp.StatusCode, a = http.StatusNotModified, conformance.Answer{}
	}
	next, stop := iter.Pull(p.corpus.Body(&a))
	resp.Body = &body{
		play: p, server: server, next: next, stop: stop, drip: time.Duration(a.Drip * float64(time.Second)), done: r.Context().Done(),
	}
	return resp, nil
}

// body counts what is read of it.
type body struct {
	play   *play
	server *fakeServer
	next   func() ([]byte, bool)
	stop   func()
	rest   []byte
	drip   time.Duration
	done   <-chan struct{}
}

func (b *body) Read(buf []byte) (int, error) {
	if b.drip > 0 {
		buf = buf[:1]
		select {
		case <-time.After(b.drip):
		case <-b.done:
			return 0, context.DeadlineExceeded
		}
	}
	if len(b.rest) == 0 {
		var ok bool
		if b.rest, ok = b.next(); !ok {
			return 0, io.EOF
		}
	}
	n := copy(buf, b.rest)
	b.rest = b.rest[n:]
	b.play.mu.Lock()
	defer b.play.mu.Unlock()
	b.server.read += int64(n)
	return n, nil
}

func (b *body) Close() error {
	b.stop()
	return nil
}

func (p *play) run() {
	defer p.stop()
	var background sync.WaitGroup
	defer background.Wait()
	defer func() { require.Zero(p.t, p.other, "nothing else is asked") }()
	presented := 0
	for i, s := range p.story.Steps {
		switch {
		case s.Present != nil:
			var reasons []string
			if presented < len(p.reasons) {
				reasons = p.reasons[presented]
			}
			presented++
			if s.Present.Background {
				background.Go(func() { p.present(i, s.Present, reasons) })
				synctest.Wait()
				continue
			}
			p.present(i, s.Present, reasons)
		case s.Wait > 0:
			time.Sleep(time.Duration(s.Wait * float64(time.Second)))
			synctest.Wait()
		case s.TurnBack > 0:
			p.mu.Lock()
			p.shift -= time.Duration(s.TurnBack) * time.Second
			p.mu.Unlock()
		case s.Serve != nil:
			p.mu.Lock()
			server := p.servers[s.Serve.Server]
			server.Server, server.next = s.Serve.What, 0
			p.mu.Unlock()
		case s.Revoke != "":
			p.revoked.mu.Lock()
			p.revoked.ids[s.Revoke] = true
			p.revoked.mu.Unlock()
		case s.Requests != nil:
			synctest.Wait()
			p.count(i, s.Requests)
		default:
			require.NotEmpty(p.t, s.Silence) // there are no connections in virtual time
		}
	}
}

func (p *play) count(i int, want *conformance.Requests) {
	p.mu.Lock()
	defer p.mu.Unlock()
	requests, read := p.other, int64(0)
	if s := p.servers[want.Server]; s != nil {
		requests, read = s.requests, s.read
	}
	require.GreaterOrEqual(p.t, requests, want.Min, "step %d: requests", i)
	most := want.Max + int(want.Rate*time.Since(p.start).Seconds())
	require.LessOrEqual(p.t, requests, most, "step %d: requests", i)
	if want.MaxMB > 0 {
		require.Less(p.t, float64(read), want.MaxMB*(1<<20), "step %d: bytes read", i)
	}
}

func (p *play) present(i int, s *conformance.Present, reasons []string) {
	raws, err := p.corpus.Tokens(p.story, s, p.now())
	require.NoError(p.t, err)
	began := time.Now()
	var wg sync.WaitGroup
	for _, raw := range raws {
		for range max(1, s.Parallel) {
			if s.Parallel == 0 {
				p.one(i, s, raw, reasons)
				continue
			}
			wg.Go(func() { p.one(i, s, raw, reasons) })
		}
	}
	wg.Wait()
	if s.Within > 0 {
		require.LessOrEqual(p.t, time.Since(began), time.Duration(s.Within*float64(time.Second)), "step %d: waited", i)
	}
}

// one presents one token, again and again where the answer may come late.
func (p *play) one(i int, s *conformance.Present, raw string, reasons []string) {
	const every = 100 * time.Millisecond
	right := append([]string{s.Expect}, s.Also...)
	for began := time.Now(); ; time.Sleep(every) {
		_, err := p.verifier.Verify(p.t.Context(), raw)
		reason, got := reasonOf(p.t, err), conformance.Accept
		switch {
		case errors.Is(err, verifier.ErrUnavailable), errors.Is(err, verifier.ErrRateLimited):
			got = conformance.Unavailable
		case err != nil:
			got = conformance.Invalid
		}
		if !slices.Contains(right, got) && time.Since(began).Seconds() < s.Until {
			continue
		}
		require.Contains(p.t, right, got, "step %d: %s", i, reason)
		if len(reasons) > 0 { // what this library does where the corpus leaves it open
			require.Contains(p.t, reasons, reason, "step %d", i)
		}
		return
	}
}
