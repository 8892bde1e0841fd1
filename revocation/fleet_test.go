package revocation_test

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

	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
)

// hinting is a store that tells revisions apart from documents.
type hinting struct{ memory }

func (h *hinting) Revision(ctx context.Context, name string) (string, error) {
	d, err := h.Load(ctx, name)
	return d.Revision, err
}

// place puts a document there under always the same revision.
func (m *memory) place(data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put(revocation.DefaultName, data)
	m.docs[revocation.DefaultName] = store.Document{Data: bytes.Clone(data), Revision: "r"}
}

// A writer without a key hides no rule behind an old revision, and a process that missed it has it within seconds.
func TestAnOldRevisionHidesNoRule(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &hinting{}
		m.place(written(t, 1, nil, wordOn(1, time.Now())))
		l := newList(t, revocation.Config{Store: m})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		time.Sleep(time.Second)
		require.Len(t, l.Rules(), 1)
		m.place(written(t, 2, nil, wordOn(1, time.Now()), wordOn(2, time.Now())))
		time.Sleep(3 * time.Second)
		require.Len(t, l.Rules(), 2)
		require.Empty(t, l.Status().Trouble)
		m.place([]byte("junk"))
		time.Sleep(3 * time.Second)
		require.Equal(t, revocation.Malformed, l.Status().Trouble)
		m.place(nil)
		time.Sleep(3 * time.Second)
		require.Equal(t, revocation.Malformed, l.Status().Trouble, "an empty document is no document of rules")
		time.Sleep(time.Hour)
		require.LessOrEqual(t, l.Status().Age, time.Second, "it answers all the time")
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
	})
}

// A document that comes again is not decoded again, whatever its revision, and although others come in between.
func TestADocumentIsDecodedOnce(t *testing.T) { //nolint:paralleltest // it counts allocations
	const rules = 3000
	var words []string
	for i := range rules {
		words = append(words, wordOn(i, time.Now()))
	}
	m := &memory{}
	l := newList(t, revocation.Config{Store: m})
	older, newer := written(t, 1, nil, words[1:]...), written(t, 2, nil, words...)
	junk := append(bytes.Clone(newer), 'x')
	for name, turns := range map[string][][]byte{"same": {newer}, "in turn": {older, newer}, "refused": {junk}} {
		i := 0
		next := func() {
			m.put(revocation.DefaultName, turns[i%len(turns)])
			i++
			_ = l.Load(t.Context())
		}
		for range 2 * len(turns) {
			next()
		}
		require.Less(t, testing.AllocsPerRun(100, next), 100.0, name)
	}
	require.Len(t, l.Rules(), rules)
}

// The problem of a known document follows from what is known now.
func TestTroubleOfKnownDocuments(t *testing.T) {
	t.Parallel()
	m := &memory{}
	l := newList(t, revocation.Config{Store: m})
	older, newer := written(t, 1, nil, wordOn(1, time.Now())), written(t, 2, nil, wordOn(1, time.Now()), wordOn(2, time.Now()))
	load := func(doc []byte, want revocation.Trouble) {
		t.Helper()
		m.put(revocation.DefaultName, doc)
		require.NoError(t, l.Load(t.Context()))
		require.Equal(t, want, l.Status().Trouble)
	}
	load(older, "")
	load(older, "")
	load(newer, "")
	for range 3 {
		load(older, revocation.Behind)
		load(newer, "")
		load([]byte("junk"), revocation.Malformed)
	}
	m.set(true)
	_, err := l.Add(t.Context(), subjectRule(3))
	require.ErrorIs(t, err, revocation.ErrNotShared)
	m.set(false)
	load(newer, revocation.Behind)
	load(newer, revocation.Behind)
	_, err = l.Add(t.Context(), subjectRule(4))
	require.NoError(t, err)
	require.NoError(t, l.Load(t.Context()))
	require.Empty(t, l.Status().Trouble)
	load(newer, revocation.Behind)
}

