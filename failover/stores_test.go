package failover_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/store"
)

const documentName = "regionjwt/failover/orders"

// revised is a shelf that tells revisions apart from documents.
type revised struct{ *shelf }

func (revised) Authentic() {}

func (r revised) Load(ctx context.Context, name, ifNot string) ([]byte, string, error) {
	data, revision, err := r.shelf.Load(ctx, name, ifNot)
	if err == nil && revision == ifNot {
		return nil, revision, store.ErrNotModified
	}
	return data, revision, err
}

// ordered is a document whose regions were pinned one after the other.
func ordered(epoch uint64, at time.Time, regions ...string) []byte {
	return failover.PinDocument(epoch, at, regions...)
}

// plain makes a Controller of a store that is trusted as it is.
func plain(t *testing.T, s store.Store) *failover.Controller {
	t.Helper()
	return newController(t, failover.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{store.InsecureTrust(s)}}})
}

// A writer without a key hides no order behind an old revision.
func TestAnOldRevisionHidesNoOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := revised{newShelf()}
		place := func(doc []byte) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.docs[documentName] = document{Data: doc, Revision: "r"}
		}
		began := time.Now()
		place(ordered(1, began, east))
		f := plain(t, s)
		start(t, f)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, east, f.Active())
		place(ordered(2, began, east, west))
		time.Sleep(3 * time.Second)
		synctest.Wait()
		require.Equal(t, west, f.Active())
		for _, doc := range []string{"junk", ""} {
			place([]byte(doc))
			time.Sleep(3 * time.Second)
			synctest.Wait()
			require.Equal(t, "malformed", f.Status().Replica.StoreProblem)
		}
		place(ordered(2, began, east, west))
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Empty(t, f.Status().Replica.StoreProblem)
		require.LessOrEqual(t, time.Since(f.Status().Replica.Confirmed), time.Second, "it answers all the time")
	})
}

// An old order that is put back is known for what it is each time, however often it comes.
func TestAnOldOrderIsBehindEachTime(t *testing.T) {
	t.Parallel()
	s := newShelf()
	f := plain(t, s)
	began := time.Now()
	older, newer := ordered(1, began, east), ordered(2, began, east, west)
	next := func(doc []byte, want string) {
		s.put(documentName, doc)
		require.Equal(t, want == "malformed", f.Load(t.Context()) != nil)
		require.Equal(t, want, f.Status().Replica.StoreProblem)
	}
	next(older, "")
	next(newer, "")
	for range 3 {
		next(older, "rolled_back")
		next(newer, "")
		next([]byte("junk"), "malformed")
	}
	require.Equal(t, west, f.Active())
}

func TestBoundsOfOrders(t *testing.T) {
	t.Parallel()
	now := time.Now()
	short := ordered(1, now, west)
	padded := func(length int) []byte { return append(bytes.Clone(short), strings.Repeat(" ", length-len(short))...) }
	for name, c := range map[string]struct {
		doc  []byte
		want string
	}{
		"longest":         {padded(64 << 10), ""},
		"too long":        {padded(64<<10 + 1), "malformed"},
		"many orders":     {ordered(1<<32, now, west), ""},
		"too many orders": {ordered(1<<32+9, now, west), "not_authentic"},
		"most orders":     {ordered(1<<64-1, now, west), "not_authentic"},
		"the end of time": {ordered(1, time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC), west), "malformed"},
		"a local copy":    {fmt.Appendf(nil, `{"version":1,"document":%s}`, short), "malformed"},
	} {
		s := newShelf()
		s.put(documentName, c.doc)
		f := plain(t, s)
		err := f.Load(t.Context())
		require.Equal(t, c.want, f.Status().Replica.StoreProblem, name)
		require.Equal(t, c.want == "", err == nil, name)
		require.Equal(t, c.want == "", f.Active() == west, name)
		require.Equal(t, c.want == "", f.Status().Replica.Origin == "store", name)
		if c.want != "" {
			require.ErrorIs(t, f.Pin(t.Context(), west, "", 0), store.ErrNotShared, name)
			require.Equal(t, c.doc, s.copied()[documentName].Data, "it is not replaced")
		}
	}
}

func signedBy(t *testing.T, inner store.Store, fleet string, keys ...ed25519.PrivateKey) store.Trusted {
	t.Helper()
	var public []store.PublicKey
	for _, k := range keys {
		public = append(public, store.PublicKey{Key: k.Public().(ed25519.PublicKey)})
	}
	return store.Signed(inner, fleet, keys[0], public...)
}

func keyNumber(i int) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i)}, ed25519.SeedSize))
}

