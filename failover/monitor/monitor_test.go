package monitor_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/failover/monitor"
	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/store"
)

const (
	east     = "us-east-1"
	west     = "us-west-2"
	fleet    = "production"
	holdDown = 5 * time.Minute // the default
)

var key = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))

func keys() map[string]ed25519.PublicKey {
	return map[string]ed25519.PublicKey{"eu": key.Public().(ed25519.PublicKey)}
}

func provider() issuer.Provider {
	p := issuer.Provider{ID: "orders"}
	for _, n := range []string{east, west} {
		p.Regions = append(p.Regions, issuer.Region{
			Name: n, Issuers: []string{"https://" + n + ".example.com"}, JWKSURLs: []string{"https://" + n + ".example.com/jwks"},
		})
	}
	return p
}

// world is a service that accepts verdicts of the monitor eu.
type world struct {
	t   *testing.T
	ctl *failover.Controller
	rec *monitor.Receiver
}

func newWorld(t *testing.T, c monitor.Config) *world {
	t.Helper()
	ctl, err := failover.New(provider(), failover.Config{Automatic: true})
	require.NoError(t, err)
	return worldOf(t, c, ctl)
}

func worldOf(t *testing.T, c monitor.Config, ctl *failover.Controller) *world {
	t.Helper()
	c.Fleet, c.Keys = fleet, keys()
	rec, err := monitor.New(c, ctl)
	require.NoError(t, err)
	w := &world{t, ctl, rec}
	w.run(ctl.Run)
	return w
}

// run runs something until the test ends.
func (w *world) run(f func(context.Context) error) {
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = f(ctx) }()
	w.t.Cleanup(func() { cancel(); <-done })
}

// about is a verdict about east that began now.
func about(healthy bool, seq uint64) monitor.Verdict {
	return monitor.Verdict{Provider: "orders", Region: east, Healthy: healthy, Began: time.Now(), Seq: seq, TTL: 2 * time.Minute}
}

func signed(t *testing.T, v monitor.Verdict) []byte {
	t.Helper()
	text, err := monitor.Sign(v, fleet, "eu", key)
	require.NoError(t, err)
	return text
}

func (w *world) says(healthy bool, seq uint64) {
	w.t.Helper()
	require.NoError(w.t, w.rec.Accept(signed(w.t, about(healthy, seq))))
}

func (w *world) health() string { return w.ctl.Status().Regions[0].Health }

// A verdict makes a region unhealthy at once. When it ends the region is unknown, which moves nothing; a healthy verdict is a
// success like others, and shortens no hold-down.
func TestAVerdictDecidesUntilItEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, monitor.Config{})
		w.says(true, 1)
		require.Equal(t, "healthy", w.health())
		time.Sleep(time.Minute)
		w.says(false, 2)
		require.Equal(t, west, w.ctl.Active())
		require.Equal(t, "unhealthy", w.health())
		require.Contains(t, w.ctl.Status().Why[0], "us-east-1 was left because it was unhealthy: monitor eu: a verdict of ")
		time.Sleep(2*time.Minute - time.Millisecond)
		require.Equal(t, "unhealthy", w.health())
		time.Sleep(time.Second)
		require.Equal(t, "unknown", w.health())
		require.Equal(t, west, w.ctl.Active(), "the end of a verdict moves nothing")
		for i := range uint64(3) {
			require.Equal(t, "unknown", w.health())
			w.says(true, 3+i)
			time.Sleep(10 * time.Second)
		}
		require.Equal(t, "healthy", w.health())
		require.Equal(t, west, w.ctl.Active(), "it is in hold-down")
		time.Sleep(holdDown)
		require.Equal(t, east, w.ctl.Active())
	})
}

// A verdict that follows another one within a second counts, too: it is in effect until its own end.
func TestAVerdictSoonAfterAnother(t *testing.T) {
	t.Parallel()
	for name, wait := range map[string]time.Duration{"before its end": 200 * time.Millisecond, "after its end": 600 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, monitor.Config{})
			first := about(false, 1)
			first.TTL = 500 * time.Millisecond
			require.NoError(t, w.rec.Accept(signed(t, first)), name)
			time.Sleep(wait)
			w.says(false, 2)
			require.Equal(t, "unhealthy", w.health(), name)
			time.Sleep(2*time.Minute - time.Second)
			require.Equal(t, "unhealthy", w.health(), name)
		})
	}
}

