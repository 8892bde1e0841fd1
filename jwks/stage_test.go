package jwks_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

const (
	east = "us-east-1"
	west = "us-west-2"
)

// stage is where a row of the failure table is played: in a bubble and in memory, or over real sockets, where a jump of both
// clocks stands for the time that passes.
type stage struct {
	*fakeissuer.Server
	t        *testing.T
	sockets  bool
	dress    costume // what stands between the parts
	provider issuer.Provider
	store    store.Trusted
	cache    *jwks.Cache
	verifier judging

	base       time.Time
	mono, wall atomic.Int64 // that the clocks are ahead by

	mu    sync.Mutex
	hosts map[string]http.Handler // in memory, beside those of the Server
}

// judging is a verifier as the adapters see it.
type judging interface {
	Verify(ctx context.Context, raw string) (*verifier.Token, error)
	Recheck(ctx context.Context, t *verifier.Token) error
	Changed() <-chan struct{}
}

func newStage(t *testing.T, layout fakeissuer.Layout, sockets bool, dress costume) *stage {
	s := &stage{t: t, sockets: sockets, dress: dress, base: time.Now().Add(-time.Nanosecond), hosts: map[string]http.Handler{}}
	s.store = dress.store(new(memory))
	s.scene(layout)
	return s
}

// scene puts another fake provider on the stage.
func (s *stage) scene(layout fakeissuer.Layout) {
	s.Server = fakeissuer.New(s.t, fakeissuer.Config{Layout: layout, Algorithm: "ES256", Mode: issuer.CognitoAny})
	if s.sockets {
		s.Serve()
	}
	s.provider = s.Provider()
}

// start starts a process: a cache and a verifier.
func (s *stage) start() {
	s.t.Helper()
	c := jwks.Config{Snapshots: s.store}
	if !s.sockets {
		c.HTTPClient = &http.Client{Transport: s}
	}
	var err error
	s.cache, err = jwks.NewWithClock([]issuer.Provider{s.provider}, c, s.read, func() float64 { return 0.5 })
	require.NoError(s.t, err)
	trust := verifier.Policy{
		Provider: s.provider, Audience: verifier.Audience(fakeissuer.Audience), RegionPolicy: anyRegion,
	}
	if strings.HasSuffix(s.provider.ID, "_Testing01") {
		trust.Audience, trust.Algorithms = verifier.CognitoAccess(fakeissuer.ClientID), []string{"ES256"}
	}
	v, err := verifier.New([]verifier.Policy{trust}, s.dress.source(s.cache), verifier.Config{Revocation: s.dress.revoker(noRules{})})
	require.NoError(s.t, err)
	s.verifier = s.dress.verifier(v)
	if !s.sockets {
		time.Sleep(time.Second)
	}
}

// anyRegion accepts all regions.
func anyRegion(string, []string, time.Time) error { return nil }

// noRules revokes nothing.
type noRules struct{}

func (noRules) Revoked(*verifier.Token) (string, error) { return "", nil }
func (noRules) Changed() <-chan struct{}                { return nil }

func (s *stage) read() (mono, wall int64) {
	now := time.Now()
	return int64(now.Sub(s.base)) + s.mono.Load(), now.UnixNano() + s.wall.Load()
}

// elapsed is the time that has passed by the monotonic clock.
func (s *stage) elapsed() time.Duration {
	mono, _ := s.read()
	return time.Duration(mono)
}

