package jwks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/store"
)

// shelf is a Store in memory that may fail, hang until the context ends, or panic.
type shelf struct {
	memory
	err    error
	saving error // of Save only
	delay  time.Duration
	panics bool
}

func (s *shelf) trouble(ctx context.Context) error {
	s.mu.Lock()
	delay, err, panics := s.delay, s.err, s.panics
	s.mu.Unlock()
	if panics {
		panic("the store")
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return err
	}
}

func (s *shelf) Load(ctx context.Context, name, ifNot string) ([]byte, string, error) {
	if err := s.trouble(ctx); err != nil {
		return nil, "", err
	}
	return s.memory.Load(ctx, name, ifNot)
}

func (s *shelf) Save(ctx context.Context, name string, data []byte, ifRevision string) (string, error) {
	if err := s.trouble(ctx); err != nil {
		return "", err
	}
	s.mu.Lock()
	err := s.saving
	s.mu.Unlock()
	if err != nil {
		return "", err
	}
	return s.memory.Save(ctx, name, data, ifRevision)
}

func (s *shelf) set(f func(*shelf)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

// spoil changes every document.
func (s *shelf) spoil(change func(map[string]any)) {
	s.set(func(s *shelf) {
		for name, d := range s.docs {
			decoder := json.NewDecoder(bytes.NewReader(d.Data))
			decoder.UseNumber()
			var m map[string]any
			_ = decoder.Decode(&m)
			change(m)
			d.Data, _ = json.Marshal(m)
			s.docs[name] = d
		}
	})
}

// document returns the only document.
func (s *shelf) document(t *testing.T) string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Len(t, s.docs, 1)
	for _, d := range s.docs {
		return string(d.Data)
	}
	return ""
}

func (s *shelf) saves() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

// withSnapshot runs f in a bubble with a server that lists "one" and "two", the shelf that a first process has filled, and a
// way to start processes.
func withSnapshot(t *testing.T, f func(t *testing.T, s *server, on *shelf, start func(...func(*jwks.Config)) *jwks.Cache)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n, on := newServers(), &shelf{}
		s := n.at(keysURL)
		s.list("one", "two")
		start := func(change ...func(*jwks.Config)) *jwks.Cache {
			c := jwks.Config{Snapshots: on}
			for _, f := range change {
				f(&c)
			}
			return newCache(t, n, c, pool("p", []string{keysURL}))
		}
		require.Equal(t, 200, ask(t.Context(), start(), "p", "one"))
		synctest.Wait()
		require.Equal(t, 1, on.saves())
		f(t, s, on, start)
	})
}

func refuse(s *server) { s.refuses = true }
func heal(s *server)   { s.refuses, s.hangs, s.delay, s.status = false, false, 0, 0 }

