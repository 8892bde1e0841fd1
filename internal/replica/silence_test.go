package replica_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"maps"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/replica"
	"github.com/regionjwt/regionjwt/store"
)

type blocking struct {
	memory
	calls   atomic.Int64
	release chan struct{}
}

func (b *blocking) Load(context.Context, string, string) ([]byte, string, error) {
	b.calls.Add(1)
	<-b.release
	return nil, "", store.ErrNotFound
}

var (
	operatorKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	machineKey  = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32))
)

func signed(s store.Store, key ed25519.PrivateKey) store.Trusted {
	return store.Signed(s, "test", key, store.PublicKey{Key: operatorKey.Public().(ed25519.PublicKey)},
		store.PublicKey{Key: machineKey.Public().(ed25519.PublicKey), Documents: []string{replica.AliveName("d")}})
}

// A process that knows nothing else does not believe a document whose latest proof of freshness is too old; one that runs keeps
// what it knows, and says so. A heartbeat is such a proof, if every document that it names was read.
func TestMaxSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &shelf{}
		writer := with(t, store.ReplicaConfig{Stores: []store.Trusted{signed(a, operatorKey)}})
		config := store.ReplicaConfig{Stores: []store.Trusted{signed(a, nil)}, MaxSilence: time.Hour}
		machine := []store.Trusted{signed(a, machineKey)}
		require.NoError(t, writer.say(t, "one"))
		running := with(t, config)
		running.run(t)
		fresh := func() *replica.State[*words] {
			f := with(t, config)
			require.NoError(t, f.Load(t.Context()))
			return f.State()
		}
		time.Sleep(59 * time.Minute)
		require.True(t, fresh().Known)
		require.False(t, running.State().Status.Stale)
		time.Sleep(2 * time.Minute)
		require.False(t, fresh().Known)
		require.True(t, fresh().Status.Stale)
		require.Equal(t, "one", fresh().Document.set)
		require.True(t, running.State().Known, "it keeps what it knows")
		require.True(t, running.State().Status.Stale, "and says so")

		n, err := replica.Beat(t.Context(), machine, "d")
		require.NoError(t, err)
		require.Equal(t, 1, n)
		time.Sleep(10 * time.Second)
		require.True(t, fresh().Known)
		require.False(t, running.State().Status.Stale)

		// A heartbeat names a document that the store withholds.
		withheld := maps.Clone(a.docs)
		require.NoError(t, writer.say(t, "two"))
		_, err = replica.Beat(t.Context(), machine, "d")
		require.NoError(t, err)
		a.mu.Lock()
		a.memory.set("d", withheld["d"])
		a.mu.Unlock()
		time.Sleep(61 * time.Minute)
		_, err = replica.Beat(t.Context(), []store.Trusted{signed(&merged{a, "two"}, machineKey)}, "d")
		require.NoError(t, err)
		require.False(t, fresh().Known, "there is a document that nobody here has read")
	})
}

// merged is a shelf of whose document another version is seen.
type merged struct {
	*shelf
	word string
}

func (m *merged) Load(ctx context.Context, name, ifNot string) ([]byte, string, error) {
	if name != "d" {
		return m.shelf.Load(ctx, name, ifNot)
	}
	other := &shelf{}
	if _, err := signed(other, operatorKey).Save(ctx, "d", encode(wordsOf(9, m.word)), ""); err != nil {
		return nil, "", err
	}
	return other.Load(ctx, name, ifNot)
}

// Nothing that is signed in the future, or for another document, proves anything.
func TestWhatProvesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &shelf{}
		writer := with(t, store.ReplicaConfig{Stores: []store.Trusted{signed(a, operatorKey)}})
		require.NoError(t, writer.say(t, "one"))
		f := with(t, store.ReplicaConfig{Stores: []store.Trusted{signed(a, nil)}, MaxSilence: time.Minute})
		f.behind = time.Hour
		require.NoError(t, f.Load(t.Context()))
		require.True(t, f.State().Status.Stale, "the clock of the writer is an hour ahead")
		time.Sleep(time.Hour)
		trusted := signed(a, machineKey)
		_, err := replica.Beat(t.Context(), []store.Trusted{trusted}, "d")
		require.NoError(t, err)
		data, revision, err := trusted.Load(t.Context(), replica.AliveName("d"), "")
		require.NoError(t, err)
		time.Sleep(2 * time.Minute)
		_, err = trusted.Save(t.Context(), replica.AliveName("d"), bytes.Replace(data, []byte(`"d"`), []byte(`"e"`), 1), revision)
		require.NoError(t, err)
		late := with(t, store.ReplicaConfig{Stores: []store.Trusted{signed(a, nil)}, MaxSilence: time.Minute})
		require.NoError(t, late.Load(t.Context()))
		require.True(t, late.State().Status.Stale, "the heartbeat is for another document")
	})
}
