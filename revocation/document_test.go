package revocation_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
)

// What cannot be read is not replaced, unless that is asked for; what a newer version wrote never is.
func TestAllowOverwrite(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		doc      string
		sealed   bool
		replaces bool
	}{
		"malformed":     {"junk", false, true},
		"not authentic": {"junk", true, true},
		"too large":     {strings.Repeat(" ", revocation.MaxDocument+1), false, true},
		"newer":         {`{"version":2,"epoch":1,"words":[]}`, false, false},
	} {
		m := &memory{}
		var shared store.Trusted = m
		if c.sealed {
			var err error
			shared, err = store.Encrypted(m, "test", []byte(strings.Repeat("k", 32)))
			require.NoError(t, err)
		}
		m.put(revocation.DefaultName, []byte(c.doc))
		_, err := newList(t, revocation.Config{Store: shared}).Add(t.Context(), subjectRule(1))
		require.ErrorIs(t, err, revocation.ErrNotShared, name)
		require.ErrorIs(t, err, revocation.ErrUnreadable, name)
		require.NotErrorIs(t, err, revocation.ErrFull, name)
		require.Equal(t, c.doc, string(m.docs[revocation.DefaultName].Data), name)
		_, err = newList(t, revocation.Config{Store: shared, AllowOverwrite: true}).Add(t.Context(), subjectRule(1))
		if !c.replaces {
			require.ErrorIs(t, err, revocation.ErrUnreadable, name)
			continue
		}
		require.NoError(t, err, name)
		l := newList(t, revocation.Config{Store: shared})
		require.NoError(t, l.Load(t.Context()))
		require.Len(t, l.Rules(), 1, name)
	}
}

