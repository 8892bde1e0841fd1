package jwks_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
)

// otherSet is a key set of one key that nobody signs with.
const otherSet = `{"keys":[{"kty":"EC","crv":"P-256","kid":"new","alg":"ES256",` +
	`"x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}`

// run runs the cache until stop is called.
func (w world) run() (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = w.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// spy keeps what the hooks are told, and answers some requests itself.
type spy struct {
	inner   http.RoundTripper
	mu      sync.Mutex
	answers map[string]string // by a part of the URL
	fetched []jwks.Fetched
	changed []jwks.KeysChanged
	drifted []jwks.Drift
}

func (s *spy) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for part, body := range s.answers {
		if strings.Contains(r.URL.String(), part) {
			return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader([]byte(body))), Request: r}, nil
		}
	}
	return s.inner.RoundTrip(r)
}

func (s *spy) answer(part, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[part] = body
}

func (s *spy) watch(c *jwks.Config) {
	s.answers = map[string]string{}
	s.inner = c.Client.Transport
	c.Client = &http.Client{Transport: s}
	note := func(f func()) {
		s.mu.Lock()
		defer s.mu.Unlock()
		f()
	}
	c.Hooks = jwks.Hooks{
		Fetched: func(f jwks.Fetched) { note(func() { s.fetched = append(s.fetched, f) }) },
		Changed: func(k jwks.KeysChanged) { note(func() { s.changed = append(s.changed, k) }) },
		Drifted: func(d jwks.Drift) { note(func() { s.drifted = append(s.drifted, d) }) },
	}
}

// drifts returns what has drifted so far.
func (s *spy) drifts() []jwks.Drift {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.drifted)
}

// evidence lists what the fetches say of the regions, since the last call.
func (s *spy) evidence(authority string) map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	well := map[string]bool{}
	for _, f := range s.fetched {
		region, ok := f.Evidence(authority)
		if ok {
			well[region] = f.Err == nil
		}
		if ok && f.Err != nil && f.Err.Status == http.StatusForbidden {
			well["evidence of a mirror that is not enabled"] = true
		}
	}
	s.fetched = nil
	return well
}

// The hooks tell which region a fetch is evidence on, though mirrors are shared and one of them is not enabled.
func TestHooksOfAUserPool(t *testing.T) {
	s := &spy{}
	config := issuertest.Config{Layout: issuertest.Cognito, Issuer: issuer.Original}
	inBubble(t, config, func(c *jwks.Config) {
		pool, err := issuer.Cognito(issuer.UserPool{ID: c.Authorities[0].ID, Replicas: []string{west}}) // AnyIssuer
		require.NoError(t, err)
		c.Authorities = []issuer.Authority{pool}
		s.watch(c)
	}, func(t *testing.T, w world) {
		defer w.run()()
		time.Sleep(30 * time.Minute)
		id := w.Authority().ID
		require.Equal(t, map[string]bool{east: true, west: true}, s.evidence(id))
		require.Empty(t, s.evidence("another"))
		s.mu.Lock()
		require.Len(t, s.changed, 2)
		require.Equal(t, s.changed[0].Keys, s.changed[0].Added)
		require.NotEmpty(t, s.changed[0].Uses)
		s.mu.Unlock()
		st := w.Cache.Status()[0]
		require.True(t, st.Mirrors[0].NotEnabled, "the UPDATED host says 403")
		require.False(t, st.Mirrors[1].NotEnabled)
		require.Empty(t, s.drifts())

		w.Break(east)
		time.Sleep(time.Hour)
		require.Equal(t, map[string]bool{east: false, west: true}, s.evidence(id))
		w.Mend(east)
		time.Sleep(10 * time.Minute)
		require.True(t, s.evidence(id)[east])

		s.answer("issuer-cognito-idp", otherSet)
		time.Sleep(50 * time.Hour)
		kinds := map[jwks.DriftKind]int{}
		for _, d := range s.drifts() {
			require.Equal(t, d.Kind == jwks.MirrorEnabled, d.Keys == 0)
			require.False(t, d.Ended)
			kinds[d.Kind]++
		}
		require.Equal(t, 2, kinds[jwks.MirrorEnabled], "once for each set that it is a mirror of")
		require.Equal(t, 4, kinds[jwks.MirrorLacks], "each lacks what the other one has")
		require.Positive(t, w.Cache.Status()[0].Mirrors[0].Lacks)
		require.True(t, w.Cache.Status()[0].Mirrors[0].Answered)

		for _, r := range w.Cache.Status() {
			require.Equal(t, r.Region == east, slices.Contains(r.KeyIDs, "new"), "a mirror that was only inspected adds no keys")
		}

		s.evidence(id)
		w.Break(west)
		time.Sleep(time.Hour)
		require.Equal(t, map[string]bool{east: true, west: false}, s.evidence(id), "the primary's mirror says nothing of the replica")
	})
}

