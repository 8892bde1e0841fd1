package revocation_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
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

func (h *hinting) Load(ctx context.Context, name, ifNot string) ([]byte, string, error) {
	data, revision, err := h.memory.Load(ctx, name, ifNot)
	if err == nil && revision == ifNot {
		return nil, revision, store.ErrNotModified
	}
	return data, revision, err
}

// place puts a document there under always the same revision.
func (m *memory) place(data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put(revocation.DefaultName, data)
	m.docs[revocation.DefaultName] = kept{Data: bytes.Clone(data), Revision: "r"}
}

// A writer without a key hides no rule behind an old revision, and a process that missed it has it within seconds.
func TestAnOldRevisionHidesNoRule(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &hinting{}
		m.place(written(t, 1, nil, ruleOn(1, time.Now())))
		l := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{m}}})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		time.Sleep(time.Second)
		require.Len(t, l.Rules(), 1)
		m.place(written(t, 2, nil, ruleOn(1, time.Now()), ruleOn(2, time.Now())))
		time.Sleep(3 * time.Second)
		require.Len(t, l.Rules(), 2)
		require.Empty(t, l.Status().Replica.StoreProblem)
		m.place([]byte("junk"))
		time.Sleep(3 * time.Second)
		require.Equal(t, "malformed", l.Status().Replica.StoreProblem)
		m.place(nil)
		time.Sleep(3 * time.Second)
		require.Equal(t, "malformed", l.Status().Replica.StoreProblem, "an empty document is no document of rules")
		confirmed := l.Status().Replica.Confirmed
		time.Sleep(time.Hour)
		require.Equal(t, confirmed, l.Status().Replica.Confirmed, "it answers, and has nothing that can be read")
		m.place(written(t, 2, nil, ruleOn(1, time.Now()), ruleOn(2, time.Now())))
		time.Sleep(time.Hour)
		require.Less(t, time.Since(l.Status().Replica.Confirmed), time.Second)
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
	})
}

// A document that comes again is not decoded again, whatever its revision, and although others come in between.
func TestADocumentIsDecodedOnce(t *testing.T) { //nolint:paralleltest // it counts allocations
	const rules = 3000
	var words []string
	for i := range rules {
		words = append(words, ruleOn(i, time.Now()))
	}
	m := &memory{}
	l := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{m}}})
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
func TestProblemOfKnownDocuments(t *testing.T) {
	t.Parallel()
	m := &memory{}
	l := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{m}}})
	older, newer := written(t, 1, nil, ruleOn(1, time.Now())), written(t, 2, nil, ruleOn(1, time.Now()), ruleOn(2, time.Now()))
	load := func(doc []byte, want string) {
		t.Helper()
		m.put(revocation.DefaultName, doc)
		require.Equal(t, want == "malformed", l.Load(t.Context()) != nil)
		require.Equal(t, want, l.Status().Replica.StoreProblem)
	}
	load(older, "")
	load(older, "")
	load(newer, "")
	for range 3 {
		load(older, "rolled_back")
		load(newer, "")
		load([]byte("junk"), "malformed")
	}
	m.set(true)
	_, err := l.Add(t.Context(), subjectRule(3))
	require.ErrorIs(t, err, store.ErrNotShared)
	m.set(false)
	load(newer, "rolled_back")
	load(newer, "rolled_back")
	_, err = l.Add(t.Context(), subjectRule(4))
	require.NoError(t, err)
	require.NoError(t, l.Load(t.Context()))
	require.Empty(t, l.Status().Replica.StoreProblem)
	load(newer, "rolled_back")
}