// A verdict counts until it ends, also with a hold-down that is shorter, and the status has no other end.
func TestAVerdictOutlivesAShortHoldDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctl, err := failover.New(provider(), failover.Config{Automatic: true, HoldDown: 30 * time.Second})
		require.NoError(t, err)
		w := worldOf(t, monitor.Config{}, ctl)
		w.says(false, 1)
		ends := time.Now().Add(2 * time.Minute).UTC().Format(time.RFC3339)
		for range 119 {
			time.Sleep(time.Second)
			ctl.Report(east, "probe", time.Time{}, nil)
			s := ctl.Status().Regions[0]
			require.Equal(t, "unhealthy", s.Health)
			require.Contains(t, s.Why, ends+" if nothing else fails")
			require.Contains(t, s.Reports[0], "by a verdict that ends at "+ends)
		}
		time.Sleep(2 * time.Second)
		require.Equal(t, "healthy", w.health())
	})
}

// A healthy verdict after it lengthens no unhealthy one.
func TestASuccessLengthensNoVerdict(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, monitor.Config{})
		w.says(false, 1)
		time.Sleep(time.Minute)
		w.says(true, 2)
		require.Equal(t, "unhealthy", w.health())
		time.Sleep(time.Minute + time.Second)
		require.Equal(t, "unknown", w.health())
	})
}

// While a verdict is all that says that a region is unhealthy, the status says until when, and asks for no more successes.
func TestAVerdictAgainstSuccessesIsExplained(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, monitor.Config{})
		w.says(false, 1)
		ends := time.Now().Add(2 * time.Minute).UTC().Format(time.RFC3339)
		for n := range 4 {
			s := w.ctl.Status()
			require.Equal(t, []string{"monitor eu: unhealthy, by a verdict that ends at " + ends}, cut(s.Regions[0].Reports[:1]))
			because := "monitor eu: a verdict of 2000-01-01T00:00:00Z; "
			switch n {
			case 3:
				require.Equal(t, because+"healthy at "+ends+" if nothing else fails", s.Regions[0].Why)
				require.Contains(t, s.Next[0], "back to us-east-1: when it is healthy (at "+ends+" if nothing else fails); ")
			default:
				require.Contains(t, s.Regions[0].Why, because+"unknown at "+ends+" if nothing else fails; healthy after 3 successes")
				require.Contains(t, s.Next[0], "back to us-east-1: when it is healthy (3 successes")
			}
			time.Sleep(time.Second)
			w.ctl.Report(east, "probe", time.Time{}, nil)
		}
		time.Sleep(2 * time.Minute)
		require.Equal(t, "healthy", w.health())
		w.says(false, 2)
		time.Sleep(2*time.Minute + time.Second)
		require.Contains(t, w.ctl.Status().Regions[0].Why, "it was unhealthy by monitor eu, whose verdict of 2000-01-01T00:0")
	})
}

// cut returns lines without when the reporters last reported.
func cut(lines []string) (all []string) {
	for _, line := range lines {
		before, _, _ := strings.Cut(line, ", last ")
		all = append(all, before)
	}
	return all
}

// A verdict that is repeated lasts; a repetition of the same one has no effect, and is no error.
func TestARepetitionHasNoEffect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, monitor.Config{})
		same := signed(t, about(false, 1))
		for range 150 {
			require.NoError(t, w.rec.Accept(same), "also when it is older than 60 s")
			time.Sleep(time.Second)
		}
		require.Equal(t, "unknown", w.health(), "it does not last longer than it says")
		for i := range uint64(10) {
			w.says(false, 2+i)
			time.Sleep(time.Minute)
			require.Equal(t, "unhealthy", w.health())
		}
	})
}

