package verifier_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

type reply struct {
	Status     int
	Headers    map[string]string
	Body       blob
	DelayMS    int `json:"delay_ms"`
	DripMS     int `json:"drip_ms"`
	Hang       bool
	RedirectTo string `json:"redirect_to"`
}

type step struct {
	Op         string
	Token      *blob
	Tokens     []blob
	Parallel   int
	Background bool
	Expect     string
	Reason     string
	ReasonAlso []string `json:"reason_also"`
	MaxMS      int      `json:"max_ms"`
	MaxAllocMB int64    `json:"max_alloc_mb"`
	Seconds    int
	Issuer     int
	Reply      reply
	JTI        string
	Min, Max   int
}

type scenario struct {
	Name    string
	Now     int64
	Issuers []struct {
		Iss, Region string
		Audience    []string
		Replies     []reply
	}
	Steps []step
}

// needsRun lists the scenarios in which a key that was withdrawn has to go without anyone asking for it.
var needsRun = []string{"jwks-cache/max-age-year-is-capped", "stateful/clock-back-keeps-cache-age"}

// cannotTell lists the scenarios in whose rejections no answer younger than MaxStale was a good one, so that their
// "unknown_key" means keys_unavailable.
func cannotTell(name string) bool {
	for _, prefix := range []string{
		"jwks-http/status-", "jwks-http/redirect-",
		"jwks-http/body-100mb", "jwks-http/slow-", "jwks-http/hang", "jwks-http/html-200", "jwks-cache/outage-",
	} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// expectations replaces what the corpus expects where this module has decided otherwise. A JSON key set that is labeled as HTML
// is used. An entry of the token's kid that cannot be read may be its key. Ed25519 and EdDSA are two names of one algorithm
// (RFC 9864).
var expectations = map[string]struct{ expect, reason string }{
	"jwks-http/content-type-html": {expect: "accept"},
	"jwks-http/okp-short-key":     {reason: "keys_unavailable"},
	"alg/ed25519-fully-specified": {expect: "accept"},
}

func TestScenarios(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/scenarios.json")
	require.NoError(t, err)
	var f struct{ Scenarios []scenario }
	require.NoError(t, json.Unmarshal(raw, &f))
	require.Len(t, f.Scenarios, 39, "the corpus is not whole")
	for _, s := range f.Scenarios {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { newPlay(t, s).run() })
		})
	}
}

