package revocation_test

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

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// A rule rejects a cached token, and that of an open stream.
func TestARuleIsInEffectAtOnce(t *testing.T) {
	t.Parallel()
	list, err := revocation.New(revocation.Config{})
	require.NoError(t, err)
	p := newIDP(t, list)
	ctx := t.Context()
	raw := p.Issue(east, fakeissuer.Claims{Subject: "mallory"})
	tok, err := p.Verify(ctx, raw)
	require.NoError(t, err)
	again, err := p.Verify(ctx, raw)
	require.NoError(t, err)
	require.Same(t, tok, again, "it is cached")
	changed := p.Changed()
	id, err := list.Add(ctx, revocation.Rule{Provider: p.Provider().ID, Subject: "mallory", Note: "stolen laptop"})
	require.NoError(t, err)
	<-changed
	_, err = p.Verify(ctx, raw)
	require.Equal(t, verifier.ReasonRevoked, reason(err))
	require.Equal(t, verifier.ReasonRevoked, reason(p.Recheck(ctx, tok)))
	require.NotContains(t, err.Error(), "stolen")
	p.verified(east, fakeissuer.Claims{Subject: "alice"})
	require.Equal(t, []revocation.Rule{{
		Provider: p.Provider().ID, Subject: "mallory", Note: "stolen laptop", Created: list.Rules()[0].Created,
		ExpiresAt: list.Rules()[0].Created.Add(30 * 24 * time.Hour),
	}}, list.Rules(), "it ends by default")
	require.NotZero(t, list.Rules()[0].Created)
	require.Equal(t, id, list.Rules()[0].ID())
	require.ErrorIs(t, list.Remove(ctx, "unknown"), revocation.ErrNoRule)
	require.NoError(t, list.Remove(ctx, id))
	require.ErrorIs(t, list.Remove(ctx, id), revocation.ErrNoRule)
	_, err = p.Verify(ctx, raw)
	require.NoError(t, err)
	_, err = list.Add(ctx, revocation.Rule{Provider: p.Provider().ID, Subject: "mallory"})
	require.NoError(t, err)
	require.Equal(t, verifier.ReasonRevoked, reason(p.Recheck(ctx, tok)), "added again")
}

func reason(err error) verifier.Reason {
	var e *verifier.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

// A rule ends by itself.
func TestExpiresAt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		list, err := revocation.New(revocation.Config{})
		require.NoError(t, err)
		p := newIDP(t, list)
		raw := p.Issue(east, fakeissuer.Claims{ExpiresIn: 3 * time.Hour})
		_, err = list.Add(t.Context(), revocation.Rule{Provider: "*", Region: east, ExpiresAt: time.Now().Add(time.Hour)})
		require.NoError(t, err)
		_, err = list.Add(t.Context(), revocation.Rule{Provider: "*", Region: east, ExpiresAt: time.Now()})
		require.ErrorContains(t, err, "in the past")
		time.Sleep(time.Hour - time.Second)
		_, err = p.Verify(t.Context(), raw)
		require.Equal(t, verifier.ReasonRevoked, reason(err))
		time.Sleep(time.Second)
		_, err = p.Verify(t.Context(), raw)
		require.NoError(t, err)
		require.Empty(t, list.Rules())
	})
}