// An epoch that no writer can have come to is not believed, and not built upon.
func TestEpochsFarAhead(t *testing.T) {
	t.Parallel()
	m := &memory{}
	l := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{m}}})
	at := time.Now()
	far := func(epoch uint64) []byte {
		return fmt.Appendf(nil, `{"version":1,"epoch":%d,"rules":[%s],"removed":{}}`, epoch, ruleOn(1, at))
	}
	for _, epoch := range []uint64{1<<32 + 2, 1 << 63, 1<<64 - 1} {
		m.put(revocation.DefaultName, far(epoch))
		require.ErrorIs(t, l.Load(t.Context()), store.ErrNotAuthentic)
		require.Equal(t, "not_authentic", l.Status().Replica.StoreProblem)
		require.False(t, known(l))
		require.Empty(t, l.Rules())
		_, err := l.Add(t.Context(), subjectRule(2))
		require.ErrorIs(t, err, revocation.ErrNotReplaced)
		require.ErrorIs(t, err, store.ErrNotAuthentic)
		require.Equal(t, far(epoch), m.docs[revocation.DefaultName].Data)
		l = newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{m}}})
	}
	m.docs = nil
	_, err := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{m}}}).Add(t.Context(), subjectRule(2))
	require.NoError(t, err)
	require.NoError(t, l.Load(t.Context()))
	require.EqualValues(t, 1, l.Status().Replica.Epoch)
	m.put(revocation.DefaultName, far(1<<32+1))
	require.NoError(t, l.Load(t.Context()))
	require.Equal(t, "rolled_back", l.Status().Replica.StoreProblem, "it is near enough to what is known, and has only one rule")
	copied := &memory{}
	copied.put(revocation.DefaultName, fmt.Appendf(nil, `{"version":1,"document":%s}`, far(1<<63)))
	require.Empty(t, restarted(t, copied).Rules(), "nor is a copy believed")
}

// signedBy is a store that believes these keys in a fleet, and signs with the first one.
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
	old, recent := keyNumber(1), keyNumber(2)
	down := &memory{down: true}
	for name, c := range map[string]struct {
		store store.Trusted
		used  bool
	}{
		"the same":                  {signedBy(t, down, "production", old, recent), true},
		"keys in another order":     {signedBy(t, down, "production", recent, old), true},
		"one key more":              {signedBy(t, down, "production", recent, keyNumber(3), old), true},
		"a key was given up":        {signedBy(t, down, "production", recent), false},
		"another fleet":             {signedBy(t, down, "staging", old, recent), false},
		"a store that has no fleet": {down, false},
		"no store":                  {nil, false},
		"encrypted instead":         {encryptedIn(t, down, "production"), false},
	} {
		copied := &memory{}
		first := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{signedBy(t, &memory{}, "production", old, recent)}, LocalCopy: copied}})
		_, err := first.Add(t.Context(), subjectRule(1))
		require.NoError(t, err)
		require.Contains(t, string(copied.docs[revocation.DefaultName].Data), `"fleet":"production"`)

		now := store.ReplicaConfig{LocalCopy: copied}
		if c.store != nil {
			now.Stores = []store.Trusted{c.store}
		}
		l := newList(t, revocation.Config{Replica: now})
		_ = l.Load(t.Context())
		require.Equal(t, c.used, len(l.Rules()) == 1, name)
		require.Equal(t, c.used, known(l), name)
		if !c.used {
			require.Equal(t, "malformed", l.Status().Replica.LocalProblem, name)
		}
	}
}

func encryptedIn(t *testing.T, inner store.Store, fleet string) store.Trusted {
	t.Helper()
	return store.InsecureTrust(store.Encrypted(inner, fleet, bytes.Repeat([]byte("s"), 32)))
}

// A service whose store has no keys says why it cannot read what an operator has signed.
func TestASignedDocumentInAStoreWithoutKeys(t *testing.T) {
	t.Parallel()
	for name, protected := range map[string]func(inner store.Store) store.Trusted{
		"signed":    func(inner store.Store) store.Trusted { return signedBy(t, inner, "production", keyNumber(1)) },
		"encrypted": func(inner store.Store) store.Trusted { return encryptedIn(t, inner, "production") },
	} {
		m := &memory{}
		operators := store.ReplicaConfig{Stores: []store.Trusted{protected(m)}}
		_, err := newList(t, revocation.Config{Replica: operators}).Add(t.Context(), subjectRule(1))
		require.NoError(t, err, name)
		l := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{m}}})
		require.ErrorContains(t, l.Load(t.Context()), "it is signed or encrypted, and this store has no key", name)
		require.Equal(t, "malformed", l.Status().Replica.StoreProblem, name)
	}
}