// A local copy is used only in the fleet in which it was made, and while all keys are believed that were believed then.
func TestLocalCopiesAreBoundToFleetAndKeys(t *testing.T) {
	t.Parallel()
	down := newShelf()
	down.fail(errDown)
	for name, c := range map[string]struct {
		store store.Trusted
		used  bool
	}{
		"the same":           {signedBy(t, down, "production", keyNumber(1), keyNumber(2)), true},
		"one key more":       {signedBy(t, down, "production", keyNumber(3), keyNumber(2), keyNumber(1)), true},
		"a key was given up": {signedBy(t, down, "production", keyNumber(2)), false},
		"another fleet":      {signedBy(t, down, "staging", keyNumber(1), keyNumber(2)), false},
		"no fleet":           {store.InsecureTrust(down), false},
	} {
		copied := store.InsecureTrust(newShelf())
		first := newController(t, failover.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{signedBy(t, newShelf(), "production", keyNumber(1), keyNumber(2))}, LocalCopy: copied}})
		require.NoError(t, first.Pin(t.Context(), west, "", 0))
		f := newController(t, failover.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{c.store}, LocalCopy: copied}})
		require.ErrorIs(t, f.Load(t.Context()), errDown)
		require.Equal(t, c.used, f.Active() == west, name)
		require.Equal(t, c.used, f.Status().Replica.Origin == "local copy", name)
		if !c.used {
			require.Equal(t, "malformed", f.Status().Replica.LocalProblem, name)
		}
	}
}

// An order of another fleet moves nobody.
func TestOrdersOfAnotherFleet(t *testing.T) {
	t.Parallel()
	s := newShelf()
	staging := newController(t, failover.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{signedBy(t, s, "staging", keyNumber(1))}}})
	require.NoError(t, staging.Pin(t.Context(), west, "", 0))
	production := newController(t, failover.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{signedBy(t, s, "production", keyNumber(1))}}})
	err := production.Load(t.Context())
	require.ErrorIs(t, err, store.ErrNotAuthentic)
	require.ErrorContains(t, err, `"staging"`)
	require.Equal(t, east, production.Active())
	require.Equal(t, "not_authentic", production.Status().Replica.StoreProblem)
}

// A document of an epoch below MinEpoch was rolled back, and a store that has none has lost it: what it says applies, but does
// not make the pin known.
func TestMinEpoch(t *testing.T) {
	t.Parallel()
	at := time.Now()
	for name, c := range map[string]struct {
		doc     []byte
		problem string
		origin  string
		active  string
	}{
		"reached": {ordered(7, at, west), "", "store", west},
		"above":   {ordered(8, at, west), "", "store", west},
		"below":   {ordered(6, at, west), "rolled_back", "none", west},
		"none":    {nil, "missing", "none", east},
	} {
		s, local := newShelf(), store.InsecureTrust(newShelf())
		if c.doc != nil {
			s.put(documentName, c.doc)
		}
		config := failover.Config{
			RejectInactive: true, Replica: store.ReplicaConfig{Stores: []store.Trusted{store.InsecureTrust(s)}, LocalCopy: local, MinEpoch: 7},
		}
		f := newController(t, config)
		require.Equal(t, name == "none", errors.Is(f.Load(t.Context()), store.ErrNotFound), name)
		require.Equal(t, c.problem, f.Status().Replica.StoreProblem, name)
		require.Equal(t, c.origin, f.Status().Replica.Origin, name)
		require.Equal(t, c.active, f.Active(), name)
		require.Equal(t, c.origin == "none", unavailable(f.Admit("orders", []string{north}, time.Time{})), name)
		s.fail(errDown)
		again := newController(t, config)
		require.ErrorIs(t, again.Load(t.Context()), errDown, name)
		require.Equal(t, map[string]string{"below": "rolled_back"}[name], again.Status().Replica.LocalProblem, name)
		require.Equal(t, c.origin == "store", again.Status().Replica.Origin == "local copy", name)
		s.fail(nil)
		require.NoError(t, f.Pin(t.Context(), east, "", 0), name)
		require.Greater(t, f.Status().Replica.Epoch, uint64(7), "a new pin is above MinEpoch")
		require.Equal(t, "store", f.Status().Replica.Origin, name)
		require.Empty(t, f.Status().Replica.StoreProblem, name)
	}
	alone := newController(t, failover.Config{Replica: store.ReplicaConfig{LocalCopy: store.InsecureTrust(newShelf()), MinEpoch: 1}})
	require.NoError(t, alone.Load(t.Context()))
	require.Equal(t, "missing", alone.Status().Replica.LocalProblem)
	require.Equal(t, "none", alone.Status().Replica.Origin)
}

// Load says that a store without a document proves nothing, if the configuration demands one.
func TestLoadSaysThatADemandedDocumentIsMissing(t *testing.T) {
	t.Parallel()
	for epoch, missing := range map[uint64]bool{0: false, 1: true} {
		c := newController(t, failover.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{store.InsecureTrust(newShelf())}, MinEpoch: epoch}})
		require.Equal(t, missing, errors.Is(c.Load(t.Context()), store.ErrNotFound), epoch)
	}
}