// An epoch that no writer can have come to is not believed, and not built upon.
func TestEpochsFarAhead(t *testing.T) {
	t.Parallel()
	m := &memory{}
	l := newList(t, revocation.Config{Store: m})
	at := time.Now()
	far := func(epoch uint64) []byte {
		return fmt.Appendf(nil, `{"version":1,"epoch":%d,"words":[%s]}`, epoch, wordOn(1, at))
	}
	for _, epoch := range []uint64{1<<32 + 1, 1 << 63, 1<<64 - 1} {
		m.put(revocation.DefaultName, far(epoch))
		require.NoError(t, l.Load(t.Context()))
		require.Equal(t, revocation.NotAuthentic, l.Status().Trouble)
		require.False(t, l.Status().Known)
		require.Empty(t, l.Rules())
		_, err := l.Add(t.Context(), subjectRule(2))
		require.ErrorIs(t, err, revocation.ErrUnreadable)
		require.ErrorIs(t, err, store.ErrNotAuthentic)
		require.Equal(t, far(epoch), m.docs[revocation.DefaultName].Data)
		l = newList(t, revocation.Config{Store: m})
	}
	overwriting := newList(t, revocation.Config{Store: m, AllowOverwrite: true})
	_, err := overwriting.Add(t.Context(), subjectRule(2))
	require.NoError(t, err)
	require.NoError(t, l.Load(t.Context()))
	require.EqualValues(t, 1, l.Status().Epoch)
	m.put(revocation.DefaultName, far(1<<32+1))
	require.NoError(t, l.Load(t.Context()))
	require.Equal(t, revocation.Behind, l.Status().Trouble, "it is near enough to what is known, and has only one rule")
	copied := &memory{}
	copied.put(revocation.DefaultName, far(1<<63))
	require.Empty(t, restarted(t, copied).Rules(), "nor is a copy believed")
}

// signedBy is a store that believes these keys in a fleet, and signs with the first one.
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
	old, recent := keyNumber(1), keyNumber(2)
	down := &memory{down: true}
	for name, c := range map[string]struct {
		store store.Store
		used  bool
	}{
		"the same":                    {signedBy(t, down, "production", old, recent), true},
		"keys in another order":       {signedBy(t, down, "production", recent, old), true},
		"one key more":                {signedBy(t, down, "production", recent, keyNumber(3), old), true},
		"a key was given up":          {signedBy(t, down, "production", recent), false},
		"another fleet":               {signedBy(t, down, "staging", old, recent), false},
		"a store that has no fleet":   {down, false},
		"no store":                    {nil, false},
		"sealed instead, with a copy": {sealedIn(t, down, "production"), false},
	} {
		copied := &memory{}
		first := newList(t, revocation.Config{Store: signedBy(t, &memory{}, "production", old, recent), LocalCopy: copied})
		_, err := first.Add(t.Context(), subjectRule(1))
		require.NoError(t, err)
		require.Contains(t, string(copied.docs[revocation.DefaultName].Data), `"fleet":"production"`)

		l := newList(t, revocation.Config{Store: c.store, LocalCopy: copied})
		_ = l.Load(t.Context())
		require.Equal(t, c.used, len(l.Rules()) == 1, name)
		require.Equal(t, c.used, l.Status().Known, name)
	}
}

func sealedIn(t *testing.T, inner store.Store, fleet string) store.Trusted {
	t.Helper()
	s, err := store.Encrypted(inner, fleet, bytes.Repeat([]byte("s"), store.MinSecret))
	require.NoError(t, err)
	return s
}

// A local copy is no document of a store.
func TestALocalCopyIsNoDocumentOfAStore(t *testing.T) {
	t.Parallel()
	copied, m := &memory{}, &memory{}
	_, err := newList(t, revocation.Config{Store: signedBy(t, &memory{}, "production", keyNumber(1)), LocalCopy: copied}).Add(t.Context(), subjectRule(1))
	require.NoError(t, err)
	m.put(revocation.DefaultName, copied.docs[revocation.DefaultName].Data)
	l := newList(t, revocation.Config{Store: m})
	require.NoError(t, l.Load(t.Context()))
	require.Equal(t, revocation.Malformed, l.Status().Trouble)
	require.Empty(t, l.Rules())
}

