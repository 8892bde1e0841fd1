package failover_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
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

func (r revised) Revision(ctx context.Context, name string) (string, error) {
	d, err := r.Load(ctx, name)
	return d.Revision, err
}

// ordered is a document.
func ordered(region string, epoch uint64, at time.Time, more string) []byte {
	return fmt.Appendf(nil, `{"version":1,"authority":"orders","region":%q,"pinned":true,"at":%q,"epoch":%d,"reason":"","left":{}%s}`,
		region, at.UTC().Format(time.RFC3339Nano), epoch, more)
}

// plain makes a Controller of a store that is believed as it is.
func plain(t *testing.T, s store.Store) *failover.Controller {
	t.Helper()
	return newController(t, failover.Config{Store: s, InsecurePlainStore: true})
}

// A writer without a key hides no order behind an old revision.
func TestAnOldRevisionHidesNoOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := revised{newShelf()}
		place := func(doc []byte) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.docs[documentName] = store.Document{Data: doc, Revision: "r"}
		}
		began := time.Now()
		place(ordered(east, 1, began, ""))
		f := plain(t, s)
		start(t, f)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, east, f.Active())
		place(ordered(west, 2, began.Add(time.Second), ""))
		time.Sleep(3 * time.Second)
		synctest.Wait()
		require.Equal(t, west, f.Active())
		for _, doc := range []string{"junk", ""} {
			place([]byte(doc))
			time.Sleep(3 * time.Second)
			synctest.Wait()
			require.Equal(t, failover.Malformed, f.State().Trouble)
		}
		place(ordered(west, 2, began.Add(time.Second), ""))
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Empty(t, f.State().Trouble)
		require.LessOrEqual(t, time.Since(f.State().Confirmed), time.Second, "it answers all the time")
	})
}

// An old order that is put back is known for what it is each time, however often it comes.
func TestAnOldOrderIsBehindEachTime(t *testing.T) {
	t.Parallel()
	s := newShelf()
	f := plain(t, s)
	began := time.Now()
	filler := strings.Repeat(" ", 15<<10)
	older, newer := ordered(east, 1, began, filler), ordered(west, 2, began.Add(time.Second), filler)
	next := func(doc []byte, want failover.Trouble) {
		s.put(documentName, doc)
		require.NoError(t, f.Load(t.Context()))
		require.Equal(t, want, f.State().Trouble)
	}
	next(older, "")
	next(newer, "")
	for range 3 {
		next(older, failover.Behind)
		next(newer, "")
		next([]byte("junk"), failover.Malformed)
	}
	require.Equal(t, west, f.Active())
}

func TestBoundsOfOrders(t *testing.T) {
	t.Parallel()
	now := time.Now()
	short := ordered(west, 1, now, "")
	padded := func(length int) []byte { return append(bytes.Clone(short), strings.Repeat(" ", length-len(short))...) }
	for name, c := range map[string]struct {
		doc  []byte
		want failover.Trouble
	}{
		"longest":               {padded(16 << 10), ""},
		"too long":              {padded(16<<10 + 1), failover.Malformed},
		"many orders":           {ordered(west, 1<<32, now, ""), ""},
		"too many orders":       {ordered(west, 1<<32+9, now, ""), failover.NotAuthentic},
		"most orders":           {ordered(west, 1<<64-1, now, ""), failover.NotAuthentic},
		"the end of time":       {ordered(west, 1, time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC), ""), failover.Malformed},
		"left at the end":       {[]byte(strings.Replace(string(short), `"left":{}`, `"left":{"us-east-1":"9999-12-31T00:00:00Z"}`, 1)), failover.Malformed},
		"a local copy":          {ordered(west, 1, now, `,"fleet":"test"`), failover.Malformed},
		"a local copy, by keys": {ordered(west, 1, now, `,"keys":["k"]`), failover.Malformed},
	} {
		s := newShelf()
		s.put(documentName, c.doc)
		f := plain(t, s)
		require.NoError(t, f.Load(t.Context()), name)
		require.Equal(t, c.want, f.State().Trouble, name)
		require.Equal(t, c.want == "", f.Active() == west, name)
		require.Equal(t, c.want == "", f.State().OrderKnown, name)
		if c.want != "" {
			require.ErrorIs(t, f.Activate(t.Context(), west, ""), failover.ErrUnreadable, name)
		}
	}
}

func signedBy(t *testing.T, inner store.Store, fleet string, keys ...ed25519.PrivateKey) store.Trusted {
	t.Helper()
	c := store.Signing{Private: keys[0]}
	for _, k := range keys {
		c.Public = append(c.Public, k.Public().(ed25519.PublicKey))
	}
	s, err := store.Signed(inner, fleet, c)
	require.NoError(t, err)
	return s
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
		store store.Store
		used  bool
	}{
		"the same":           {signedBy(t, down, "production", keyNumber(1), keyNumber(2)), true},
		"one key more":       {signedBy(t, down, "production", keyNumber(3), keyNumber(2), keyNumber(1)), true},
		"a key was given up": {signedBy(t, down, "production", keyNumber(2)), false},
		"another fleet":      {signedBy(t, down, "staging", keyNumber(1), keyNumber(2)), false},
		"no fleet":           {authenticShelf{down}, false},
	} {
		copied := authenticShelf{newShelf()}
		first := newController(t, failover.Config{Store: signedBy(t, newShelf(), "production", keyNumber(1), keyNumber(2)), LocalCopy: copied})
		require.NoError(t, first.Activate(t.Context(), west, ""))
		f := newController(t, failover.Config{Store: c.store, LocalCopy: copied})
		require.ErrorIs(t, f.Load(t.Context()), errDown)
		require.Equal(t, c.used, f.Active() == west, name)
		require.Equal(t, c.used, f.State().OrderKnown, name)
	}
}

type authenticShelf struct{ *shelf }

func (authenticShelf) Authentic() {}

// An order of another fleet moves nobody.
func TestOrdersOfAnotherFleet(t *testing.T) {
	t.Parallel()
	s := newShelf()
	staging := newController(t, failover.Config{Store: signedBy(t, s, "staging", keyNumber(1))})
	require.NoError(t, staging.Activate(t.Context(), west, ""))
	production := newController(t, failover.Config{Store: signedBy(t, s, "production", keyNumber(1))})
	err := production.Load(t.Context())
	require.ErrorIs(t, err, store.ErrNotAuthentic)
	require.ErrorContains(t, err, `"staging"`)
	require.Equal(t, east, production.Active())
	require.Equal(t, failover.NotAuthentic, production.State().Trouble)
}