// timed returns how long f took.
func timed(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

// A snapshot is not used while a server answers: a key that was removed since the snapshot is unknown.
func TestSnapshotNeverOverridesAnAnswer(t *testing.T) {
	withSnapshot(t, func(t *testing.T, s *server, _ *shelf, start func(...func(*jwks.Config)) *jwks.Cache) {
		s.list("two")
		second := start()
		require.Equal(t, 200, ask(t.Context(), second, "p", "two"))
		require.Equal(t, 401, ask(t.Context(), second, "p", "one"))
		synctest.Wait()
		s.set(refuse)
		third := start() // from the snapshot of the second, which knows the key "two" only
		require.Equal(t, 200, ask(t.Context(), third, "p", "two"))
		require.Contains(t, []int{429, 503}, ask(t.Context(), third, "p", "one"))
	})
}

// The server is slow and the store is slower: what was fetched stays.
func TestSlowSnapshotDoesNotOverrideAnAnswer(t *testing.T) {
	withSnapshot(t, func(t *testing.T, s *server, on *shelf, start func(...func(*jwks.Config)) *jwks.Cache) {
		s.list("two")
		s.set(func(s *server) { s.delay = 600 * time.Millisecond })
		on.set(func(s *shelf) { s.delay = 300 * time.Millisecond })
		second := start()
		require.Equal(t, 200, ask(t.Context(), second, "p", "two"))
		time.Sleep(time.Second)
		require.Equal(t, 200, ask(t.Context(), second, "p", "two"))
		require.Equal(t, 401, ask(t.Context(), second, "p", "one"))
	})
}

// A server that lists a key of the snapshot confirms it: the key stays the same one, and says so from then on.
func TestServerConfirmsASnapshot(t *testing.T) {
	withSnapshot(t, func(t *testing.T, s *server, _ *shelf, start func(...func(*jwks.Config)) *jwks.Cache) {
		time.Sleep(time.Hour)
		s.set(refuse)
		second := start()
		key := look(t, second, "one", "ES256").Keys[0]
		require.Equal(t, "snapshot", key.Origin())
		require.Equal(t, "snapshot", second.Status()[0].State)
		require.NoError(t, second.Ready())
		s.set(heal)
		time.Sleep(time.Minute)
		require.Same(t, key, look(t, second, "one", "ES256").Keys[0], "the refresh is under way")
		synctest.Wait()
		require.Same(t, key, look(t, second, "one", "ES256").Keys[0])
		require.Equal(t, "fetched", key.Origin())
		require.Zero(t, key.Age())
		require.NotEqual(t, "snapshot", second.Status()[0].State)
		require.Equal(t, "static", new(jwks.Key).Origin())
	})
}

// Every server hangs when a crowd comes to a process that has just started. The snapshot serves them all.
func TestCrowdAtADisconnectedStart(t *testing.T) {
	withSnapshot(t, func(t *testing.T, s *server, _ *shelf, start func(...func(*jwks.Config)) *jwks.Cache) {
		s.set(func(s *server) { s.hangs = true })
		second, counted := start(), newTally()
		took := timed(func() {
			var callers sync.WaitGroup
			for range 2000 {
				callers.Go(func() { counted.add(ask(t.Context(), second, "p", "one")) })
			}
			callers.Wait()
		})
		require.Equal(t, map[int]int{200: 2000}, counted.counts())
		require.LessOrEqual(t, took, time.Second)
	})
}

// A restored key is withdrawn by the first answer without it if the snapshot is older than an hour, and else like any key. Its
// tokens are not called bad.
func TestRestoredKeyIsWithdrawn(t *testing.T) {
	t.Parallel()
	for pause, want := range map[time.Duration][]int{10 * time.Minute: {200}, 2 * time.Hour: {429, 503}} {
		t.Run(pause.String(), func(t *testing.T) {
			withSnapshot(t, func(t *testing.T, s *server, _ *shelf, start func(...func(*jwks.Config)) *jwks.Cache) {
				time.Sleep(pause)
				s.set(refuse)
				second := start()
				require.Equal(t, 200, ask(t.Context(), second, "p", "one"))
				s.set(heal)
				s.list("two")
				time.Sleep(5 * time.Second)
				require.Equal(t, 200, ask(t.Context(), second, "p", "two"))
				synctest.Wait()
				require.Equal(t, "fetched", look(t, second, "two", "ES256").Keys[0].Origin())
				require.Contains(t, want, ask(t.Context(), second, "p", "one"))
				s.set(refuse)
				require.Contains(t, want, ask(t.Context(), start(), "p", "one"), "nor does a restart bring it back")
			})
		})
	}
}

// What the first process knew of missing keys survives a restart: a key that was missing once is withdrawn by the next answer
// a minute later, and at a URL whose keys come and go a key is not withdrawn so soon.
func TestMissesSurviveARestart(t *testing.T) {
	t.Parallel()
	for _, flapped := range []bool{false, true} {
		t.Run(map[bool]string{false: "missing", true: "returned"}[flapped], func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { testMisses(t, flapped) })
		})
	}
}

func testMisses(t *testing.T, flapped bool) {
	defer time.Sleep(time.Minute)
	n, on := newServers(), &shelf{}
	s := n.at(keysURL)
	s.list("one", "two")
	p := pool("p", []string{keysURL})
	first := newCache(t, n, jwks.Config{Snapshots: on}, p)
	require.Equal(t, 200, ask(t.Context(), first, "p", "one"))
	turns := []string{"one,two", "two"}
	if flapped {
		turns = []string{"two", "one,two", "two"}
	}
	for i, kids := range turns {
		time.Sleep(10 * time.Second)
		s.list(strings.Split(kids, ",")...)
		_ = ask(t.Context(), first, "p", "unknown-"+string(rune('a'+i))) // has the set fetched
		synctest.Wait()
	}
	time.Sleep(2 * time.Minute)
	s.set(refuse)
	second := newCache(t, n, jwks.Config{Snapshots: on}, p)
	require.Equal(t, 200, ask(t.Context(), second, "p", "one"))
	s.set(heal)
	time.Sleep(5 * time.Second)
	require.Equal(t, 200, ask(t.Context(), second, "p", "two"))
	synctest.Wait()
	require.Equal(t, "fetched", look(t, second, "two", "ES256").Keys[0].Origin())
	require.Equal(t, flapped, ask(t.Context(), second, "p", "one") == 200)
}

// The URL that did not list a key cannot withdraw it after a restart either.
func TestSnapshotKnowsTheURLs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n, on := newServers(), &shelf{}
		a, b := n.at(regionA), n.at(regionB)
		a.list("one")
		b.set(func(s *server) { s.hangs = true })
		p := pool("p", []string{regionA, regionB})
		require.Equal(t, 200, ask(t.Context(), newCache(t, n, jwks.Config{Snapshots: on}, p), "p", "one"))
		synctest.Wait()
		time.Sleep(2 * time.Hour)
		a.set(refuse)
		second := newCache(t, n, jwks.Config{Snapshots: on}, p)
		require.Equal(t, 200, ask(t.Context(), second, "p", "one"))
		b.set(heal)
		b.list("other")
		for range 21 {
			time.Sleep(time.Hour)
			require.Equal(t, 200, ask(t.Context(), second, "p", "one"))
		}
	})
}