// Rules of another fleet are not believed, and the event says why.
func TestRulesOfAnotherFleet(t *testing.T) {
	t.Parallel()
	m := &memory{}
	_, err := newList(t, revocation.Config{Store: signedBy(t, m, "staging", keyNumber(1))}).Add(t.Context(), subjectRule(1))
	require.NoError(t, err)
	var events []revocation.Event
	l := newList(t, revocation.Config{
		Store: signedBy(t, m, "production", keyNumber(1)), OnEvent: func(e revocation.Event) { events = append(events, e) },
	})
	require.ErrorIs(t, l.Load(t.Context()), store.ErrNotAuthentic)
	require.Empty(t, l.Rules())
	require.False(t, l.Status().Known)
	require.Len(t, events, 1)
	require.Equal(t, revocation.NotAuthentic, events[0].Trouble)
	require.ErrorContains(t, events[0].Err, `"staging"`)
}

// The bounds of a document hold for documents that others wrote, too.
func TestBoundsOfDocuments(t *testing.T) {
	t.Parallel()
	removed := map[string]int64{}
	for i := range 4096 {
		removed[subjectRule(i).ID()] = time.Now().UnixMicro()
	}
	most := written(t, 1, removed, wordOn(-1, time.Now()))
	removed[subjectRule(4096).ID()] = time.Now().UnixMicro()
	tooMany := written(t, 1, removed, wordOn(-1, time.Now()))
	short := written(t, 1, nil, wordOn(-1, time.Now()))
	padded := func(length int) []byte { return append(bytes.Clone(short), strings.Repeat(" ", length-len(short))...) }
	var words []string
	for i := range revocation.MaxRules + 1 {
		words = append(words, fmt.Sprintf(`{"rule":{"all_authorities":true,"sub":"%d"},"at":"2026-01-01T00:00:00Z"}`, i))
	}
	for name, c := range map[string]struct {
		doc  []byte
		good bool
	}{
		"most removals":     {most, true},
		"too many removals": {tooMany, false},
		"longest document":  {padded(revocation.MaxDocument), true},
		"too long document": {padded(revocation.MaxDocument + 1), false},
		"most rules":        {written(t, 1, nil, words[1:]...), true},
		"too many rules":    {written(t, 1, nil, words...), false},
	} {
		m := &memory{}
		m.put(revocation.DefaultName, c.doc)
		l := newList(t, revocation.Config{Store: m})
		require.NoError(t, l.Load(t.Context()))
		require.Equal(t, c.good, l.Status().Trouble == "", name)
		require.Equal(t, c.good, len(l.Rules()) > 0, name)
	}
}

// New names every collaborator that is a nil pointer. A Dir without a path is an error of Load.
func TestNilStores(t *testing.T) {
	t.Parallel()
	_, err := revocation.New(revocation.Config{Store: (*memory)(nil), LocalCopy: (*memory)(nil)})
	require.ErrorContains(t, err, "revocation: Store is a nil pointer")
	require.ErrorContains(t, err, "revocation: LocalCopy is a nil pointer")
	require.ErrorContains(t, newList(t, revocation.Config{Store: store.Dir("")}).Load(t.Context()), "empty path")
	l := newList(t, revocation.Config{Store: &memory{}, LocalCopy: store.Dir("")})
	require.NoError(t, l.Load(t.Context()))
	require.Equal(t, revocation.Unreachable, l.Status().CopyTrouble)
}

// panicking is a store whose every call panics.
type panicking struct{ memory }

func (*panicking) Load(context.Context, string) (store.Document, error) { panic("of a store") }

// A store that panics is one that does not answer.
func TestAStoreThatPanicsIsUnreachable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newList(t, revocation.Config{Store: &panicking{}})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		time.Sleep(time.Minute)
		require.Equal(t, revocation.Unreachable, l.Status().Trouble)
		require.False(t, l.Status().Known)
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
	})
}
