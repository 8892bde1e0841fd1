package jwks_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// stage is where a row of the failure table is played: in a bubble and in memory, or over real sockets, where a jump of the
// wall clock stands for the time that passes.
type stage struct {
	*issuertest.World
	*clocks
	t        *testing.T
	sockets  bool
	store    store.Store
	cache    *jwks.Cache
	verifier *verifier.Verifier
}

// start starts a process: a cache and a verifier.
func (s *stage) start() {
	s.t.Helper()
	c := jwks.Config{Authorities: authorities(s.World), Store: s.store}
	if !s.sockets {
		c.Client = s.Client()
	}
	var err error
	s.cache, err = jwks.NewWithClock(c, s.read)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = s.cache.Close() })
	a := s.Authority()
	trust := verifier.Trust{Authority: a, Binding: verifier.Audience(issuertest.Audience)}
	if strings.HasPrefix(a.Regions[0].Issuers[0], "https://cognito-idp.") {
		trust.Binding, trust.Algorithms = verifier.CognitoAccess(issuertest.ClientID), []string{"ES256"}
	}
	s.verifier, err = verifier.New(verifier.Config{Keys: s.cache, Trust: []verifier.Trust{trust}})
	require.NoError(s.t, err)
}

// pass lets time pass.
func (s *stage) pass(d time.Duration) {
	if s.sockets {
		s.wall.Add(int64(d))
		return
	}
	time.Sleep(d)
	synctest.Wait()
}

func (s *stage) verify(region string, c issuertest.Claims) error {
	_, err := s.verifier.Verify(s.t.Context(), s.Token(region, c))
	return err
}

func (s *stage) accepts(region string) {
	s.t.Helper()
	require.NoError(s.t, s.verify(region, issuertest.Claims{}))
}

func (s *stage) says(want verifier.Reason, err error) {
	s.t.Helper()
	var e *verifier.Error
	require.ErrorAs(s.t, err, &e)
	require.Equal(s.t, want.String(), e.Reason.String())
}

// becomes waits until an event has had its effect: a fetch in the background.
func (s *stage) becomes(f func() bool) {
	s.t.Helper()
	for range 1000 {
		if f() {
			return
		}
		if s.sockets {
			wait, cancel := context.WithTimeout(s.t.Context(), 5*time.Millisecond)
			<-wait.Done()
			cancel()
			s.wall.Add(int64(100 * time.Millisecond))
			continue
		}
		time.Sleep(100 * time.Millisecond)
	}
	s.t.Fatal("it did not become so")
}

func unknownKid(n int) issuertest.Claims {
	return issuertest.Claims{Header: map[string]any{"kid": fmt.Sprintf("nobody-%d", n)}}
}

// row is one event of the failure table.
type row struct {
	event  string // as the README has it
	layout issuertest.Layout
	play   func(*stage)
}

