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

	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/store"
)

// shelf is a store in memory that can be spoiled.
type shelf struct {
	mu    sync.Mutex
	docs  map[string]store.Document
	err   error         // of every call
	delay time.Duration // of every call
	saves int
}

func (*shelf) Authentic() {}

func (s *shelf) wait(ctx context.Context) error {
	s.mu.Lock()
	delay, err := s.delay, s.err
	s.mu.Unlock()
	t := time.NewTimer(delay)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return err
	}
}

func (s *shelf) Load(ctx context.Context, name string) (store.Document, error) {
	if err := s.wait(ctx); err != nil {
		return store.Document{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.docs[name]
	if !ok {
		return d, store.ErrNotFound
	}
	return d, nil
}

func (s *shelf) Save(ctx context.Context, name string, data []byte, ifRevision string) (string, error) {
	if err := s.wait(ctx); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.docs[name].Revision != ifRevision {
		return "", store.ErrConflict
	}
	if s.docs == nil {
		s.docs = map[string]store.Document{}
	}
	s.saves++
	s.docs[name] = store.Document{Data: bytes.Clone(data), Revision: ifRevision + "x"}
	return ifRevision + "x", nil
}

// spoil changes every document.
func (s *shelf) spoil(change func(map[string]any)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, d := range s.docs {
		var m map[string]any
		_ = json.Unmarshal(d.Data, &m)
		change(m)
		d.Data, _ = json.Marshal(m)
		s.docs[name] = d
	}
}

// snapshotWorld runs f in a bubble with a world, a shelf that a first process has filled, and a way to start processes.
func snapshotWorld(t *testing.T, f func(t *testing.T, w *issuertest.World, s *shelf, start func() world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := issuertest.New(t, issuertest.Config{Layout: issuertest.IssuerPerRegion, Algorithm: "ES256"})
		s := new(shelf)
		var caches []*jwks.Cache
		defer func() {
			for _, c := range caches {
				_ = c.Close()
			}
		}()
		start := func() world {
			c, err := jwks.New(jwks.Config{Authorities: authorities(w), Client: w.Client(), Store: s})
			require.NoError(t, err)
			caches = append(caches, c)
			return world{World: w, Cache: c, t: t}
		}
		first := start()
		first.mustHave(east)
		first.mustHave(west)
		synctest.Wait()
		require.Equal(t, 2, s.saves)
		f(t, w, s, start)
	})
}

func darken(w *issuertest.World) {
	w.Break(east)
	w.Hang(west)
}

// A process that starts while all is dark verifies from the snapshot, as long as its keys are young enough.
func TestDisconnectedStart(t *testing.T) {
	snapshotWorld(t, func(t *testing.T, w *issuertest.World, _ *shelf, start func() world) {
		darken(w)
		time.Sleep(23 * time.Hour)
		second := start()
		within(t, 0, func() { second.mustHave(east) })
		within(t, 500*time.Millisecond, func() { second.mustHave(west) })
		require.Equal(t, 23*time.Hour, second.mustHave(east).Age().Round(time.Minute))
		require.Equal(t, jwks.OriginSnapshot, second.mustHave(east).Origin())
		require.Equal(t, "snapshot", second.Cache.Status()[0].Source)
		require.Equal(t, jwks.Stale, second.Cache.Status()[0].Freshness)
		require.NoError(t, second.Ready())
		_, err := second.Keys(t.Context(), second.issuerOf(east), "unknown")
		require.ErrorIs(t, err, jwks.ErrUnavailable, "a snapshot proves no absence")
		time.Sleep(2 * time.Hour)
		_, err = second.ask(east)
		require.ErrorIs(t, err, jwks.ErrUnavailable, "never past MaxStale")
		_, err = start().ask(east)
		require.ErrorIs(t, err, jwks.ErrUnavailable)
		require.ErrorIs(t, second.Ready(), jwks.ErrUnavailable)
		w.Mend(east)
		time.Sleep(time.Minute)
		require.Equal(t, jwks.OriginFetched, second.mustHave(east).Origin())
	})
}

// A snapshot is not read while a key server answers, and a key that was withdrawn since goes.
func TestSnapshotNeverOverridesAnAnswer(t *testing.T) {
	snapshotWorld(t, func(t *testing.T, w *issuertest.World, _ *shelf, start func() world) {
		old := w.KeyID(east)
		w.Rotate(east)
		w.Withdraw(east)
		second := start()
		second.mustHave(east)
		_, err := second.Keys(t.Context(), second.issuerOf(east), old)
		require.ErrorIs(t, err, jwks.ErrUnknownKey)

		w.Break(east)
		third := start() // from the snapshot of the second, which has the new key only
		third.mustHave(east)
		_, err = third.Keys(t.Context(), third.issuerOf(east), old)
		require.ErrorIs(t, err, jwks.ErrUnavailable)
	})
}

// The key server and the store are slow, and the store is the slower one: what was fetched stays.
func TestSlowSnapshotDoesNotOverrideAnAnswer(t *testing.T) {
	snapshotWorld(t, func(t *testing.T, w *issuertest.World, s *shelf, start func() world) {
		old := w.KeyID(east)
		w.Rotate(east)
		w.Withdraw(east)
		w.Slow(east, 600*time.Millisecond)
		s.delay = 300 * time.Millisecond // from half a second on
		second := start()
		second.mustHave(east)
		time.Sleep(time.Second)
		second.mustHave(east)
		_, err := second.Keys(t.Context(), second.issuerOf(east), old)
		require.ErrorIs(t, err, jwks.ErrUnknownKey)
	})
}

func TestSnapshotKeyIsWithdrawnToo(t *testing.T) {
	snapshotWorld(t, func(t *testing.T, w *issuertest.World, s *shelf, start func() world) {
		old := w.KeyID(east)
		w.Break(east)
		second := start()
		second.mustHave(east) // from the snapshot
		w.Mend(east)
		w.Rotate(east)
		w.Withdraw(east)
		for range 4 {
			time.Sleep(time.Minute)
			_, _ = second.Keys(t.Context(), second.issuerOf(east), old)
			synctest.Wait()
		}
		_, err := second.Keys(t.Context(), second.issuerOf(east), old)
		require.ErrorIs(t, err, jwks.ErrUnknownKey)
		second.mustHave(east)
		require.Greater(t, s.saves, 2)
	})
}

func TestSnapshotsThatAreNotUsed(t *testing.T) {
	t.Parallel()
	firstKey := func(m map[string]any) map[string]any { return m["keys"].([]any)[0].(map[string]any) }
	for name, spoil := range map[string]func(map[string]any){
		"foreign":             func(m map[string]any) { m["set"] = "urls https://evil.example/keys" },
		"of another version":  func(m map[string]any) { m["version"] = 2 },
		"from the future":     func(m map[string]any) { m["good"] = float64(time.Now().Add(time.Hour).UnixNano()) },
		"key from the future": func(m map[string]any) { firstKey(m)["seen"] = float64(time.Now().Add(time.Hour).UnixNano()) },
		"without a time":      func(m map[string]any) { delete(m, "good") },
		"of no known mirror":  func(m map[string]any) { firstKey(m)["by"] = []int{7} },
		"with a private key":  func(m map[string]any) { firstKey(m)["jwk"].(map[string]any)["d"] = "AQAB" },
		"without keys":        func(m map[string]any) { m["keys"] = []any{} },
		"empty":               func(m map[string]any) { clear(m) },
	} {
		t.Run(name, func(t *testing.T) {
			snapshotWorld(t, func(t *testing.T, w *issuertest.World, s *shelf, start func() world) {
				darken(w)
				s.spoil(spoil)
				_, err := start().ask(east)
				require.ErrorIs(t, err, jwks.ErrUnavailable)
				w.Mend(east)
				time.Sleep(2 * time.Second)
				third := start()
				third.mustHave(east)
				synctest.Wait()
				w.Break(east)
				start().mustHave(east) // it was replaced
			})
		})
	}
}

// A store that fails, hangs or is full harms nothing but the snapshot.
func TestStoreTrouble(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]func(*shelf){
		"fails": func(s *shelf) { s.err = errors.New("read-only file system") },
		"hangs": func(s *shelf) { s.delay = time.Hour },
	} {
		t.Run(name, func(t *testing.T) {
			snapshotWorld(t, func(t *testing.T, w *issuertest.World, s *shelf, start func() world) {
				trouble(s)
				second := start()
				within(t, 0, func() { second.mustHave(east) })
				w.Rotate(east)
				within(t, 0, func() { second.mustHave(east) })
				for range 10 {
					time.Sleep(time.Hour)
					within(t, 0, func() { second.mustHave(east) })
				}
				darken(w)
				third := start()
				within(t, 2*time.Second, func() {
					_, err := third.ask(east)
					require.ErrorIs(t, err, jwks.ErrUnavailable)
				})
				s.mu.Lock()
				s.err, s.delay = nil, 0
				s.mu.Unlock()
				w.Mend(east)
				time.Sleep(time.Hour)
				second.mustHave(east)
				synctest.Wait()
				w.Break(east)
				start().mustHave(east)
			})
		})
	}
}

