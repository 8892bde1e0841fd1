package revocation_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/internal/replica"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
)

// A document that cannot be read is not replaced. The rule is in effect here, and is written when the store can be.
func TestADocumentThatCannotBeReadIsNotReplaced(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		doc       string
		encrypted bool
		cause     error
	}{
		"malformed":     {"junk", false, nil},
		"not authentic": {"junk", true, store.ErrNotAuthentic},
		"too large":     {strings.Repeat(" ", revocation.MaxDocument+1), false, nil},
		"newer":         {`{"version":2,"epoch":1,"rules":[]}`, false, replica.ErrNewer},
	} {
		m := &memory{}
		var shared store.Trusted = m
		if c.encrypted {
			shared = store.InsecureTrust(store.Encrypted(m, "test", []byte(strings.Repeat("k", 32))))
		}
		m.put(revocation.DefaultName, []byte(c.doc))
		l := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{shared}}})
		loaded := l.Load(t.Context())
		require.Error(t, loaded, name)
		_, err := l.Add(t.Context(), subjectRule(1))
		require.ErrorIs(t, err, store.ErrNotShared, name)
		require.ErrorIs(t, err, revocation.ErrNotReplaced, name)
		require.NotErrorIs(t, err, revocation.ErrFull, name)
		if c.cause != nil {
			require.ErrorIs(t, err, c.cause, name)
			require.ErrorIs(t, loaded, c.cause, name)
		}
		require.Equal(t, c.doc, string(m.docs[revocation.DefaultName].Data), name)
		require.Len(t, l.Rules(), 1, name)
		m.docs = nil
		_, err = l.Add(t.Context(), subjectRule(2))
		require.NoError(t, err, name)
		other := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{shared}}})
		require.NoError(t, other.Load(t.Context()))
		require.Len(t, other.Rules(), 2, name)
	}
}

// huge is a rule of which some forty fill a document.
func huge(i int) revocation.Rule {
	return revocation.Rule{Provider: "*", Subject: fmt.Sprint(i), ClientID: strings.Repeat("x", 40<<10)}
}

// A rule for which there is no room is not in effect, and the error says so. A rule can be removed when there is no room for
// another one.
func TestFullDocument(t *testing.T) {
	t.Parallel()
	m := &memory{}
	l := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{m}}})
	fits := 0
	for ; ; fits++ {
		if _, err := l.Add(t.Context(), huge(fits)); err != nil {
			require.ErrorIs(t, err, revocation.ErrFull)
			require.NotErrorIs(t, err, store.ErrNotShared)
			break
		}
	}
	require.Greater(t, fits, 40)
	require.Len(t, l.Rules(), fits)
	_, err := l.Add(t.Context(), huge(0))
	require.NoError(t, err, "to renew one needs no more room")
	require.NoError(t, l.Remove(t.Context(), huge(5).ID()))
	_, err = l.Add(t.Context(), huge(fits))
	require.NoError(t, err)
	other := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{m}}})
	require.NoError(t, other.Load(t.Context()))
	require.ElementsMatch(t, l.Rules(), other.Rules())
}

// What two writers have added who did not know of each other is kept, although it is more than one of them may add.
func TestAFullDocumentBesideAnotherOne(t *testing.T) {
	t.Parallel()
	m := &memory{}
	var words []string
	for i := range revocation.MaxRules - 1 {
		words = append(words, ruleOn(i, time.Now()))
	}
	l := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{m}}})
	m.set(true)
	for i := range 5 {
		_, err := l.Add(t.Context(), subjectRule(-1-i))
		require.ErrorIs(t, err, store.ErrNotShared)
	}
	m.set(false)
	m.put(revocation.DefaultName, written(t, 1, nil, words...))
	require.NoError(t, l.Load(t.Context()))
	require.Len(t, l.Rules(), revocation.MaxRules+4)
	_, err := l.Add(t.Context(), subjectRule(-10))
	require.ErrorIs(t, err, revocation.ErrFull)
	require.NoError(t, l.Remove(t.Context(), subjectRule(-1).ID()))
	other := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{m}}})
	require.NoError(t, other.Load(t.Context()))
	require.Len(t, other.Rules(), revocation.MaxRules+3)
}