func TestUnknownRules(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{down: true}
		ctx, cancel := context.WithCancel(t.Context())
		var changes []revocation.Status
		strict, err := revocation.New(revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{m}}, OnChange: func(old, now revocation.Status) {
			if n := len(changes); n > 0 {
				old.Replica.Confirmed = changes[n-1].Replica.Confirmed
				require.Equal(t, changes[n-1], old)
			}
			changes = append(changes, now)
		}})
		require.NoError(t, err)
		lax, err := revocation.New(revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{m}}, AllowUnknownRules: true})
		require.NoError(t, err)
		p, q := newIDP(t, strict), newIDP(t, lax)
		ended := make(chan error, 2)
		go func() { ended <- strict.Run(ctx) }()
		go func() { ended <- lax.Run(ctx) }()
		time.Sleep(time.Minute)
		_, err = p.Verify(ctx, p.Issue(east, fakeissuer.Claims{}))
		require.Equal(t, verifier.ReasonRulesUnavailable, reason(err))
		require.ErrorIs(t, err, verifier.ErrUnavailable)
		q.verified(east, fakeissuer.Claims{})
		require.Equal(t, status(0, "none", 0, "unavailable"), unconfirmed(strict))

		// What is said while the store is down counts here, and is not lost.
		_, err = strict.Add(ctx, revocation.Rule{Provider: "*", Subject: "s"})
		require.ErrorIs(t, err, store.ErrNotShared)
		_, err = p.Verify(ctx, p.Issue(east, fakeissuer.Claims{Subject: "s"}))
		require.Equal(t, verifier.ReasonRevoked, reason(err))
		m.set(false)
		time.Sleep(time.Second)
		synctest.Wait()
		p.verified(east, fakeissuer.Claims{})
		_, err = strict.Add(ctx, revocation.Rule{Provider: "*", Subject: "s2"})
		require.NoError(t, err)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Len(t, lax.Rules(), 2)
		require.Equal(t, status(2, "store", 2, ""), unconfirmed(lax))
		require.LessOrEqual(t, time.Since(lax.Status().Replica.Confirmed), 500*time.Millisecond)
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
		require.ErrorIs(t, <-ended, context.Canceled)
		require.Len(t, changes, 4)
		for i, want := range []struct {
			rules   int
			epoch   uint64
			problem string
		}{{0, 0, "unavailable"}, {1, 1, "unavailable"}, {1, 1, ""}, {2, 2, ""}} {
			require.Equal(t, want.rules, changes[i].Rules, "one's own changes, too")
			require.Equal(t, want.epoch, changes[i].Replica.Epoch)
			require.Equal(t, want.problem, changes[i].Replica.StoreProblem)
		}
	})
}

// Someone who can write to the store, but has no key, can neither add a rule, nor remove one, nor bring an old one back.
func TestHostileStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte("k"), 32))
		public := store.PublicKey{Key: private.Public().(ed25519.PublicKey)}
		sign := func(key ed25519.PrivateKey) store.Trusted {
			mine := public
			if key != nil {
				mine.Key = key.Public().(ed25519.PublicKey)
			}
			return store.Signed(m, "test", key, mine)
		}
		operator, err := revocation.New(revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{sign(private)}}})
		require.NoError(t, err)
		service, err := revocation.New(revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{sign(nil)}}})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		defer func() { cancel(); synctest.Wait() }()
		go func() { _ = service.Run(ctx) }()
		see := func(want string, subjects ...string) {
			t.Helper()
			time.Sleep(time.Second)
			synctest.Wait()
			var got []string
			for _, e := range service.Rules() {
				got = append(got, e.Subject)
			}
			require.Equal(t, subjects, got)
			require.Equal(t, want, service.Status().Replica.StoreProblem)
		}
		first, err := operator.Add(ctx, revocation.Rule{Provider: "*", Subject: "one"})
		require.NoError(t, err)
		see("", "one")
		withOne := m.docs[revocation.DefaultName].Data
		require.NoError(t, operator.Remove(ctx, first))
		_, err = operator.Add(ctx, revocation.Rule{Provider: "*", Subject: "two"})
		require.NoError(t, err)
		see("", "two")
		good := m.docs[revocation.DefaultName].Data
		write := func(data []byte) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.put(revocation.DefaultName, data)
		}
		write(withOne)
		see("rolled_back", "two")
		mallory := ed25519.NewKeyFromSeed(bytes.Repeat([]byte("m"), 32))
		forger, err := revocation.New(revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{sign(mallory)}}})
		require.NoError(t, err)
		rule := revocation.Rule{Provider: "*", Subject: "everybody"}
		_, err = forger.Add(ctx, rule)
		require.ErrorIs(t, err, store.ErrNotAuthentic, "it does not replace what it cannot read")
		m.mu.Lock()
		m.docs = nil
		m.mu.Unlock()
		_, err = forger.Add(ctx, rule)
		require.NoError(t, err)
		see("not_authentic", "two")
		write(bytes.Replace(good, []byte("two"), []byte("owt"), 1))
		see("not_authentic", "two")
		write(nil)
		see("not_authentic", "two")
		m.mu.Lock()
		m.docs = nil
		m.mu.Unlock()
		see("lost", "two")
		_, err = service.Add(ctx, revocation.Rule{Provider: "*", Subject: "here"})
		require.ErrorContains(t, err, "no private key", "a service cannot write")
		see("lost", "two", "here")
		_, err = operator.Add(ctx, revocation.Rule{Provider: "*", Subject: "three"})
		require.NoError(t, err, "over what is broken")
		see("rolled_back", "two", "here", "three")
	})
}