// host returns the base of URLs that h answers.
func (s *stage) host(name string, h http.HandlerFunc) string {
	if s.sockets {
		server := httptest.NewServer(h)
		s.t.Cleanup(server.Close)
		return server.URL
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hosts[name] = h
	return "https://" + name
}

// RoundTrip implements http.RoundTripper, in memory.
func (s *stage) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	h := s.hosts[r.URL.Host]
	s.mu.Unlock()
	if h == nil {
		return s.Client().Transport.RoundTrip(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

// pass lets time pass.
func (s *stage) pass(d time.Duration) {
	if s.sockets {
		s.mono.Add(int64(d))
		s.wall.Add(int64(d))
		return
	}
	time.Sleep(d)
	synctest.Wait()
}

// end waits until the last requests have ended.
func (s *stage) end() {
	s.Close()
	if !s.sockets {
		time.Sleep(10 * time.Second)
	}
}

func (s *stage) judge(raw string) error {
	s.t.Helper()
	_, err := s.verifier.Verify(s.t.Context(), raw)
	var e *verifier.Error
	if s.dress.forgets && errors.As(err, &e) {
		require.NotContains(s.t, ofKeys, e.Reason, "a source that forgets what is complete proves nothing")
	}
	return err
}

// ofKeys are the reasons for 401 that need a complete answer.
var ofKeys = []verifier.Reason{verifier.ReasonUnknownKey, verifier.ReasonBadSignature, verifier.ReasonKeyNotAllowed}

func (s *stage) verify(region string, c fakeissuer.Claims) error {
	s.t.Helper()
	return s.judge(s.Issue(region, c))
}

func (s *stage) accepts(region string) {
	s.t.Helper()
	require.NoError(s.t, s.verify(region, fakeissuer.Claims{}))
}

// says requires a refusal for that reason.
func (s *stage) says(want verifier.Reason, err error) {
	s.t.Helper()
	var e *verifier.Error
	require.ErrorAs(s.t, err, &e)
	if s.dress.forgets { // more of 503 and 429
		s.cannotTell(err)
		return
	}
	require.Equal(s.t, want, e.Reason)
}

// cannotTell requires 503 or 429, with the time after which to ask again.
func (s *stage) cannotTell(err error) {
	s.t.Helper()
	require.Contains(s.t, []error{verifier.ErrUnavailable, verifier.ErrRateLimited}, category(err), "%v", err)
	var e *verifier.Error
	require.ErrorAs(s.t, err, &e)
	require.GreaterOrEqual(s.t, e.RetryAfter, time.Second)
}

func category(err error) error {
	for _, c := range []error{verifier.ErrInvalid, verifier.ErrForbidden, verifier.ErrUnavailable, verifier.ErrRateLimited} {
		if errors.Is(err, c) {
			return c
		}
	}
	return err
}

// becomes waits until an event has had its effect, for at most a while.
func (s *stage) becomes(most time.Duration, f func() bool) {
	s.t.Helper()
	for began := s.elapsed(); s.elapsed()-began <= most; {
		if f() {
			return
		}
		if !s.sockets {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		wait, cancel := context.WithTimeout(s.t.Context(), 5*time.Millisecond)
		<-wait.Done()
		cancel()
		s.pass(100 * time.Millisecond)
	}
	s.t.Fatalf("it did not become so within %v: %+v, %d and %d requests", most, s.cache.Status(), s.Fetches(east), s.Fetches(west))
}

func unknownKid(n int) fakeissuer.Claims {
	return fakeissuer.Claims{Header: map[string]any{"kid": fmt.Sprintf("nobody-%d", n)}}
}

// published returns the keys that east publishes now.
func (s *stage) published(w *fakeissuer.Server) (keys []map[string]any) {
	s.t.Helper()
	client := w.Client()
	if s.sockets {
		client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	}
	for _, r := range w.Provider().Regions {
		if r.Name != east {
			continue
		}
		resp, err := client.Get(r.JWKSURLs[0])
		require.NoError(s.t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(s.t, err)
		require.NoError(s.t, resp.Body.Close())
		var set struct{ Keys []map[string]any }
		require.NoError(s.t, json.Unmarshal(body, &set))
		return set.Keys
	}
	s.t.Fatalf("no region %q", east)
	return nil
}

// set is a key set of these keys.
func set(keys ...map[string]any) []byte {
	doc, _ := json.Marshal(map[string]any{"keys": keys})
	return doc
}

// dying is a listener whose connections can die silently: those that are open then are not heard from again.
type dying struct {
	net.Listener
	mu    sync.Mutex
	conns []*deadConn
}

func (d *dying) Accept() (net.Conn, error) {
	c, err := d.Listener.Accept()
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	dead := &deadConn{Conn: c, dead: new(atomic.Bool), closed: make(chan struct{})}
	d.conns = append(d.conns, dead)
	return dead, nil
}

func (d *dying) die() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.conns {
		c.dead.Store(true)
	}
}
