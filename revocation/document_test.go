package revocation_test

import (
	"encoding/json"
	"errors"
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
			shared = store.Encrypted(m, "test", []byte(strings.Repeat("k", 32)))
		}
		m.put(revocation.DefaultName, []byte(c.doc))
		l := newList(t, revocation.Config{Replica: store.ReplicaConfig{Store: shared}})
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
		other := newList(t, revocation.Config{Replica: store.ReplicaConfig{Store: shared}})
		require.NoError(t, other.Load(t.Context()))
		require.Len(t, other.Rules(), 2, name)
	}
}

// huge is a rule of which some two hundred fill a document.
func huge(i int) revocation.Rule {
	long := strings.Repeat("x", 512)
	return revocation.Rule{
		Provider: "*", Subject: fmt.Sprint(i), ClientID: long + long, KeyID: long, Region: long, Thumbprint: long,
		OriginTokenID: long, Note: long,
	}
}

// A rule that finds no room in the document counts here, as long as there is memory for it. From a full document rules can be
// removed, and leave little behind.
func TestFullDocument(t *testing.T) {
	t.Parallel()
	m := &memory{}
	size := func() int { return len(m.docs[revocation.DefaultName].Data) }
	filled := newList(t, revocation.Config{}) // it holds what a document does
	fits := 0
	for ; ; fits++ {
		if _, err := filled.Add(t.Context(), huge(fits)); err != nil {
			require.ErrorIs(t, err, revocation.ErrFull)
			require.NotErrorIs(t, err, store.ErrNotShared)
			break
		}
	}
	require.Greater(t, fits, 200)
	var rules []string
	for _, r := range filled.Rules() {
		text, err := json.Marshal(r)
		require.NoError(t, err)
		rules = append(rules, string(text))
	}
	m.put(revocation.DefaultName, written(t, 1, nil, rules...))
	full := size()
	require.Less(t, full, revocation.MaxDocument)

	l := newList(t, revocation.Config{Replica: store.ReplicaConfig{Store: m}})
	_, err := l.Add(t.Context(), huge(fits))
	require.ErrorIs(t, err, store.ErrNotShared)
	require.ErrorIs(t, err, revocation.ErrFull)
	require.Equal(t, full, size(), "nothing had to go")
	m.set(true)
	counting := fits + 1
	for ; err != nil; counting++ {
		require.Len(t, l.Rules(), counting)
		if _, err = l.Add(t.Context(), huge(counting)); !errors.Is(err, store.ErrNotShared) {
			break
		}
	}
	require.ErrorIs(t, err, revocation.ErrFull)
	require.Equal(t, 2*fits, counting)
	require.Len(t, l.Rules(), counting, "the last one does not count")
	m.set(false)

	other := newList(t, revocation.Config{Replica: store.ReplicaConfig{Store: m}})
	require.NoError(t, other.Load(t.Context()))
	for i, r := range other.Rules()[:5] {
		require.NoError(t, other.Remove(t.Context(), r.ID()))
		require.Less(t, size(), full-(i+1)*3500)
	}
	// The next word of the first one writes down what found no room before.
	require.NoError(t, l.Remove(t.Context(), huge(5).ID()))
	require.Len(t, l.Rules(), counting-6)
	require.NoError(t, other.Load(t.Context()))
	require.Len(t, other.Rules(), fits)
	require.Contains(t, other.Rules(), l.Rules()[counting-7], "the newest")
}

// written makes a document.
func written(t *testing.T, epoch int, removed map[string]int64, rules ...string) []byte {
	t.Helper()
	text, err := json.Marshal(removed)
	require.NoError(t, err)
	return fmt.Appendf(nil, `{"version":1,"epoch":%d,"rules":[%s],"removed":%s}`, epoch, strings.Join(rules, ","), text)
}

func ruleOn(i int, at time.Time) string {
	return fmt.Sprintf(`{"provider":"*","sub":"%d","created":%q}`, i, at.UTC().Format(time.RFC3339Nano))
}