// A removal is remembered until its rule would have ended. Where there is no room for that, the rule stays, and the error
// says so.
func TestNoRoomForARemoval(t *testing.T) {
	t.Parallel()
	m := &memory{}
	removed := map[string]int64{}
	for i := range revocation.MaxRemoved - 1 {
		removed[tagOf(i)] = time.Now().Add(time.Hour).UnixMicro()
	}
	m.put(revocation.DefaultName, written(t, 1, removed, ruleOn(-1, time.Now()), ruleOn(-2, time.Now())))
	l := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{m}}})
	require.NoError(t, l.Load(t.Context()))
	require.NoError(t, l.Remove(t.Context(), subjectRule(-1).ID()))
	err := l.Remove(t.Context(), subjectRule(-2).ID())
	require.ErrorIs(t, err, revocation.ErrNoRoom)
	require.NotErrorIs(t, err, store.ErrNotShared)
	require.Len(t, l.Rules(), 1, "it stays")
	_, err = l.Add(t.Context(), subjectRule(-2))
	require.NoError(t, err, "and can be renewed")
}

// written makes a document.
func written(t *testing.T, epoch int, removed map[string]int64, entries ...string) []byte {
	t.Helper()
	if removed == nil {
		removed = map[string]int64{}
	}
	text, err := json.Marshal(removed)
	require.NoError(t, err)
	return fmt.Appendf(nil, `{"version":1,"epoch":%d,"rules":[%s],"removed":%s}`, epoch, strings.Join(entries, ","), text)
}

// tagOf is a tag.
func tagOf(i int) string {
	sum := sha256.Sum256(fmt.Append(nil, i))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// ruleOn is an entry of a document, for a rule on a subject.
func ruleOn(i int, at time.Time) string {
	return entryOf(i, 1, at, fmt.Sprintf(`{"provider":"*","sub":"%d"}`, i))
}

func entryOf(i, version int, at time.Time, rule string) string {
	return fmt.Sprintf(`{"tag":%q,"v":%d,"at":%d,"end":%d,"rule":%s}`,
		tagOf(i), version, at.UnixMicro(), at.Add(30*24*time.Hour).UnixMicro(), rule)
}

// An old document that comes back adds no rule that was removed, as long as the rule would not have ended.
func TestAnOldDocumentBringsNothingBack(t *testing.T) {
	t.Parallel()
	m := &memory{}
	l := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{m}}})
	for i := range 3 {
		_, err := l.Add(t.Context(), subjectRule(i))
		require.NoError(t, err)
	}
	old := m.docs[revocation.DefaultName].Data
	require.NoError(t, l.Remove(t.Context(), subjectRule(1).ID()))
	current := m.docs[revocation.DefaultName].Data
	again := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{m}}})
	require.NoError(t, again.Load(t.Context()))
	for _, one := range []*revocation.List{l, again} {
		m.put(revocation.DefaultName, old)
		require.NoError(t, one.Load(t.Context()))
		require.Len(t, one.Rules(), 2)
		require.Equal(t, "rolled_back", one.Status().Replica.StoreProblem)
		m.put(revocation.DefaultName, current)
		require.NoError(t, one.Load(t.Context()))
		require.Empty(t, one.Status().Replica.StoreProblem)
	}
}

// A clock that jumps ahead and comes back ends no rule; one that goes on forgets what has ended.
func TestClockGlitch(t *testing.T) {
	t.Parallel()
	m, copied := &memory{}, &memory{}
	ahead := time.Duration(0)
	clock := func() time.Time { return time.Now().Add(ahead) }
	l := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{m}, LocalCopy: copied}})
	revocation.SetNow(l, clock)
	add := func(r revocation.Rule) {
		t.Helper()
		_, err := l.Add(t.Context(), r)
		require.NoError(t, err)
	}
	rule := revocation.Rule{Provider: "*", Subject: "s", ExpiresAt: time.Now().Add(24 * time.Hour)}
	add(rule)
	ahead = 5 * 365 * 24 * time.Hour
	for i := range 3 {
		add(subjectRule(i))
		require.Len(t, l.Rules(), i+1, "it has ended, by this clock")
	}
	require.NoError(t, l.Load(t.Context()))
	ahead = 0
	require.Len(t, l.Rules(), 4)
	other := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{m}}})
	require.NoError(t, other.Load(t.Context()))
	require.Len(t, other.Rules(), 4)
	require.Len(t, restarted(t, copied).Rules(), 4)

	l = newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{m}}})
	revocation.SetNow(l, clock)
	stands := func() bool {
		return strings.Contains(string(m.docs[revocation.DefaultName].Data), `"sub":"s"`)
	}
	m.docs = nil
	add(rule)
	for day, want := range []bool{true, true, true, false, false} {
		ahead = time.Duration(day) * 25 * time.Hour
		add(subjectRule(day))
		require.Equal(t, want, stands(), day)
	}
}