// A local copy is no document of a store.
func TestALocalCopyIsNoDocumentOfAStore(t *testing.T) {
	t.Parallel()
	copied, m := &memory{}, &memory{}
	_, err := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{signedBy(t, &memory{}, "production", keyNumber(1))}, LocalCopy: copied}}).Add(t.Context(), subjectRule(1))
	require.NoError(t, err)
	m.put(revocation.DefaultName, copied.docs[revocation.DefaultName].Data)
	l := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{m}}})
	require.ErrorContains(t, l.Load(t.Context()), "not one of rules")
	require.Equal(t, "malformed", l.Status().Replica.StoreProblem)
	require.Empty(t, l.Rules())
}

// Rules of another fleet are not accepted, and the log says why.
func TestRulesOfAnotherFleet(t *testing.T) {
	t.Parallel()
	m := &memory{}
	_, err := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{signedBy(t, m, "staging", keyNumber(1))}}}).Add(t.Context(), subjectRule(1))
	require.NoError(t, err)
	var changes []revocation.Status
	var out bytes.Buffer
	l := newList(t, revocation.Config{
		Replica:  store.ReplicaConfig{Stores: []store.Trusted{signedBy(t, m, "production", keyNumber(1))}},
		OnChange: func(_, now revocation.Status) { changes = append(changes, now) }, Logger: slog.New(slog.NewTextHandler(&out, nil)),
	})
	require.ErrorIs(t, l.Load(t.Context()), store.ErrNotAuthentic)
	require.Empty(t, l.Rules())
	require.False(t, known(l))
	require.Equal(t, []revocation.Status{l.Status()}, changes)
	require.Equal(t, "not_authentic", changes[0].Replica.StoreProblem)
	require.Contains(t, out.String(), "staging")
}

// A document holds as many rules and removals as there is room for; no more bytes than a store keeps.
func TestBoundsOfDocuments(t *testing.T) {
	t.Parallel()
	removed := map[string]int64{}
	for i := range 2 * revocation.MaxRemoved {
		removed[tagOf(i)] = time.Now().UnixMicro()
	}
	short := written(t, 1, nil, ruleOn(-1, time.Now()))
	padded := func(length int) []byte { return append(bytes.Clone(short), strings.Repeat(" ", length-len(short))...) }
	var words []string
	for i := range 2 * revocation.MaxRules {
		words = append(words, ruleOn(i, time.Now()))
	}
	for name, c := range map[string]struct {
		doc  []byte
		good bool
	}{
		"removals of two writers": {written(t, 1, removed, ruleOn(-1, time.Now())), true},
		"rules of two writers":    {written(t, 1, nil, words...), true},
		"longest document":        {padded(revocation.MaxDocument), true},
		"too long document":       {padded(revocation.MaxDocument + 1), false},
	} {
		m := &memory{}
		m.put(revocation.DefaultName, c.doc)
		l := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{m}}})
		require.Equal(t, c.good, l.Load(t.Context()) == nil, name)
		require.Equal(t, c.good, l.Status().Replica.StoreProblem == "", name)
		require.Equal(t, c.good, len(l.Rules()) > 0, name)
	}
}

// New names every store that is a nil pointer, and every problem with the arguments of a store.
func TestNilStores(t *testing.T) {
	t.Parallel()
	_, err := revocation.New(revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{(*memory)(nil)}, LocalCopy: (*memory)(nil)}})
	require.ErrorContains(t, err, "revocation: Replica.Stores[0] is a nil pointer")
	require.ErrorContains(t, err, "revocation: Replica.LocalCopy is a nil pointer")
	_, err = revocation.New(revocation.Config{Replica: store.ReplicaConfig{
		Stores: []store.Trusted{store.Signed(store.Dir(""), "", nil)}, LocalCopy: store.Dir(""),
	}})
	for _, says := range []string{
		"revocation: Replica.Stores[0]: store.Dir: the path is empty", "revocation: Replica.Stores[0]: store.Signed: the fleet is empty",
		"revocation: Replica.Stores[0]: store.Signed: there is no public key", "revocation: Replica.LocalCopy: store.Dir: the path is empty",
	} {
		require.ErrorContains(t, err, says)
	}
}

// panicking is a store whose every call panics.
type panicking struct{ memory }

func (*panicking) Load(context.Context, string, string) ([]byte, string, error) { panic("of a store") }

// A store that panics is one that does not answer.
func TestAStoreThatPanicsIsUnavailable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{&panicking{}}}})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		time.Sleep(time.Minute)
		require.Equal(t, "unavailable", l.Status().Replica.StoreProblem)
		require.False(t, known(l))
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
	})
}