// An unchanged set is saved again now and then, so that its keys do not look older than they are.
func TestSnapshotsStayYoung(t *testing.T) {
	snapshotWorld(t, func(t *testing.T, w *issuertest.World, s *shelf, start func() world) {
		second := start()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- second.Run(ctx) }()
		time.Sleep(72 * time.Hour)
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
		require.Less(t, s.saves, 2+2*80, "about once an hour each")
		darken(w)
		third := start()
		require.Less(t, third.mustHave(east).Age(), 90*time.Minute)
	})
}

func TestSnapshotsInADirectory(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	w := issuertest.New(t, issuertest.Config{Algorithm: "RS256"})
	ask := func(c *jwks.Cache) error {
		_, err := c.Keys(t.Context(), w.Authority().Regions[0].Issuers[0], w.KeyID(east))
		return err
	}
	start := func(s store.Store) *jwks.Cache {
		c, err := jwks.New(jwks.Config{Authorities: authorities(w), Client: w.Client(), Store: s})
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	first := start(store.Dir(path))
	require.NoError(t, ask(first))
	require.NoError(t, first.Close())
	require.Eventually(t, func() bool {
		files, err := filepath.Glob(path + "/*.doc")
		return err == nil && len(files) > 0
	}, 10*time.Second, time.Millisecond)
	w.Break(east)
	w.Break(west)
	require.NoError(t, ask(start(store.Dir(path))))
	require.ErrorIs(t, ask(start(store.Dir(path+"/other"))), jwks.ErrUnavailable)
	require.NoError(t, os.Chmod(path, 0o777))
	require.ErrorIs(t, ask(start(store.Dir(path))), jwks.ErrUnavailable, "others may have written it")
}

// plain is a store that anybody may write to.
type plain struct{ inner *shelf }

func (p plain) Load(ctx context.Context, name string) (store.Document, error) {
	return p.inner.Load(ctx, name)
}

func (p plain) Save(ctx context.Context, name string, data []byte, rev string) (string, error) {
	return p.inner.Save(ctx, name, data, rev)
}

func TestPlainStoresAreRefused(t *testing.T) {
	t.Parallel()
	_, err := jwks.New(jwks.Config{Store: plain{new(shelf)}})
	require.ErrorContains(t, err, "store.Sealed")
	_, err = jwks.New(jwks.Config{Store: plain{new(shelf)}, InsecurePlainSnapshots: true})
	require.NoError(t, err)
}

// An attacker who can write to a shared store can neither inject a key nor have one region's keys count for another's.
func TestSealedSnapshots(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := new(shelf)
		sealed, err := store.Sealed(plain{inner}, "test", []byte(strings.Repeat("s", 32)))
		require.NoError(t, err)
		w := issuertest.New(t, issuertest.Config{Layout: issuertest.IssuerPerRegion, Algorithm: "ES256"})
		var lines bytes.Buffer
		start := func() world {
			c, err := jwks.New(jwks.Config{
				Authorities: authorities(w), Client: w.Client(), Store: sealed, Logger: slog.New(slog.NewTextHandler(&lines, nil)),
			})
			require.NoError(t, err)
			return world{World: w, Cache: c, t: t}
		}
		first := start()
		first.mustHave(east)
		first.mustHave(west)
		synctest.Wait()
		require.NoError(t, first.Cache.Close())
		darken(w)
		second := start()
		second.mustHave(east)
		require.NoError(t, second.Cache.Close())

		var names []string
		for name := range inner.docs {
			names = append(names, name)
		}
		require.Len(t, names, 2)
		a, b := inner.docs[names[0]], inner.docs[names[1]]
		inner.docs[names[0]], inner.docs[names[1]] = b, a
		third := start()
		_, err = third.ask(east)
		require.ErrorIs(t, err, jwks.ErrUnavailable)
		require.NoError(t, third.Cache.Close())
		require.Contains(t, lines.String(), "not authentic")

		w.Mend(east) // what was spoiled is replaced
		fourth := start()
		fourth.mustHave(east)
		synctest.Wait()
		require.NoError(t, fourth.Cache.Close())
		w.Break(east)
		fifth := start()
		fifth.mustHave(east)
		require.NoError(t, fifth.Cache.Close())
	})
}