// MinEpoch says that there is a document, and its minimum epoch. Otherwise the rules are not known.
func TestMinEpoch(t *testing.T) {
	t.Parallel()
	m := &memory{}
	l := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{m}, MinEpoch: 1}})
	require.ErrorIs(t, l.Load(t.Context()), store.ErrNotFound)
	require.Equal(t, status(0, "none", 0, "missing"), unconfirmed(l))
	l = newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{m}, MinEpoch: 3}})
	m.put(revocation.DefaultName, written(t, 2, nil, ruleOn(1, time.Now())))
	require.NoError(t, l.Load(t.Context()))
	require.Equal(t, status(1, "none", 2, "rolled_back"), unconfirmed(l), "it is in effect, but is not all")
	_, err := l.Revoked(newIDP(t, nil).verified(east, fakeissuer.Claims{}))
	require.ErrorIs(t, err, revocation.ErrUnknown)
	copied := &memory{}
	copied.put(revocation.DefaultName, fmt.Appendf(nil, `{"version":1,"document":%s}`, written(t, 2, nil, ruleOn(1, time.Now()))))
	start := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{&memory{down: true}}, LocalCopy: copied, MinEpoch: 3}})
	require.ErrorIs(t, start.Load(t.Context()), errDown)
	require.False(t, known(start), "an old copy")
	require.Zero(t, l.Status().Replica.Confirmed)
	m.put(revocation.DefaultName, written(t, 3, nil, ruleOn(2, time.Now())))
	require.NoError(t, l.Load(t.Context()))
	require.Equal(t, status(2, "store", 3, "rolled_back"), unconfirmed(l))
	m.docs = nil
	require.ErrorIs(t, l.Load(t.Context()), store.ErrNotFound)
	require.True(t, known(l))
	require.Equal(t, "lost", l.Status().Replica.StoreProblem)
	_, err = revocation.New(revocation.Config{Replica: store.ReplicaConfig{MinEpoch: 1}})
	require.ErrorContains(t, err, "MinEpoch")
}

func status(rules int, origin string, epoch uint64, problem string) revocation.Status {
	return revocation.Status{Rules: rules, Reads: 2, Replica: store.ReplicaStatus{Origin: origin, Epoch: epoch, StoreProblem: problem}}
}

func unconfirmed(l *revocation.List) revocation.Status {
	s := l.Status()
	s.Replica.Confirmed, s.Replica.Stores = time.Time{}, nil
	return s
}

// A List without a Replica knows its rules, and its Status says why. The JSON of a Status has its documented names.
func TestStatusOfAListWithoutAReplica(t *testing.T) {
	t.Parallel()
	l := newList(t, revocation.Config{})
	text, err := json.Marshal(l.Status())
	require.NoError(t, err)
	require.JSONEq(t, `{"rules":0,"reads":2,"replica":{"origin":"process","epoch":0}}`, string(text))
}

// No lock is held while the clock is read or OnChange is called: both may call the List.
func TestNoLockIsHeld(t *testing.T) {
	t.Parallel()
	var l *revocation.List
	told := 0
	m := &memory{}
	l = newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{m}, LocalCopy: &memory{}}, OnChange: func(_, now revocation.Status) {
		told++
		if now.Rules == 1 {
			require.NoError(t, l.Remove(t.Context(), l.Rules()[0].ID()))
		}
	}})
	revocation.SetNow(l, func() time.Time {
		l.Changed()
		return time.Now()
	})
	require.NoError(t, l.Load(t.Context()))
	_, err := l.Add(t.Context(), subjectRule(1))
	require.NoError(t, err)
	require.NoError(t, l.Load(t.Context()))
	require.Empty(t, l.Rules())
	require.Equal(t, 3, told)
}