// What is not proven, old, or for others is rejected, and changes nothing.
func TestWhatIsRejected(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, monitor.Config{})
		w.says(true, 5)
		time.Sleep(time.Second)
		before := w.ctl.Status()
		with := func(f func(*monitor.Verdict)) []byte {
			v := about(false, 6)
			f(&v)
			return signed(t, v)
		}
		other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, ed25519.SeedSize))
		forged, err := monitor.Sign(about(false, 6), fleet, "eu", other)
		require.NoError(t, err)
		unlisted, err := monitor.Sign(about(false, 6), fleet, "us", key)
		require.NoError(t, err)
		staging, err := monitor.Sign(about(false, 6), "staging", "eu", key)
		require.NoError(t, err)
		good := string(signed(t, about(false, 6)))
		payload := strings.Split(good, ".")[1]
		body, err := base64.RawURLEncoding.DecodeString(payload)
		require.NoError(t, err)
		for want, text := range map[string][]byte{
			"another fleet":            staging,
			"is not signed by the key": forged,
			"not signed":               unlisted,
			"seq is not greater":       with(func(v *monitor.Verdict) { v.Seq = 4 }),
			"its seq is not":           with(func(v *monitor.Verdict) { v.Seq = 5 }),
			"60 seconds ago":           with(func(v *monitor.Verdict) { v.Began = v.Began.Add(-61 * time.Second) }),
			"30 seconds from now":      with(func(v *monitor.Verdict) { v.Began = v.Began.Add(31 * time.Second) }),
			"no Controller has this":   with(func(v *monitor.Verdict) { v.Provider = "other" }),
			"no Controller has":        with(func(v *monitor.Verdict) { v.Region = "other" }),
			"configured monitor":       []byte(fakeissuer.Tamper(good)),
			"the key of a":             nil,
			"key of a configured":      jws(`{"alg":"EdDSA","typ":"at+jwt","kid":"eu"}`, string(body)),
			"by the key":               jws(`{"alg":"none","typ":"regionjwt-verdict+jws","kid":"eu"}`, string(body)),
			"signed by":                jws(`{"alg":"EdDSA","typ":"regionjwt-verdict+jws","kid":"eu","crit":["x"]}`, string(body)),
			"is not a verdict":         jws(verdictHeader, strings.Replace(string(body), `"seq"`, `"more":1,"seq"`, 1)),
			"the signed text":          jws(verdictHeader, strings.Replace(string(body), `"seq":6`, `"seq":6,"seq":6`, 1)),
			"text is not a verdict":    jws(verdictHeader, strings.Replace(string(body), `"unhealthy"`, `"down"`, 1)),
			"is not a":                 jws(verdictHeader, strings.Replace(string(body), `"seq":6`, `"seq":-6`, 1)),
			"more than 2 minutes":      jws(verdictHeader, strings.Replace(string(body), `"ttl":120000`, `"ttl":120001`, 1)),
			"TTL is 0":                 jws(verdictHeader, strings.Replace(string(body), `"ttl":120000`, `"ttl":0`, 1)),
			"4096 bytes":               []byte(good + strings.Repeat("A", 4096)),
		} {
			require.ErrorContains(t, w.rec.Accept(text), want)
			require.Equal(t, before, w.ctl.Status(), want)
		}
		require.NoError(t, w.rec.Accept([]byte(good)))
		require.Equal(t, west, w.ctl.Active())
	})
}

const verdictHeader = `{"alg":"Ed25519","typ":"regionjwt-verdict+jws","kid":"eu"}`

// jws signs a text with the key of the monitor, as another library does it.
func jws(header, payload string) []byte {
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	return []byte(text + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(text))))
}

// A verdict of a monitor in another language, with the members in any order.
func TestAVerdictOfAnotherLibrary(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // it is midnight, 2000-01-01
		w := newWorld(t, monitor.Config{})
		require.NoError(t, w.rec.Accept(jws(verdictHeader, `{"verdict":"unhealthy","ttl":60000,"seq":1,"began":"2000-01-01T01:00:00+01:00",`+
			`"region":"us-east-1","provider":"orders","fleet":"production"}`)))
		require.Equal(t, west, w.ctl.Active())
	})
}

// A pin wins over every verdict, and failures that others report are not hidden by one.
func TestPinsAndOthersCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, monitor.Config{})
		require.NoError(t, w.ctl.Pin(t.Context(), east, "", 0))
		w.says(false, 1)
		require.Equal(t, east, w.ctl.Active())
		require.NoError(t, w.ctl.Unpin(t.Context()))
		require.Equal(t, west, w.ctl.Active())
		for i := range uint64(4) { // the first success makes it healthy
			w.ctl.Report(west, "token", time.Now(), errors.New("down"))
			require.NoError(t, w.rec.Accept(signed(t, monitor.Verdict{
				Provider: "orders", Region: west, Healthy: true, Began: time.Now(), Seq: 2 + i, TTL: time.Minute,
			})))
			time.Sleep(time.Second)
		}
		require.Equal(t, "unhealthy", w.ctl.Status().Regions[1].Health)
	})
}

// memory is a store in memory.
type memory struct {
	mu   sync.Mutex
	docs map[string][]byte
	revs map[string]string
	err  error
	wild bool
}

func (m *memory) Load(_ context.Context, name, ifNot string) ([]byte, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.wild:
		panic("s3cret")
	case m.err != nil:
		return nil, "", m.err
	case m.docs[name] == nil:
		return nil, "", store.ErrNotFound
	case ifNot != "" && ifNot == m.revs[name]:
		return nil, "", store.ErrNotModified
	}
	return m.docs[name], m.revs[name], nil
}

func (m *memory) Save(_ context.Context, name string, data []byte, ifRevision string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.revs[name] != ifRevision {
		return "", store.ErrConflict
	}
	if m.docs == nil {
		m.docs, m.revs = map[string][]byte{}, map[string]string{}
	}
	m.docs[name] = bytes.Clone(data)
	m.revs[name] += "x"
	return m.revs[name], nil
}