// An operator whose clock is behind still has the last word.
func TestClocksDiffer(t *testing.T) {
	t.Parallel()
	m := &memory{}
	ahead, err := revocation.New(revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{m}}})
	require.NoError(t, err)
	revocation.SetNow(ahead, func() time.Time { return time.Now().Add(5 * time.Minute) })
	behind, err := revocation.New(revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{m}}})
	require.NoError(t, err)
	rule := revocation.Rule{Provider: "*", Subject: "s"}
	id, err := ahead.Add(t.Context(), rule)
	require.NoError(t, err)
	require.NoError(t, ahead.Remove(t.Context(), id))
	_, err = behind.Add(t.Context(), rule)
	require.NoError(t, err)
	require.Len(t, behind.Rules(), 1)
	require.NoError(t, ahead.Load(t.Context()))
	require.Len(t, ahead.Rules(), 1)
	require.NoError(t, behind.Remove(t.Context(), id))
	require.NoError(t, ahead.Load(t.Context()))
	require.Empty(t, ahead.Rules())
}

// An Add survives a removal whose writer had not seen it, whatever the clocks say; a removal ends what its writer has seen.
func TestAnAddThatTheRemoverHadNotSeenSurvives(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{-time.Hour, 0, time.Hour} {
		m := &memory{}
		fresh := func() *revocation.List {
			return newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{m}}})
		}
		remover, adder := fresh(), fresh()
		revocation.SetNow(remover, func() time.Time { return time.Now().Add(ahead) })
		rule := revocation.Rule{Provider: "*", Subject: "s"}
		id, err := remover.Add(t.Context(), rule)
		require.NoError(t, err)
		require.NoError(t, adder.Load(t.Context()))
		m.set(true)
		rule.Note = "again, on the other side of a partition"
		_, err = adder.Add(t.Context(), rule)
		require.ErrorIs(t, err, store.ErrNotShared)
		m.set(false)
		require.NoError(t, remover.Remove(t.Context(), id))
		require.Empty(t, remover.Rules())
		_, err = adder.Add(t.Context(), revocation.Rule{Provider: "*", Subject: "another"})
		require.NoError(t, err)
		require.NoError(t, remover.Load(t.Context()))
		require.Len(t, remover.Rules(), 2)
		require.Equal(t, adder.Rules(), remover.Rules())
		require.NoError(t, remover.Remove(t.Context(), id), "now it has seen it")
		require.NoError(t, adder.Load(t.Context()))
		require.Len(t, adder.Rules(), 1)
	}
}

// A rule of a newer version is kept byte for byte, reported and not applied; a version that can read it applies it.
func TestRulesOfANewerVersion(t *testing.T) {
	t.Parallel()
	m := &memory{}
	of := func(version int) *revocation.List {
		l := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{m}}})
		revocation.SetNewest(l, version)
		return l
	}
	today := of(2)
	_, err := today.Add(t.Context(), revocation.Rule{Provider: "*", SessionID: "sid", Actor: "a", ActorIssuer: "b"})
	require.NoError(t, err)
	_, err = today.Add(t.Context(), revocation.Rule{Provider: "*", Subject: "s"})
	require.NoError(t, err)
	doc := string(m.docs[revocation.DefaultName].Data)
	odd := entryOf(7, 3, time.Now(), `{ "provider":"*", "device":"d", "sub":["x"] }`)
	wrong := entryOf(8, 1, time.Now(), `{"provider":"*","sid":"of version 2"}`)
	doc = strings.Replace(doc, `"rules":[`, `"rules":[`+odd+","+wrong+",", 1)
	m.put(revocation.DefaultName, []byte(doc))
	for version, want := range map[int]revocation.Status{1: {Rules: 1, Unreadable: 3}, 2: {Rules: 2, Unreadable: 2}} {
		l := of(version)
		require.NoError(t, l.Load(t.Context()))
		require.Equal(t, want.Rules, l.Status().Rules)
		require.Equal(t, want.Unreadable, l.Status().Unreadable)
		require.True(t, known(l))
		_, err := l.Add(t.Context(), subjectRule(version))
		require.NoError(t, err)
		require.NoError(t, l.Remove(t.Context(), subjectRule(version).ID()))
		for _, entry := range []string{odd, wrong} {
			require.Contains(t, string(m.docs[revocation.DefaultName].Data), entry)
		}
	}
	require.NoError(t, today.Load(t.Context()))
	require.Len(t, today.Rules(), 2)
	require.Equal(t, "sid", today.Rules()[0].SessionID)
}