// huge is a rule of which some two hundred fill a document.
func huge(i int) revocation.Rule {
	long := strings.Repeat("x", 512)
	return revocation.Rule{
		AllProviders: true, Subject: fmt.Sprint(i), ClientID: long, KeyID: long, Issuer: long, Region: long, Thumbprint: long,
		OriginTokenID: long, Reason: long,
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
			require.NotErrorIs(t, err, revocation.ErrNotShared)
			break
		}
	}
	require.Greater(t, fits, 200)
	var words []string
	for _, e := range filled.Rules() {
		text, err := json.Marshal(map[string]any{"rule": e.Rule, "at": e.Added})
		require.NoError(t, err)
		words = append(words, string(text))
	}
	m.put(revocation.DefaultName, written(t, 1, nil, words...))
	full := size()
	require.Less(t, full, revocation.MaxDocument)

	l := newList(t, revocation.Config{Store: m})
	_, err := l.Add(t.Context(), huge(fits))
	require.ErrorIs(t, err, revocation.ErrNotShared)
	require.ErrorIs(t, err, revocation.ErrFull)
	require.Equal(t, full, size(), "nothing had to go")
	m.set(true)
	counting := fits + 1
	for ; err != nil; counting++ {
		require.Len(t, l.Rules(), counting)
		if _, err = l.Add(t.Context(), huge(counting)); !errors.Is(err, revocation.ErrNotShared) {
			break
		}
	}
	require.ErrorIs(t, err, revocation.ErrFull)
	require.Equal(t, 2*fits, counting)
	require.Len(t, l.Rules(), counting, "the last one does not count")
	m.set(false)

	other := newList(t, revocation.Config{Store: m})
	require.NoError(t, other.Load(t.Context()))
	for i, e := range other.Rules()[:5] {
		require.NoError(t, other.Remove(t.Context(), e.ID))
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
func written(t *testing.T, epoch int, removed map[string]int64, words ...string) []byte {
	t.Helper()
	text, err := json.Marshal(removed)
	require.NoError(t, err)
	return fmt.Appendf(nil, `{"version":1,"epoch":%d,"words":[%s],"removed":%s}`, epoch, strings.Join(words, ","), text)
}

func wordOn(i int, at time.Time) string {
	return fmt.Sprintf(`{"rule":{"all_authorities":true,"sub":"%d"},"at":%q}`, i, at.UTC().Format(time.RFC3339Nano))
}

// Many removals are remembered. When the oldest are forgotten, an old document still brings none of them back; but a newer
// document is believed in whole, however old a rule of it is.
func TestForgottenRemovals(t *testing.T) {
	t.Parallel()
	const remembered = 4096
	began := time.Now().Add(-1000 * 24 * time.Hour)
	old := []string{wordOn(-1, began)}
	removed := map[string]int64{}
	for i := range remembered {
		removed[subjectRule(i).ID()] = began.Add(time.Duration(i+1) * time.Minute).UnixMicro()
		old = append(old, wordOn(i, began))
	}
	for i := range 4 { // these are removed beyond the number
		old = append(old, wordOn(remembered+i, began))
	}
	m := &memory{}
	load := func(l *revocation.List, doc []byte) {
		t.Helper()
		m.put(revocation.DefaultName, doc)
		require.NoError(t, l.Load(t.Context()))
	}
	l := newList(t, revocation.Config{Store: m})
	load(l, written(t, 50, removed, old[0], old[remembered+1]))
	require.Len(t, l.Rules(), 2)
	load(l, written(t, 7, nil, old...))
	require.Equal(t, revocation.Behind, l.Status().Trouble)
	require.Len(t, l.Rules(), 2+3, "those of which nobody said that they were removed")
	for i := range 4 {
		require.NoError(t, l.Remove(t.Context(), subjectRule(remembered+i).ID()))
	}
	require.Less(t, len(m.docs[revocation.DefaultName].Data), revocation.MaxDocument/4)
	current := m.docs[revocation.DefaultName].Data
	load(l, written(t, 7, nil, old...))
	require.Len(t, l.Rules(), 1, "nothing comes back")
	again := newList(t, revocation.Config{Store: m})
	load(again, current)
	load(again, written(t, 7, nil, old...))
	require.Len(t, again.Rules(), 1, "nor where only the document is known")

	load(again, written(t, 55, nil, old[0], wordOn(-2, began)))
	require.Len(t, again.Rules(), 2, "a rule that was learnt late")
	load(again, written(t, 8, nil, wordOn(-3, time.Now())))
	require.Len(t, again.Rules(), 3, "a rule that is new")
}

// A clock that jumps ahead and comes back ends no rule; one that goes on forgets what has ended.
func TestClockGlitch(t *testing.T) {
	t.Parallel()
	m, copied := &memory{}, &memory{}
	ahead := time.Duration(0)
	clock := func() time.Time { return time.Now().Add(ahead) }
	l := newList(t, revocation.Config{Store: m, LocalCopy: copied, Now: clock})
	add := func(r revocation.Rule) {
		t.Helper()
		_, err := l.Add(t.Context(), r)
		require.NoError(t, err)
	}
	rule := revocation.Rule{AllProviders: true, Subject: "s", Until: time.Now().Add(24 * time.Hour)}
	add(rule)
	ahead = 5 * 365 * 24 * time.Hour
	for i := range 3 {
		add(subjectRule(i))
		require.Len(t, l.Rules(), i+1, "it has ended, by this clock")
	}
	require.NoError(t, l.Load(t.Context()))
	ahead = 0
	require.Len(t, l.Rules(), 4)
	other := newList(t, revocation.Config{Store: m})
	require.NoError(t, other.Load(t.Context()))
	require.Len(t, other.Rules(), 4)
	require.Len(t, restarted(t, copied).Rules(), 4)

	l = newList(t, revocation.Config{Store: m, Now: clock})
	stands := func() bool {
		return strings.Contains(string(m.docs[revocation.DefaultName].Data), rule.Until.UTC().Format(time.RFC3339Nano))
	}
	m.docs = nil
	add(rule)
	for day, want := range []bool{true, true, true, false, false} {
		ahead = time.Duration(day) * 25 * time.Hour
		add(subjectRule(day))
		require.Equal(t, want, stands(), day)
	}
}

// A fresh process may be told that there is a document, and how new it is at least.
func TestRequireDocument(t *testing.T) {
	t.Parallel()
	m := &memory{}
	for _, c := range []revocation.Config{{Store: m, RequireDocument: true}, {Store: m, MinEpoch: 1}} {
		l := newList(t, c)
		if err := l.Load(t.Context()); c.RequireDocument {
			require.ErrorIs(t, err, store.ErrNotFound)
		}
		require.Equal(t, revocation.Status{Source: "none", Trouble: revocation.Missing}, withoutAge(l))
	}
	l := newList(t, revocation.Config{Store: m, RequireDocument: true, MinEpoch: 3})
	m.put(revocation.DefaultName, written(t, 2, nil, wordOn(1, time.Now())))
	require.NoError(t, l.Load(t.Context()))
	require.Equal(t, revocation.Status{Source: "none", Trouble: revocation.Behind, Rules: 1, Epoch: 2}, withoutAge(l), "it counts, but is not all")
	_, err := l.Revoked(newIDP(t, nil).verified(east, issuertest.Claims{}))
	require.ErrorIs(t, err, revocation.ErrUnknown)
	copied := &memory{}
	copied.put(revocation.DefaultName, written(t, 2, nil, wordOn(1, time.Now())))
	start := newList(t, revocation.Config{Store: &memory{down: true}, LocalCopy: copied, MinEpoch: 3})
	require.ErrorIs(t, start.Load(t.Context()), errDown)
	require.False(t, start.Status().Known, "an old copy")
	m.put(revocation.DefaultName, written(t, 3, nil, wordOn(2, time.Now())))
	require.NoError(t, l.Load(t.Context()))
	require.Equal(t, revocation.Status{Known: true, Source: "store", Trouble: revocation.Behind, Rules: 2, Epoch: 3}, withoutAge(l))
	m.docs = nil
	require.ErrorIs(t, l.Load(t.Context()), store.ErrNotFound)
	require.True(t, l.Status().Known)
	require.Equal(t, revocation.Wiped, l.Status().Trouble)
	_, err = revocation.New(revocation.Config{MinEpoch: 1})
	require.ErrorContains(t, err, "MinEpoch")
}

func withoutAge(l *revocation.List) revocation.Status {
	s := l.Status()
	s.Age = 0
	return s
}

// No lock is held while the clock is asked or rules are counted: whatever is called may call back.
func TestNoLockIsHeld(t *testing.T) {
	t.Parallel()
	var l *revocation.List
	told := 0
	m := &memory{}
	l = newList(t, revocation.Config{Store: m, LocalCopy: &memory{}, Now: func() time.Time {
		if l != nil {
			l.Changed()
		}
		return time.Now()
	}, OnEvent: func(revocation.Event) {
		told++
		if l.Status().Rules == 1 {
			require.NoError(t, l.Remove(t.Context(), l.Rules()[0].ID))
		}
	}})
	require.NoError(t, l.Load(t.Context()))
	_, err := l.Add(t.Context(), subjectRule(1))
	require.NoError(t, err)
	require.NoError(t, l.Load(t.Context()))
	require.Empty(t, l.Rules())
	require.Equal(t, 3, told)
}