func (*memory) Watch(ctx context.Context, _ string, _ func()) error { <-ctx.Done(); return ctx.Err() }

// A verdict in one of several stores reaches a service that polls, whatever the other stores do.
func TestVerdictsInStores(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var good memory
		var out bytes.Buffer
		w := newWorld(t, monitor.Config{
			Stores: []store.Store{&memory{wild: true}, &memory{err: errors.New("s3cret")}, &good},
			Logger: slog.New(slog.NewTextHandler(&out, nil)),
		})
		w.run(w.rec.Run)
		for i := range uint64(5) {
			require.NoError(t, monitor.Save(t.Context(), &good, signed(t, about(false, 1+i))))
			time.Sleep(time.Minute)
			require.Equal(t, "unhealthy", w.health())
		}
		require.Equal(t, west, w.ctl.Active())
		good.mu.Lock()
		for name := range good.docs {
			good.docs[name], good.revs[name] = []byte("garbage"), good.revs[name]+"y"
		}
		good.mu.Unlock()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		require.Equal(t, "unknown", w.health())
		require.Equal(t, 1, strings.Count(out.String(), "verdict rejected"))
		require.Contains(t, out.String(), "problem=unavailable")
		require.NotContains(t, out.String(), "s3cret")
	})
}

// An instance accepts verdicts that are posted.
func TestPostedVerdicts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, monitor.Config{})
		post := func(method string, body []byte) *httptest.ResponseRecorder {
			rec := httptest.NewRecorder()
			w.rec.ServeHTTP(rec, httptest.NewRequest(method, "/verdict", bytes.NewReader(body)))
			return rec
		}
		require.Equal(t, http.StatusMethodNotAllowed, post(http.MethodGet, nil).Code)
		require.Equal(t, http.StatusBadRequest, post(http.MethodPost, bytes.Repeat([]byte("a."), 1<<20)).Code)
		answer := post(http.MethodPost, []byte("s3cret"))
		require.Equal(t, http.StatusBadRequest, answer.Code)
		require.NotContains(t, answer.Body.String(), "s3cret")
		require.Equal(t, east, w.ctl.Active())
		require.Equal(t, http.StatusNoContent, post(http.MethodPost, signed(t, about(false, 1))).Code)
		require.Equal(t, west, w.ctl.Active())
	})
}

// New and Sign report every problem at once, and a zero Receiver says how to make one.
func TestEveryProblemIsReported(t *testing.T) {
	t.Parallel()
	ctl, err := failover.New(provider(), failover.Config{})
	require.NoError(t, err)
	public := key.Public().(ed25519.PublicKey)
	_, err = monitor.New(monitor.Config{
		Keys:         map[string]ed25519.PublicKey{"Upper": public, "a": public, "b": public[:3]},
		PollInterval: -1, Stores: []store.Store{(*memory)(nil)}, Logger: &slog.Logger{},
	}, ctl, ctl, nil)
	for _, part := range []string{
		"Fleet has", `Keys["Upper"]`, `Keys["a"] is the key of "Upper"`, `Keys["b"] is not a key`, "PollInterval is negative",
		"Stores[0] is nil", "Logger has no handler", "two Controllers are of", "Controller 2 is nil",
	} {
		require.ErrorContains(t, err, part)
	}
	_, err = monitor.New(monitor.Config{Fleet: fleet, PollInterval: 5, Stores: []store.Store{store.Dir("x")}}) // seconds were meant
	require.ErrorContains(t, err, "PollInterval is 5ns: use 0 for 5s, or 100ms or more")
	_, err = monitor.New(monitor.Config{Fleet: fleet, PollInterval: time.Second})
	for _, part := range []string{"Keys is empty", "there is no Controller", "PollInterval has no effect without Stores"} {
		require.ErrorContains(t, err, part)
	}
	_, err = monitor.Sign(monitor.Verdict{TTL: 3 * time.Minute}, "", "é", nil)
	for _, part := range []string{"name of a monitor", "the fleet, the provider", "Began", "Seq", "more than 2 minutes", "private key"} {
		require.ErrorContains(t, err, part)
	}
	for _, r := range []*monitor.Receiver{nil, {}} {
		require.ErrorContains(t, r.Accept(nil), "monitor.New")
		require.ErrorContains(t, r.Run(t.Context()), "monitor.New")
	}
	require.Error(t, monitor.Save(t.Context(), nil, nil))
	require.Error(t, monitor.Save(t.Context(), new(memory), []byte("a.b.c")))
}