// A store that fails, hangs or panics holds nobody and harms nothing but the snapshot.
func TestStoreTrouble(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]func(*shelf){
		"fails":  func(s *shelf) { s.err = errors.New("read-only file system") },
		"hangs":  func(s *shelf) { s.delay = 24 * time.Hour },
		"panics": func(s *shelf) { s.panics = true },
	} {
		t.Run(name, func(t *testing.T) {
			withSnapshot(t, func(t *testing.T, s *server, on *shelf, start func(...func(*jwks.Config)) *jwks.Cache) {
				on.set(trouble)
				testStoreTrouble(t, s, on, start)
			})
		})
	}
}

func testStoreTrouble(t *testing.T, s *server, on *shelf, start func(...func(*jwks.Config)) *jwks.Cache) {
	out := new(lines)
	second := start(func(c *jwks.Config) { c.Logger = slog.New(slog.NewTextHandler(out, nil)) })
	require.Zero(t, timed(func() { require.Equal(t, 200, ask(t.Context(), second, "p", "one")) }))
	s.list("one", "two", "three")
	require.Zero(t, timed(func() { require.Equal(t, 200, ask(t.Context(), second, "p", "three")) }))
	for range 10 {
		time.Sleep(time.Hour)
		require.Zero(t, timed(func() { require.Equal(t, 200, ask(t.Context(), second, "p", "one")) }))
	}
	require.Equal(t, 1, strings.Count(out.String(), "snapshot cannot be saved"), out.String())
	s.set(refuse)
	third := start()
	require.LessOrEqual(t, timed(func() { require.Equal(t, 503, ask(t.Context(), third, "p", "one")) }), 3*time.Second)
	on.set(func(s *shelf) { s.err, s.delay, s.panics = nil, 0, false })
	s.set(heal)
	time.Sleep(time.Hour)
	require.Equal(t, 200, ask(t.Context(), second, "p", "one"))
	synctest.Wait()
	s.set(refuse)
	require.Equal(t, 200, ask(t.Context(), start(), "p", "three"), "it was saved after all")
}

// An unchanged set is saved again after a 24th of MaxStale, so that its keys do not look older than they are, and a change at
// once.
func TestSnapshotsStayYoung(t *testing.T) {
	withSnapshot(t, func(t *testing.T, s *server, on *shelf, start func(...func(*jwks.Config)) *jwks.Cache) {
		second := start()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- second.Run(ctx) }()
		time.Sleep(72 * time.Hour)
		require.InDelta(t, 72/1.15, on.saves(), 12, "about once an hour")
		before := on.saves()
		s.list("one", "three")
		require.Equal(t, 200, ask(t.Context(), second, "p", "three"))
		synctest.Wait()
		require.Equal(t, before+1, on.saves())
		stop()
		require.ErrorIs(t, <-ended, context.Canceled)
		time.Sleep(time.Hour)
		s.set(refuse)
		key := look(t, start(), "one", "ES256").Keys[0]
		require.InDelta(t, time.Hour.Seconds(), key.Age().Seconds(), 10, "keys age from when they were fetched")
	})
}

func TestSnapshotsInADirectory(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	n := newServers()
	n.at(keysURL).list("one")
	answer := func(path string) int {
		c := newCache(t, n, jwks.Config{Snapshots: store.Dir(path)}, pool("p", []string{keysURL}))
		return ask(t.Context(), c, "p", "one")
	}
	require.Equal(t, 200, answer(path))
	require.Eventually(t, func() bool {
		files, err := filepath.Glob(path + "/*.doc")
		return err == nil && len(files) > 0
	}, 20*time.Second, time.Millisecond)
	n.at(keysURL).set(refuse)
	require.Equal(t, 200, answer(path))
	require.Equal(t, 503, answer(path+"/other"))
	require.NoError(t, os.Chmod(path, 0o777))
	require.Equal(t, 503, answer(path))
}

// A directory that became read-only is told, once.
func TestSnapshotThatCanOnlyBeRead(t *testing.T) {
	withSnapshot(t, func(t *testing.T, s *server, on *shelf, start func(...func(*jwks.Config)) *jwks.Cache) {
		var out logs
		c := start(func(c *jwks.Config) { c.Logger = out.Logger() })
		on.set(func(s *shelf) { s.saving = errors.New("read-only file system") })
		for _, kid := range []string{"three", "four"} {
			s.list("one", "two", kid)
			require.Equal(t, 200, ask(t.Context(), c, "p", kid))
			synctest.Wait()
		}
		require.Equal(t, 1, strings.Count(out.String(), "read-only file system"), out.String())
	})
}