// Mirrors that list the same keys, in a rotation too, are no drift; one that lags for longer is, until it has caught up.
func TestMirrorsThatDiffer(t *testing.T) {
	s := &spy{}
	inBubble(t, issuertest.Config{Layout: issuertest.Cognito, Issuer: issuer.Updated}, s.watch, func(t *testing.T, w world) {
		defer w.run()()
		time.Sleep(48 * time.Hour)
		require.Empty(t, s.drifts())
		w.Break(west)
		time.Sleep(time.Hour) // its mirror in the other region is asked instead
		w.Mend(west)
		time.Sleep(time.Hour)
		w.Rotate(east) // found in the answer of one mirror; the other's last answer is older than the key
		w.mustHave(east)
		require.Empty(t, s.drifts())
		for range 4 {
			w.Rotate(east)
			w.mustHave(east)
			time.Sleep(25 * time.Hour)
		}
		require.Empty(t, s.drifts())
		s.answer("cognito-idp."+west, otherSet)
		time.Sleep(25 * time.Hour)
		require.NotEmpty(t, s.drifts())
		for _, d := range s.drifts() {
			require.Equal(t, jwks.MirrorLacks, d.Kind)
			require.False(t, d.Ended)
			require.Equal(t, west, d.Uses[0].Region)
			require.Positive(t, d.Keys)
		}
		began := len(s.drifts())
		s.mu.Lock()
		clear(s.answers)
		s.mu.Unlock()
		time.Sleep(25 * time.Hour)
		require.Len(t, s.drifts(), 2*began)
		require.True(t, s.drifts()[2*began-1].Ended)
		require.Zero(t, w.Cache.Status()[1].Mirrors[0].Lacks)
	})
}

// A mirror that hangs while it is inspected keeps nobody waiting who looks for a new key.
func TestInspectionKeepsNobodyWaiting(t *testing.T) {
	inBubble(t, issuertest.Config{Layout: issuertest.Cognito, Issuer: issuer.Original}, func(c *jwks.Config) {
		pool, err := issuer.Cognito(issuer.UserPool{ID: c.Authorities[0].ID, Replicas: []string{west}})
		require.NoError(t, err)
		c.Authorities = []issuer.Authority{pool}
	}, func(t *testing.T, w world) {
		defer w.run()()
		time.Sleep(time.Minute)
		w.Hang(east)
		for fetched := w.Fetches(west); w.Fetches(west) == fetched; {
			time.Sleep(50 * time.Millisecond)
		}
		w.Rotate(west)
		began := time.Now()
		w.mustHave(west)
		require.Less(t, time.Since(began), time.Second)
	})
}

// A failure is evidence that a region is lost if no answer came, or status 5xx without Retry-After, and nobody waited for it.
func TestEvidenceOfAFetch(t *testing.T) {
	t.Parallel()
	at := func(e *jwks.FetchError, demanded bool) bool {
		f := jwks.Fetched{Uses: []jwks.Use{{Authority: "a", Region: "r", Home: true}}, Err: e, Demanded: demanded}
		region, ok := f.Evidence("a")
		require.Equal(t, ok, region == "r")
		return ok
	}
	require.True(t, at(nil, false))
	require.True(t, at(nil, true))
	status := func(code int, retry time.Duration) *jwks.FetchError {
		return &jwks.FetchError{Class: jwks.ClassStatus, Status: code, RetryAfter: retry}
	}
	class := func(c jwks.Class) *jwks.FetchError { return &jwks.FetchError{Class: c} }
	for _, lost := range []*jwks.FetchError{
		class(jwks.ClassDNS), class(jwks.ClassTLS), class(jwks.ClassTimeout), class(jwks.ClassNetwork), status(500, 0), status(503, 0),
	} {
		require.True(t, at(lost, false), "%v", lost)
		require.False(t, at(lost, true), "tokens caused it: %v", lost)
	}
	for _, answered := range []*jwks.FetchError{
		status(302, 0), status(400, 0), status(403, 0), status(404, 0), status(408, 0), status(429, 0), status(429, time.Second),
		status(503, time.Second), class(jwks.ClassCanceled), class(jwks.ClassHTML), class(jwks.ClassTooLarge),
		class(jwks.ClassMalformed), class(jwks.ClassNoKeys), class(jwks.ClassDiscovery),
	} {
		require.False(t, at(answered, false), "%v", answered)
	}
}