var rows = []row{
	{
		"a region's key server refuses, hangs, answers 5xx, 429, garbage, `{}`, `{\"keys\":[]}`, 50 MB, or redirects",
		issuertest.IssuerPerRegion, func(s *stage) {
			s.start()
			s.accepts(east)
			for _, spoil := range faults {
				spoil(s.World, east)
				for range 4 {
					s.pass(20 * time.Minute)
					s.accepts(east)
					s.accepts(west)
				}
			}
		},
	},
	{"every mirror of a key set is dark", issuertest.OneIssuerMirrored, func(s *stage) {
		s.start()
		s.accepts(east)
		s.Break(east)
		s.Hang(west)
		s.pass(23 * time.Hour)
		s.accepts(east)
		s.pass(2 * time.Hour)
		s.says(verifier.KeysUnavailable, s.verify(east, issuertest.Claims{}))
	}},
	{"start while one region is dark", issuertest.IssuerPerRegion, func(s *stage) {
		s.Hang(east)
		s.start()
		s.accepts(west)
		s.says(verifier.KeysUnavailable, s.verify(east, issuertest.Claims{}))
		s.Mend(east)
		s.becomes(func() bool { return s.verify(east, issuertest.Claims{}) == nil })
	}},
	{"start while all is dark, with a snapshot younger than 24 h (`Store`)", issuertest.IssuerPerRegion, func(s *stage) {
		s.start()
		s.accepts(east)
		require.NoError(s.t, s.cache.Close()) // the snapshot is saved by then
		s.Break(east)
		s.pass(10 * time.Hour)
		s.start()
		s.accepts(east)
		require.GreaterOrEqual(s.t, s.cache.Status()[0].Age, 10*time.Hour)
	}},
	{"start while all is dark, without one", issuertest.IssuerPerRegion, func(s *stage) {
		s.Break(east)
		s.start()
		err := s.verify(east, issuertest.Claims{})
		s.says(verifier.KeysUnavailable, err)
		var e *verifier.Error
		require.ErrorAs(s.t, err, &e)
		require.GreaterOrEqual(s.t, e.RetryAfter, time.Second)
		s.Mend(east)
		s.pass(1200 * time.Millisecond)
		s.accepts(east)
	}},
	{"a URL that never answered well says 403 or 404, and a sibling works", issuertest.Cognito, func(s *stage) {
		s.Status(west, http.StatusNotFound, nil) // the replica's own host; its mirror is the primary's
		s.start()
		s.accepts(west)
		s.says(verifier.UnknownKey, s.verify(west, unknownKid(0)))
		asked := s.Fetches(west)
		for range 10 {
			s.pass(time.Minute)
			s.accepts(west)
		}
		require.LessOrEqual(s.t, s.Fetches(west), asked+1, "it is asked again once an hour")
		asked = s.Fetches(west)
		for n := range 10 {
			s.says(verifier.UnknownKey, s.verify(west, unknownKid(n)))
		}
		require.LessOrEqual(s.t, s.Fetches(west), asked+6, "and for unknown keys, within their bucket")
		s.Mend(west)
		s.Rotate(west)
		s.pass(11 * time.Second)
		s.accepts(west) // it is enabled, and alone has the new key
	}},
	{"a key is rotated in", issuertest.OneIssuer, func(s *stage) {
		s.start()
		s.accepts(east)
		s.accepts(west)
		s.pass(time.Minute)
		s.becomes(func() bool { return s.verify(west, issuertest.Claims{}) == nil })
		s.Rotate(west)
		before := s.Fetches(west)
		s.accepts(west)
		s.accepts(west)
		require.LessOrEqual(s.t, s.Fetches(west), before+2, "one for the token, one may be a refresh")
	}},
	{"a key is withdrawn", issuertest.IssuerPerRegion, func(s *stage) {
		s.start()
		old := s.Token(east, issuertest.Claims{})
		verify := func() error { _, err := s.verifier.Verify(s.t.Context(), old); return err }
		require.NoError(s.t, verify())
		s.Rotate(east)
		s.Withdraw(east)
		s.accepts(east) // the first answer without it
		require.NoError(s.t, verify(), "one answer is not enough")
		s.pass(2 * time.Minute)
		s.becomes(func() bool { return verify() != nil })
		s.says(verifier.UnknownKey, verify())
		s.accepts(east)
	}},
	{"10,000 tokens with random key IDs", issuertest.IssuerPerRegion, func(s *stage) {
		s.start()
		s.accepts(east)
		before, began := s.Fetches(east), s.wallNow()
		for n := range 10_000 {
			require.Error(s.t, s.verify(east, unknownKid(n)))
		}
		s.Rotate(east)
		s.becomes(func() bool { return s.verify(east, issuertest.Claims{}) == nil })
		budget := 5 + int((s.wallNow()-began)/(10*time.Second)) + 2
		require.LessOrEqual(s.t, s.Fetches(east)-before, budget)
	}},
	{"unknown key ID", issuertest.OneIssuer, func(s *stage) {
		s.start()
		s.accepts(east)
		s.accepts(west)
		s.says(verifier.UnknownKey, s.verify(east, unknownKid(1)))
		s.Break(west)
		s.pass(time.Minute)
		s.says(verifier.KeysUnavailable, s.verify(east, unknownKid(2)))
	}},
	{"a key set with one odd key", issuertest.IssuerPerRegion, func(s *stage) {
		doc := s.publishedBy(east)
		s.Corrupt(east, []byte(strings.Replace(doc, `{"keys":[`, `{"keys":[{"kty":"RSA","kid":"odd","n":"","e":"AQAB"},`, 1)))
		s.start()
		s.accepts(east)
		require.Equal(s.t, []jwks.Skipped{{Index: 0, Why: "malformed_key"}}, s.cache.Status()[0].Skipped)
	}},
	{"a caller gives up", issuertest.IssuerPerRegion, func(s *stage) {
		s.Slow(east, 200*time.Millisecond)
		s.start()
		ctx, cancel := context.WithTimeout(s.t.Context(), 50*time.Millisecond)
		defer cancel()
		patient := make(chan error, 1)
		token := s.Token(east, issuertest.Claims{})
		go func() { _, err := s.verifier.Verify(context.WithoutCancel(ctx), token); patient <- err }()
		_, err := s.verifier.Verify(ctx, token)
		require.ErrorIs(s.t, err, verifier.ErrUnavailable)
		require.NoError(s.t, <-patient)
		require.Equal(s.t, 1, s.Fetches(east))
	}},
	{"the clock jumps, a process is frozen and thawed", issuertest.IssuerPerRegion, func(s *stage) {
		s.start()
		s.accepts(east)
		s.wall.Add(int64(10 * time.Hour)) // frozen: only the wall clock went on
		s.becomes(func() bool {           // asked again, as the first fetch may not have ended when its key was already used
			s.accepts(east)
			return s.Fetches(east) == 2
		})
		s.wall.Add(-int64(48 * time.Hour))
		s.accepts(east)
		for _, st := range s.cache.Status()[:1] {
			require.GreaterOrEqual(s.t, st.Age, time.Duration(0))
			require.Equal(s.t, jwks.Fresh, st.Freshness)
		}
	}},
}