// A document that is not understood in full is not taken in.
func TestStrangeDocuments(t *testing.T) {
	t.Parallel()
	rule := ruleOn(1, time.Now())
	with := func(entries ...string) string { return string(written(t, 3, nil, entries...)) }
	for name, c := range map[string]struct {
		doc   string
		rules int
	}{
		"good":           {with(rule), 1},
		"newer":          {`{"version":2,"epoch":3,"rules":[` + rule + `],"removed":{}}`, 0},
		"a member more":  {`{"version":1,"epoch":3,"rules":[` + rule + `],"removed":{},"more":1}`, 0},
		"no removals":    {`{"version":1,"epoch":3,"rules":[` + rule + `]}`, 0},
		"a member twice": {`{"version":1,"epoch":3,"epoch":4,"rules":[` + rule + `],"removed":{}}`, 0},
		"another case":   {`{"version":1,"Epoch":3,"rules":[` + rule + `],"removed":{}}`, 0},
		"null":           {`{"version":1,"epoch":3,"rules":null,"removed":{}}`, 0},
		"a tag twice":    {with(rule, rule), 0},
		"removed, and there": {
			string(written(t, 3, map[string]int64{tagOf(1): time.Now().UnixMicro()}, rule)), 0,
		},
		"a short tag":      {with(strings.Replace(rule, tagOf(1), "AAAA", 1)), 0},
		"no tag":           {with(strings.Replace(rule, `"tag"`, `"gat"`, 1)), 0},
		"no end":           {with(strings.Replace(rule, `"end"`, `"END"`, 1)), 0},
		"an end in words":  {with(strings.Replace(rule, `"end":`, `"end":"x","n":`, 1)), 0},
		"version 0":        {with(strings.Replace(rule, `"v":1`, `"v":0`, 1)), 0},
		"an entry of text": {with(`"x"`), 0},
		"no JSON":          {`rules`, 0},
	} {
		m := &memory{}
		m.put(revocation.DefaultName, []byte(c.doc))
		l, err := revocation.New(revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{m}}})
		require.NoError(t, err)
		require.Equal(t, c.rules == 0, l.Load(t.Context()) != nil, name)
		require.Len(t, l.Rules(), c.rules, name)
		require.Equal(t, c.rules == 1, known(l), name)
		require.Equal(t, c.rules == 0, l.Status().Replica.StoreProblem == "malformed", name)
		if name == "newer" {
			_, err = l.Add(t.Context(), revocation.Rule{Provider: "*", Subject: "x"})
			require.ErrorIs(t, err, store.ErrNotShared, "it is not ours to replace")
			require.Equal(t, c.doc, string(m.docs[revocation.DefaultName].Data))
		}
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	l, err := revocation.New(revocation.Config{})
	require.NoError(t, err)
	long := strings.Repeat("x", 500)
	n := 0
	for ; ; n++ {
		_, err := l.Add(t.Context(), revocation.Rule{Provider: "*", Subject: fmt.Sprint(n), ClientID: long, Note: long})
		if err != nil {
			require.ErrorIs(t, err, revocation.ErrFull)
			break
		}
		require.Less(t, n, revocation.MaxRules)
	}
	require.Greater(t, n, 750)
	require.Len(t, l.Rules(), n)
	require.NoError(t, l.Remove(t.Context(), l.Rules()[0].ID()))
	_, err = revocation.New(revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{plain{new(memory)}}, PollInterval: -1}})
	require.ErrorContains(t, err, "store.InsecureTrust")
	require.ErrorContains(t, err, "PollInterval")
	_, err = revocation.New(revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{store.InsecureTrust(plain{new(memory)})}}})
	require.NoError(t, err)
	_, err = l.Add(t.Context(), revocation.Rule{})
	require.Error(t, err)
	require.Error(t, func() error { _, err := new(revocation.List).Revoked(nil); return err }(), "the zero List knows nothing")
}
