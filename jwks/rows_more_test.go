package jwks_test

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// mortal serves over connections that can die silently, and returns the URL.
func (s *stage) mortal(h http.HandlerFunc) (*dying, string) {
	l, err := new(net.ListenConfig).Listen(s.t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(s.t, err)
	d := &dying{Listener: l}
	server := &httptest.Server{Listener: d, Config: &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}}
	server.Start()
	s.t.Cleanup(func() { _ = server.Config.Close() })
	return d, server.URL + "/keys"
}

func answersDiffer(s *stage) {
	var n atomic.Int64
	url := s.host("flapping.example", func(w http.ResponseWriter, _ *http.Request) {
		keys := s.published(s.Server)
		switch n.Add(1) % 4 {
		case 1: // one backend that misses the newest key; the others answer with the tag of its answer
			keys = keys[:len(keys)-1]
		case 3:
			w.Header().Set("Age", "1200") // an old copy
		}
		w.Header().Set("ETag", `"shared"`)
		_, _ = w.Write(set(keys...))
	})
	s.provider.Regions[0].JWKSURLs = []string{url + "/keys"}
	s.Rotate(east)
	s.start()
	s.becomes(time.Minute, func() bool { return s.verify(east, fakeissuer.Claims{}) == nil })
	raw := s.Issue(east, fakeissuer.Claims{ExpiresIn: 48 * time.Hour})
	for i := range 60 {
		s.pass(time.Minute)
		require.NoError(s.t, s.judge(raw))
		if i%5 == 0 {
			_ = s.judge(s.Issue(east, unknownKid(i))) // another answer
		}
	}
}

func unusableKeys(s *stage) {
	unreadable := s.Issue(east, fakeissuer.Claims{})
	s.Rotate(east)
	forbidden := s.Issue(east, fakeissuer.Claims{})
	s.Rotate(east)
	keys := s.published(s.Server)
	keys[0]["x"] = "AA"
	keys[1]["d"] = keys[1]["x"] // its private half is public
	unknown := map[string]any{"kty": "future", "kid": "odd"}
	s.Corrupt(east, set(unknown, keys[0], keys[1], keys[2]))
	s.start()
	s.accepts(east)
	s.cannotTell(s.judge(unreadable))
	s.says(verifier.ReasonKeyNotAllowed, s.judge(forbidden))
	skipped := strings.Join(s.cache.Status()[0].Skipped, " ")
	for _, k := range []map[string]any{unknown, keys[0], keys[1]} {
		require.Contains(s.t, skipped, k["kid"])
	}
}