// Many removals are remembered. When the oldest are forgotten, an old document still brings none of them back; but a newer
// document is believed in whole, however old a rule of it is.
func TestForgottenRemovals(t *testing.T) {
	t.Parallel()
	const remembered = 4096
	began := time.Now().Add(-1000 * 24 * time.Hour)
	old := []string{ruleOn(-1, began)}
	removed := map[string]int64{}
	for i := range remembered {
		removed[subjectRule(i).ID()] = began.Add(time.Duration(i+1) * time.Minute).UnixMicro()
		old = append(old, ruleOn(i, began))
	}
	for i := range 4 { // these are removed beyond the number
		old = append(old, ruleOn(remembered+i, began))
	}
	m := &memory{}
	load := func(l *revocation.List, doc []byte) {
		t.Helper()
		m.put(revocation.DefaultName, doc)
		require.NoError(t, l.Load(t.Context()))
	}
	l := newList(t, revocation.Config{Replica: store.ReplicaConfig{Store: m}})
	load(l, written(t, 50, removed, old[0], old[remembered+1]))
	require.Len(t, l.Rules(), 2)
	load(l, written(t, 7, nil, old...))
	require.Equal(t, "rolled_back", l.Status().Replica.StoreProblem)
	require.Len(t, l.Rules(), 2+3, "those of which nobody said that they were removed")
	for i := range 4 {
		require.NoError(t, l.Remove(t.Context(), subjectRule(remembered+i).ID()))
	}
	require.Less(t, len(m.docs[revocation.DefaultName].Data), revocation.MaxDocument/4)
	current := m.docs[revocation.DefaultName].Data
	load(l, written(t, 7, nil, old...))
	require.Len(t, l.Rules(), 1, "nothing comes back")
	again := newList(t, revocation.Config{Replica: store.ReplicaConfig{Store: m}})
	load(again, current)
	load(again, written(t, 7, nil, old...))
	require.Len(t, again.Rules(), 1, "nor where only the document is known")

	load(again, written(t, 55, nil, old[0], ruleOn(-2, began)))
	require.Len(t, again.Rules(), 2, "a rule that arrived late")
	load(again, written(t, 8, nil, ruleOn(-3, time.Now())))
	require.Len(t, again.Rules(), 3, "a rule that is new")
}

// A clock that jumps ahead and comes back ends no rule; one that goes on forgets what has ended.
func TestClockGlitch(t *testing.T) {
	t.Parallel()
	m, copied := &memory{}, &memory{}
	ahead := time.Duration(0)
	clock := func() time.Time { return time.Now().Add(ahead) }
	l := newList(t, revocation.Config{Replica: store.ReplicaConfig{Store: m, LocalCopy: copied}})
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
	other := newList(t, revocation.Config{Replica: store.ReplicaConfig{Store: m}})
	require.NoError(t, other.Load(t.Context()))
	require.Len(t, other.Rules(), 4)
	require.Len(t, restarted(t, copied).Rules(), 4)

	l = newList(t, revocation.Config{Replica: store.ReplicaConfig{Store: m}})
	revocation.SetNow(l, clock)
	stands := func() bool {
		return strings.Contains(string(m.docs[revocation.DefaultName].Data), rule.ExpiresAt.UTC().Format(time.RFC3339Nano))
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
	l := newList(t, revocation.Config{Replica: store.ReplicaConfig{Store: m, MinEpoch: 1}})
	require.ErrorIs(t, l.Load(t.Context()), store.ErrNotFound)
	require.Equal(t, status(0, "none", 0, "missing"), unconfirmed(l))
	l = newList(t, revocation.Config{Replica: store.ReplicaConfig{Store: m, MinEpoch: 3}})
	m.put(revocation.DefaultName, written(t, 2, nil, ruleOn(1, time.Now())))
	require.NoError(t, l.Load(t.Context()))
	require.Equal(t, status(1, "none", 2, "rolled_back"), unconfirmed(l), "it is in effect, but is not all")
	_, err := l.Revoked(newIDP(t, nil).verified(east, fakeissuer.Claims{}))
	require.ErrorIs(t, err, revocation.ErrUnknown)
	copied := &memory{}
	copied.put(revocation.DefaultName, written(t, 2, nil, ruleOn(1, time.Now())))
	start := newList(t, revocation.Config{Replica: store.ReplicaConfig{Store: &memory{down: true}, LocalCopy: copied, MinEpoch: 3}})
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
	return revocation.Status{Rules: rules, Replica: store.ReplicaStatus{Origin: origin, Epoch: epoch, StoreProblem: problem}}
}

func unconfirmed(l *revocation.List) revocation.Status {
	s := l.Status()
	s.Replica.Confirmed = time.Time{}
	return s
}

// A List without a Replica knows its rules, and its Status says why. The JSON of a Status has its documented names.
func TestStatusOfAListWithoutAReplica(t *testing.T) {
	t.Parallel()
	l := newList(t, revocation.Config{})
	text, err := json.Marshal(l.Status())
	require.NoError(t, err)
	require.JSONEq(t, `{"rules":0,"replica":{"origin":"process","epoch":0}}`, string(text))
}

// No lock is held while the clock is read or OnChange is called: both may call the List.
func TestNoLockIsHeld(t *testing.T) {
	t.Parallel()
	var l *revocation.List
	told := 0
	m := &memory{}
	l = newList(t, revocation.Config{Replica: store.ReplicaConfig{Store: m, LocalCopy: &memory{}}, OnChange: func(_, now revocation.Status) {
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