func (s *stage) wallNow() time.Duration {
	_, wall := s.read()
	return time.Duration(wall)
}

// publishedBy is the key set that a region publishes now.
func (s *stage) publishedBy(region string) string {
	s.t.Helper()
	client := s.Client()
	if s.sockets {
		client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	}
	for _, r := range s.Authority().Regions {
		if r.Name == region {
			resp, err := client.Get(r.JWKS[0])
			require.NoError(s.t, err)
			defer func() { _ = resp.Body.Close() }()
			b, err := io.ReadAll(resp.Body)
			require.NoError(s.t, err)
			return string(b)
		}
	}
	return ""
}

func TestFailureTable(t *testing.T) {
	t.Parallel()
	for _, r := range rows {
		t.Run(r.event, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := issuertest.New(t, issuertest.Config{Layout: r.layout, Algorithm: "ES256", Issuer: issuer.AnyIssuer})
				r.play(&stage{World: w, clocks: &clocks{base: time.Now()}, t: t, store: new(shelf)})
			})
		})
	}
}

func TestFailureTableOverSockets(t *testing.T) {
	t.Parallel()
	for _, r := range rows {
		t.Run(r.event, func(t *testing.T) {
			t.Parallel()
			w := issuertest.New(t, issuertest.Config{Layout: r.layout, Algorithm: "ES256", Issuer: issuer.AnyIssuer})
			w.Serve()
			r.play(&stage{World: w, clocks: &clocks{base: time.Now()}, t: t, sockets: true, store: store.Dir(t.TempDir() + "/s")})
		})
	}
}

// The rows are those of the README, one test each.
func TestFailureTableIsTheREADMEs(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	_, after, ok := strings.Cut(string(readme), "| event | what callers see |\n|---|---|\n")
	require.True(t, ok)
	table, _, _ := strings.Cut(after, "\n\n")
	var events []string
	for line := range strings.SplitSeq(strings.TrimSpace(table), "\n") {
		events = append(events, strings.TrimSpace(strings.Split(line, " | ")[0][2:]))
	}
	var played []string
	for _, r := range rows {
		played = append(played, r.event)
	}
	require.Equal(t, events, played)
}