func severalKeysOfOneKeyID(s *stage) {
	kid := s.KeyID(east)
	header := map[string]any{"kid": kid}
	twin := fakeissuer.New(s.t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256"})
	other := fakeissuer.New(s.t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "EdDSA"})
	foreign := fakeissuer.New(s.t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256"})
	keys := s.published(s.Server)
	for _, w := range []*fakeissuer.Server{twin, other} {
		doc := &stage{t: s.t, Server: w}
		k := maps.Clone(doc.published(w)[0])
		k["kid"] = kid
		keys = append(keys, k)
	}
	s.Corrupt(east, set(keys...))
	s.start()
	for range 3 {
		s.accepts(east)
		require.NoError(s.t, s.verify(east, fakeissuer.Claims{Signer: twin, Header: header}))
		require.NoError(s.t, s.verify(east, fakeissuer.Claims{Signer: other, Header: header}))
		s.says(verifier.ReasonBadSignature, s.verify(east, fakeissuer.Claims{Signer: foreign, Header: header}))
		s.pass(20 * time.Minute)
	}
}

func keySetMoves(s *stage) {
	var base string
	var moved atomic.Bool
	var before, after []byte
	base = s.host("moving.example", func(w http.ResponseWriter, r *http.Request) {
		now := base + "/before"
		if moved.Load() {
			now = base + "/after"
		}
		switch {
		case strings.HasPrefix(r.URL.Path, "/.well-known/"):
			_, _ = w.Write([]byte(`{"issuer":"` + base + `","jwks_uri":"` + now + `"}`))
		case r.URL.Path == "/before":
			_, _ = w.Write(before)
		default:
			_, _ = w.Write(after)
		}
	})
	before = set(s.published(s.Server)...)
	region := &s.provider.Regions[0]
	region.Issuers, region.JWKSURLs = []string{base}, nil
	s.start()
	claims := fakeissuer.Claims{Issuer: base}
	require.NoError(s.t, s.verify(east, claims))
	s.Rotate(east)
	after = set(s.published(s.Server)...)
	moved.Store(true)
	s.pass(2 * time.Minute)
	require.NoError(s.t, s.verify(east, claims), "its first token finds it")
}

func floodOfKeyIDs(s *stage) {
	s.start()
	s.accepts(east)
	n := 10_000
	if s.sockets {
		n = 1000
	}
	before, began := s.Fetches(east), s.elapsed()
	answers := make(chan error, n)
	for i := range n {
		raw := s.Issue(east, unknownKid(i))
		go func() { _, err := s.verifier.Verify(s.t.Context(), raw); answers <- err }()
	}
	for range n {
		require.Contains(s.t, []error{verifier.ErrInvalid, verifier.ErrRateLimited, verifier.ErrUnavailable}, category(<-answers))
	}
	s.Rotate(east)
	s.becomes(3*time.Second, func() bool { return s.verify(east, fakeissuer.Claims{}) == nil })
	require.LessOrEqual(s.t, s.Fetches(east)-before, 5+int((s.elapsed()-began)/time.Second)+2)
}

func unknownKeyID(s *stage) {
	s.start()
	s.accepts(east)
	s.accepts(west)
	s.says(verifier.ReasonUnknownKey, s.verify(east, unknownKid(1)))
	s.Break(west)
	s.pass(time.Minute)
	s.says(verifier.ReasonKeysUnavailable, s.verify(east, unknownKid(2)))
}

func callerGivesUp(s *stage) {
	s.Slow(east, 200*time.Millisecond)
	s.start()
	ctx, cancel := context.WithTimeout(s.t.Context(), 50*time.Millisecond)
	defer cancel()
	patient := make(chan error, 1)
	raw := s.Issue(east, fakeissuer.Claims{})
	go func() { _, err := s.verifier.Verify(context.WithoutCancel(ctx), raw); patient <- err }()
	_, err := s.verifier.Verify(ctx, raw)
	require.ErrorIs(s.t, err, verifier.ErrUnavailable)
	if !s.dress.forgets {
		require.ErrorIs(s.t, err, context.DeadlineExceeded)
	}
	require.NoError(s.t, <-patient)
	most := 1
	if s.sockets {
		most = 2 // on a busy machine an answer takes a second, after which the request is repeated on another connection
	}
	require.LessOrEqual(s.t, s.Fetches(east), most)
}

func clockJumps(s *stage) {
	s.start()
	s.accepts(east)
	s.pass(time.Second)
	var before time.Time
	ended := func() bool { // a round later than before; while one is under way, the next one is put off by seconds
		st := s.cache.Status()[0]
		return st.LastSuccess.After(before) && jwks.NextRefresh(s.cache, 0).After(st.LastSuccess.Add(time.Minute))
	}
	s.becomes(time.Minute, ended)
	before = s.cache.Status()[0].LastSuccess
	s.wall.Add(int64(10 * time.Hour)) // frozen: only the wall clock went on
	s.accepts(east)
	s.becomes(time.Minute, ended)
	require.Equal(s.t, 2, s.Fetches(east))
	s.wall.Add(-int64(48 * time.Hour))
	s.accepts(east)
	require.False(s.t, slices.ContainsFunc(s.cache.Status(), func(st jwks.Status) bool { return st.Region == east && st.State != "fresh" }))
	token, err := s.verifier.Verify(s.t.Context(), s.Issue(east, fakeissuer.Claims{}))
	require.NoError(s.t, err)
	require.GreaterOrEqual(s.t, token.Key().Age(), time.Duration(0))
	s.wall.Add(int64(100 * time.Hour)) // frozen for longer than MaxStale, and no server answers
	s.Break(east)
	err = s.verify(east, fakeissuer.Claims{})
	require.False(s.t, err == nil || errors.Is(err, verifier.ErrInvalid))
}