// play is one scenario in progress.
type play struct {
	t        *testing.T
	scenario scenario
	verifier *verifier.Verifier
	revoked  *revokedSet
	stop     func()
	start    time.Time

	mu      sync.Mutex
	shift   time.Duration
	replies [][]reply
	fetches []int
	other   int
	read    atomic.Int64
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

func newPlay(t *testing.T, s scenario) *play {
	p := &play{t: t, scenario: s, start: time.Now(), fetches: make([]int, len(s.Issuers)), revoked: &revokedSet{ids: revokedIDs{}}}
	c := vectorConfig{
		TokenUse:   "access",
		Algorithms: []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"},
	}
	for i, iss := range s.Issuers {
		p.replies = append(p.replies, iss.Replies)
		c.Issuers = append(c.Issuers, vectorIssuer{Iss: iss.Iss, Region: iss.Region, Audience: iss.Audience, JWKS: string(rune('0' + i))})
	}
	trust := c.trust()
	cache, err := jwks.New(authoritiesOf(trust), jwks.Config{
		HTTPClient:      &http.Client{Transport: roundTripper(p.roundTrip)},
		RefreshInterval: time.Hour,
		MaxStale:        7 * 24 * time.Hour,
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	p.stop = func() {
		cancel()
		time.Sleep(10 * time.Second) // until the last requests have ended
	}
	if slices.Contains(needsRun, s.Name) {
		go func() { _ = cache.Run(ctx) }()
	}
	p.verifier, err = verifier.New(trust, cache, verifier.Config{Revocation: p.revoked, Leeway: -1}.At(p.now))
	require.NoError(t, err)
	return p
}

func (p *play) now() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Unix(p.scenario.Now, 0).Add(time.Since(p.start) + p.shift)
}

// roundTrip answers for keys.example/{issuer}, and counts what reaches any other place.
func (p *play) roundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != "keys.example" || len(r.URL.Path) != 2 {
		p.mu.Lock()
		p.other++
		p.mu.Unlock()
		return nil, io.ErrUnexpectedEOF
	}
	i := int(r.URL.Path[1] - '0')
	p.mu.Lock()
	p.fetches[i]++
	rep := p.replies[i][0]
	if len(p.replies[i]) > 1 {
		p.replies[i] = p.replies[i][1:]
	}
	p.mu.Unlock()
	if rep.Hang {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	time.Sleep(time.Duration(rep.DelayMS) * time.Millisecond)
	resp := &http.Response{StatusCode: rep.Status, Header: http.Header{}, ContentLength: -1, Request: r}
	if resp.StatusCode == 0 {
		resp.StatusCode = http.StatusOK
	}
	for k, v := range rep.Headers {
		resp.Header.Set(k, v)
	}
	if rep.RedirectTo != "" {
		to := strings.NewReplacer("{self}", "https://keys.example", "{other}", "https://other.example").Replace(rep.RedirectTo)
		resp.Header.Set("Location", to)
	}
	resp.Body = io.NopCloser(&body{play: p, blob: rep.Body, drip: time.Duration(rep.DripMS) * time.Millisecond, done: r.Context().Done()})
	return resp, nil
}

// body reads a blob piece by piece and counts what was read.
type body struct {
	play *play
	blob blob
	drip time.Duration
	done <-chan struct{}
	rest []byte
	part int
	n    int
}

func (b *body) Read(buf []byte) (int, error) {
	if len(b.rest) == 0 && !b.next() {
		return 0, io.EOF
	}
	if b.drip > 0 {
		buf = buf[:1]
		select {
		case <-time.After(b.drip):
		case <-b.done:
			return 0, context.DeadlineExceeded
		}
	}
	n := copy(buf, b.rest)
	b.rest = b.rest[n:]
	b.play.read.Add(int64(n))
	return n, nil
}

func (b *body) next() bool {
	if b.blob.Recipe == nil {
		b.part++
		b.rest = b.blob.bytes()
		return b.part == 1 && len(b.rest) > 0
	}
	for b.part < len(b.blob.Recipe) {
		r := b.blob.Recipe[b.part]
		if left := r.N - b.n; left > 0 {
			k := min(left, max(1, 4096/len(r.S)))
			b.rest = bytes.Repeat([]byte(r.S), k)
			b.n += k
			return true
		}
		b.part, b.n = b.part+1, 0
	}
	return false
}

func (p *play) run() {
	defer p.stop()
	var background sync.WaitGroup
	defer background.Wait()
	for i, s := range p.scenario.Steps {
		switch s.Op {
		case "verify":
			if s.Background {
				background.Go(func() { p.verify(i, s) })
				synctest.Wait()
				continue
			}
			p.verify(i, s)
		case "advance":
			if s.Seconds < 0 {
				p.mu.Lock()
				p.shift += time.Duration(s.Seconds) * time.Second
				p.mu.Unlock()
				continue
			}
			time.Sleep(time.Duration(s.Seconds) * time.Second)
			synctest.Wait()
		case "serve":
			p.mu.Lock()
			p.replies[s.Issuer] = []reply{s.Reply}
			p.mu.Unlock()
		case "revoke":
			p.revoked.mu.Lock()
			p.revoked.ids[s.JTI] = true
			p.revoked.mu.Unlock()
		case "fetches":
			synctest.Wait()
			p.mu.Lock()
			n := p.fetches[s.Issuer]
			p.mu.Unlock()
			require.GreaterOrEqual(p.t, n, s.Min, "step %d: fetches", i)
			most := s.Max
			if p.scenario.Name == "jwks-cache/outage-flood" { // while somebody waits, a server that fails is asked once a second
				most += int(time.Since(p.start) / time.Second)
			}
			require.LessOrEqual(p.t, n, most, "step %d: fetches", i)
		case "other_hits":
			p.mu.Lock()
			n := p.other
			p.mu.Unlock()
			require.LessOrEqual(p.t, n, s.Max, "step %d: requests that reached another place", i)
		default:
			p.t.Fatalf("step %d: unknown op %q", i, s.Op)
		}
	}
}

func (p *play) verify(i int, s step) {
	tokens := s.Tokens
	if s.Token != nil {
		tokens = []blob{*s.Token}
	}
	require.NotEmpty(p.t, tokens, "step %d", i)
	began := time.Now()
	var wg sync.WaitGroup
	for _, tok := range tokens {
		raw := string(tok.bytes())
		for range max(1, s.Parallel) {
			if s.Parallel == 0 {
				p.verifyOne(i, s, raw)
				continue
			}
			wg.Go(func() { p.verifyOne(i, s, raw) })
		}
	}
	wg.Wait()
	if s.MaxMS > 0 {
		require.LessOrEqual(p.t, time.Since(began), time.Duration(s.MaxMS)*time.Millisecond, "step %d: waited", i)
	}
	if s.MaxAllocMB > 0 { // what is never read is never kept
		require.Less(p.t, p.read.Load(), s.MaxAllocMB<<20, "step %d: bytes read", i)
	}
}

func (p *play) verifyOne(i int, s step, raw string) {
	_, err := p.verifier.Verify(p.t.Context(), raw)
	reason, instead := reasonOf(p.t, err), expectations[p.scenario.Name]
	if s.Expect == "accept" || instead.expect == "accept" {
		require.Empty(p.t, reason, "step %d", i)
		return
	}
	want := append([]string{s.Reason}, s.ReasonAlso...)
	switch {
	case instead.reason != "":
		want = []string{instead.reason}
	case slices.Contains(want, "unknown_key") && cannotTell(p.scenario.Name):
		want = []string{"keys_unavailable"}
	case slices.Contains(want, "unknown_key") && len(s.Tokens) > 1: // a flood
		want = append(want, "unknown_key_rate_limited")
	}
	require.Contains(p.t, want, reason, "step %d", i)
}
