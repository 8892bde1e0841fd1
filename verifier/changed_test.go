package verifier_test

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/internal/signal"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// closed reports whether ch is closed.
func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// bell is a source of keys and of rules that change when the test says so.
type bell struct {
	revokedIDs
	jwks.Source
	keys, rules signal.Signal
	foreign     atomic.Pointer[chan struct{}] // nil: the channels are those of keys and rules
}

// ruler is the rules of a bell.
type ruler struct {
	*bell
	revokedIDs
}

func (b *bell) Changed() <-chan struct{} {
	if ch := b.foreign.Load(); ch != nil {
		return *ch
	}
	return b.keys.Changed()
}

func (r ruler) Revoked(t *verifier.Token) (string, error) { return r.revokedIDs.Revoked(t) }
func (r ruler) Changed() <-chan struct{}                  { return r.rules.Changed() }

// Changed closes when a key, a rule or the trust changes, whether the Source and the Revocation are decorated or foreign.
func TestChangedCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
		cache, err := jwks.New([]issuer.Provider{w.Provider()}, jwks.Config{HTTPClient: w.Client()})
		require.NoError(t, err)
		b := &bell{Source: cache}
		var trust []verifier.Policy
		v := newVerifier(t, w, func(tr *verifier.Policy, c *parts) {
			c.Keys, c.Revocation = cache, ruler{bell: b, revokedIDs: revokedIDs{}}
			trust = []verifier.Policy{*tr}
		})
		for name, change := range map[string]func(){
			"keys":  func() { w.Rotate(east); mustVerify(t, v, w) },
			"rules": func() { b.rules.Send() },
			"trust": func() { require.NoError(t, v.Update(trust)) },
		} {
			for range 3 {
				time.Sleep(time.Minute)
				ch := v.Changed()
				require.False(t, closed(ch), name)
				require.Equal(t, ch, v.Changed(), "one channel for all, until it is closed")
				change()
				synctest.Wait() // a new view may answer a Verify just before the channel is closed
				require.True(t, closed(ch), name)
			}
		}
		require.Error(t, v.Update(nil))
		require.False(t, closed(v.Changed()), "nothing has changed")
	}) // and no goroutine is left, or the bubble would not end
}

// The same for channels that are not of a Signal.
func TestChangedOfForeignChannels(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
		b := &bell{Source: &fixed{}}
		foreign := make(chan struct{})
		b.foreign.Store(&foreign)
		var trust []verifier.Policy
		v := newVerifier(t, w, func(tr *verifier.Policy, c *parts) { c.Keys, trust = b, []verifier.Policy{*tr} })
		ch := v.Changed()
		time.Sleep(time.Hour)
		require.False(t, closed(ch))
		require.NoError(t, v.Update(trust))
		require.True(t, closed(ch))
		ch = v.Changed()
		close(foreign)
		synctest.Wait()
		require.True(t, closed(ch))
		next := make(chan struct{})
		b.foreign.Store(&next)
		require.False(t, closed(v.Changed()))
		require.NoError(t, v.Update(trust)) // ends the goroutine
	})
}

// A thousand Updates, and a thousand Verifiers that nobody uses anymore, leave no goroutine and no memory behind.
func TestChangedLeaksNothing(t *testing.T) { //nolint:paralleltest // it counts the goroutines of the process
	w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
	cache, err := jwks.New([]issuer.Provider{w.Provider()}, jwks.Config{HTTPClient: w.Client()})
	require.NoError(t, err)
	trust := []verifier.Policy{{Provider: w.Provider(), Audience: verifier.Audience("a")}}
	b := &bell{Source: cache}
	config := parts{Keys: cache, Policies: trust}
	config.Revocation, config.CacheSize = ruler{bell: b, revokedIDs: revokedIDs{}}, -1
	v, err := config.New()
	require.NoError(t, err)
	var dropped atomic.Int64
	before := runtime.NumGoroutine()
	for range 1000 {
		require.False(t, closed(v.Changed()))
		require.NoError(t, v.Update(trust))
		other, err := config.New()
		require.NoError(t, err)
		require.False(t, closed(other.Changed()))
		runtime.AddCleanup(other, func(n *atomic.Int64) { n.Add(1) }, &dropped)
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), before+5)
	require.Eventually(t, func() bool {
		runtime.GC()
		return dropped.Load() == 1000 && signal.Waiting(b.rules.Changed()) == 0 && signal.Waiting(cache.Changed()) == 0
	}, 30*time.Second, time.Millisecond)
	ch := v.Changed()
	b.rules.Send()
	require.True(t, closed(ch), "those that are in use are told")
}

// A Verifier whose Source has a channel of its own is collected although a goroutine waits for that channel.
func TestDroppedVerifierWithForeignChannels(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
		foreign := make(chan struct{})
		b := &bell{Source: &fixed{}}
		b.foreign.Store(&foreign)
		ch := func() <-chan struct{} {
			return newVerifier(t, w, func(_ *verifier.Policy, c *parts) { c.Keys = b }).Changed()
		}()
		for range 100 {
			runtime.GC()
			time.Sleep(time.Minute)
			synctest.Wait()
			if closed(ch) {
				return // its goroutine has ended, or the bubble would not end
			}
		}
		t.Fatal("the goroutine does not end")
	})
}

// Who takes the channel first and then looks misses no change, however the two meet.
func TestChangedMissesNothing(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
	var truth [3]atomic.Int64 // what has been changed, by kind
	b := &bell{Source: &fixed{}}
	foreign := make(chan struct{})
	b.foreign.Store(&foreign)
	var trust []verifier.Policy
	v := newVerifier(t, w, func(tr *verifier.Policy, c *parts) {
		c.Keys, c.Revocation = b, ruler{bell: b, revokedIDs: revokedIDs{}}
		trust = []verifier.Policy{*tr}
	})
	const n = 2000
	var changing, watching sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 4 {
		watching.Go(func() {
			for ctx.Err() == nil {
				changed := v.Changed()
				if truth[0].Load() == n && truth[1].Load() == n && truth[2].Load() == n {
					return
				}
				select {
				case <-changed:
				case <-ctx.Done():
				}
			}
		})
	}
	changing.Go(func() {
		for range n {
			truth[0].Add(1)
			next := make(chan struct{})
			close(*b.foreign.Swap(&next))
		}
	})
	changing.Go(func() {
		for range n {
			truth[1].Add(1)
			b.rules.Send()
		}
	})
	changing.Go(func() {
		for range n {
			truth[2].Add(1)
			if err := v.Update(trust); err != nil {
				t.Error(err)
			}
		}
	})
	changing.Wait()
	watching.Wait()
	require.NoError(t, ctx.Err(), "a watcher sleeps although something has changed")
}
