package revocation_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// A token that is remembered, and one on an open stream, die with the rule.
func TestBreakTheGlass(t *testing.T) {
	t.Parallel()
	list, err := revocation.New(revocation.Config{})
	require.NoError(t, err)
	p := newIDP(t, list)
	ctx := t.Context()
	raw := p.Token(east, issuertest.Claims{Subject: "mallory"})
	tok, err := p.Verify(ctx, raw)
	require.NoError(t, err)
	again, err := p.Verify(ctx, raw)
	require.NoError(t, err)
	require.Same(t, tok, again, "it is remembered")
	changed := p.Changed()
	id, err := list.Add(ctx, revocation.Rule{Provider: p.Provider().ID, Subject: "mallory", Reason: "stolen laptop"})
	require.NoError(t, err)
	<-changed
	_, err = p.Verify(ctx, raw)
	require.Equal(t, verifier.ReasonRevoked, reason(err))
	require.Equal(t, verifier.ReasonRevoked, reason(p.Recheck(ctx, tok)))
	require.NotContains(t, err.Error(), "stolen")
	p.verified(east, issuertest.Claims{Subject: "alice"})
	require.Equal(t, []revocation.Entry{{
		ID: id, Added: list.Rules()[0].Added, Rule: revocation.Rule{Provider: p.Provider().ID, Subject: "mallory", Reason: "stolen laptop"},
	}}, list.Rules())
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
	return 0
}

// A rule ends by itself.
func TestUntil(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		list, err := revocation.New(revocation.Config{})
		require.NoError(t, err)
		p := newIDP(t, list)
		raw := p.Token(east, issuertest.Claims{ExpiresIn: 3 * time.Hour})
		_, err = list.Add(t.Context(), revocation.Rule{AllProviders: true, Region: east, Until: time.Now().Add(time.Hour)})
		require.NoError(t, err)
		_, err = list.Add(t.Context(), revocation.Rule{AllProviders: true, Region: east, Until: time.Now()})
		require.ErrorContains(t, err, "ended")
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
		var events []revocation.Event
		strict, err := revocation.New(revocation.Config{Store: m, OnEvent: func(e revocation.Event) { events = append(events, e) }})
		require.NoError(t, err)
		lax, err := revocation.New(revocation.Config{Store: m, AllowUnknownRules: true})
		require.NoError(t, err)
		p, q := newIDP(t, strict), newIDP(t, lax)
		ended := make(chan error, 2)
		go func() { ended <- strict.Run(ctx) }()
		go func() { ended <- lax.Run(ctx) }()
		time.Sleep(time.Minute)
		_, err = p.Verify(ctx, p.Token(east, issuertest.Claims{}))
		require.Equal(t, verifier.ReasonRulesUnavailable, reason(err))
		require.ErrorIs(t, err, verifier.ErrUnavailable)
		q.verified(east, issuertest.Claims{})
		require.Equal(t, revocation.Status{Source: "none", Trouble: revocation.Unreachable}, strict.Status())

		// What is said while the store is down counts here, and is not lost.
		_, err = strict.Add(ctx, revocation.Rule{AllProviders: true, Subject: "s"})
		require.ErrorIs(t, err, revocation.ErrNotShared)
		_, err = p.Verify(ctx, p.Token(east, issuertest.Claims{Subject: "s"}))
		require.Equal(t, verifier.ReasonRevoked, reason(err))
		m.set(false)
		time.Sleep(time.Second)
		synctest.Wait()
		p.verified(east, issuertest.Claims{})
		_, err = strict.Add(ctx, revocation.Rule{AllProviders: true, Subject: "s2"})
		require.NoError(t, err)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Len(t, lax.Rules(), 2, "the first one was written with the second")
		st := lax.Status()
		require.Equal(t, revocation.Status{Known: true, Rules: 2, Epoch: 1, Source: "store", Age: st.Age}, st)
		require.LessOrEqual(t, st.Age, revocation.DefaultPoll)
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
		require.ErrorIs(t, <-ended, context.Canceled)
		require.Equal(t, revocation.Unreachable, events[0].Trouble)
		require.ErrorIs(t, events[0].Err, errDown)
		require.Equal(t, revocation.Unreachable, events[1].Trouble)
		require.Equal(t, []int{0, 1, 1, 2}, []int{events[0].Rules, events[1].Rules, events[2].Rules, events[3].Rules}, "one's own changes too")
		require.Empty(t, events[2].Trouble)
		require.Equal(t, uint64(1), events[3].Epoch)
		require.Len(t, events, 4)
	})
}

// Someone who can write to the store, but has no key, can neither add a rule, nor remove one, nor bring an old one back.
func TestHostileStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte("k"), 32))
		public := []ed25519.PublicKey{private.Public().(ed25519.PublicKey)}
		sign := func(key ed25519.PrivateKey) store.Trusted {
			mine := public
			if key != nil {
				mine = []ed25519.PublicKey{key.Public().(ed25519.PublicKey)}
			}
			s, err := store.Signed(m, "test", store.Signing{Public: mine, Private: key})
			require.NoError(t, err)
			return s
		}
		operator, err := revocation.New(revocation.Config{Store: sign(private)})
		require.NoError(t, err)
		service, err := revocation.New(revocation.Config{Store: sign(nil)})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		defer func() { cancel(); synctest.Wait() }()
		go func() { _ = service.Run(ctx) }()
		see := func(want revocation.Trouble, subjects ...string) {
			t.Helper()
			time.Sleep(time.Second)
			synctest.Wait()
			var got []string
			for _, e := range service.Rules() {
				got = append(got, e.Rule.Subject)
			}
			require.Equal(t, subjects, got)
			require.Equal(t, want, service.Status().Trouble)
		}
		first, err := operator.Add(ctx, revocation.Rule{AllProviders: true, Subject: "one"})
		require.NoError(t, err)
		see("", "one")
		withOne := m.docs[revocation.DefaultName].Data
		require.NoError(t, operator.Remove(ctx, first))
		_, err = operator.Add(ctx, revocation.Rule{AllProviders: true, Subject: "two"})
		require.NoError(t, err)
		see("", "two")
		good := m.docs[revocation.DefaultName].Data
		write := func(data []byte) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.put(revocation.DefaultName, data)
		}
		write(withOne)
		see(revocation.Behind, "two")
		mallory := ed25519.NewKeyFromSeed(bytes.Repeat([]byte("m"), 32))
		forger, err := revocation.New(revocation.Config{Store: sign(mallory), AllowOverwrite: true})
		require.NoError(t, err)
		_, err = forger.Add(ctx, revocation.Rule{AllProviders: true, Subject: "everybody"})
		require.NoError(t, err)
		see(revocation.NotAuthentic, "two")
		write(bytes.Replace(good, []byte("two"), []byte("owt"), 1))
		see(revocation.NotAuthentic, "two")
		write(nil)
		see(revocation.NotAuthentic, "two")
		m.mu.Lock()
		m.docs = nil
		m.mu.Unlock()
		see(revocation.Wiped, "two")
		_, err = service.Add(ctx, revocation.Rule{AllProviders: true, Subject: "here"})
		require.ErrorIs(t, err, store.ErrNoPrivateKey, "a service has no key to write with")
		see(revocation.Wiped, "two", "here")
		_, err = operator.Add(ctx, revocation.Rule{AllProviders: true, Subject: "three"})
		require.NoError(t, err, "over what is broken")
		see(revocation.Behind, "two", "here", "three")
	})
}

// An operator whose clock is behind still has the last word.
func TestClocksDiffer(t *testing.T) {
	t.Parallel()
	m := &memory{}
	ahead, err := revocation.New(revocation.Config{Store: m, Now: func() time.Time { return time.Now().Add(5 * time.Minute) }})
	require.NoError(t, err)
	behind, err := revocation.New(revocation.Config{Store: m})
	require.NoError(t, err)
	rule := revocation.Rule{AllProviders: true, Subject: "s"}
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

// A document that is not understood in full is not taken in.
func TestStrangeDocuments(t *testing.T) {
	t.Parallel()
	const word = `{"rule":{"all_authorities":true,"sub":"s"},"at":"2026-01-02T03:04:05Z"}`
	for name, c := range map[string]struct {
		doc   string
		rules int
	}{
		"good":            {`{"version":1,"epoch":3,"words":[` + word + `]}`, 1},
		"newer":           {`{"version":2,"epoch":3,"words":[` + word + `]}`, 0},
		"a field more":    {`{"version":1,"epoch":3,"words":[{"rule":{"all_authorities":true,"sub":"s","device":"d"},"at":"2026-01-02T03:04:05Z"}]}`, 0},
		"another case":    {`{"version":1,"epoch":3,"words":[{"rule":{"all_authorities":true,"SUB":"s"},"at":"2026-01-02T03:04:05Z"}]}`, 0},
		"a member twice":  {`{"version":1,"epoch":3,"epoch":4,"words":[` + word + `]}`, 0},
		"an illegal rule": {`{"version":1,"epoch":3,"words":[{"rule":{"all_authorities":true},"at":"2026-01-02T03:04:05Z"}]}`, 0},
		"no time":         {`{"version":1,"epoch":3,"words":[{"rule":{"all_authorities":true,"sub":"s"}}]}`, 0},
		"no JSON":         {`rules`, 0},
		"too many":        {`{"version":1,"epoch":3,"words":[` + strings.Repeat(word+",", revocation.MaxRules) + word + `]}`, 0},
	} {
		m := &memory{}
		m.put(revocation.DefaultName, []byte(c.doc))
		l, err := revocation.New(revocation.Config{Store: m})
		require.NoError(t, err)
		require.NoError(t, l.Load(t.Context()))
		require.Len(t, l.Rules(), c.rules, name)
		require.Equal(t, c.rules == 1, l.Status().Known, name)
		require.Equal(t, c.rules == 0, l.Status().Trouble == revocation.Malformed, name)
		if name == "newer" {
			_, err = l.Add(t.Context(), revocation.Rule{AllProviders: true, Subject: "x"})
			require.ErrorIs(t, err, revocation.ErrNotShared, "it is not ours to replace")
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
		_, err := l.Add(t.Context(), revocation.Rule{AllProviders: true, Subject: fmt.Sprint(n), ClientID: long, Reason: long})
		if err != nil {
			require.ErrorIs(t, err, revocation.ErrFull)
			break
		}
		require.Less(t, n, revocation.MaxRules)
	}
	require.Greater(t, n, 750)
	require.Len(t, l.Rules(), n)
	require.NoError(t, l.Remove(t.Context(), l.Rules()[0].ID))
	_, err = revocation.New(revocation.Config{Store: plain{new(memory)}, Poll: -1})
	require.ErrorContains(t, err, "Authentic")
	require.ErrorContains(t, err, "Poll")
	_, err = revocation.New(revocation.Config{Store: plain{new(memory)}, InsecurePlainStore: true})
	require.NoError(t, err)
	_, err = l.Add(t.Context(), revocation.Rule{})
	require.Error(t, err)
	require.Error(t, func() error { _, err := new(revocation.List).Revoked(nil); return err }(), "the zero List knows nothing")
}

// plain hides that a store is Authentic.
type plain struct{ store.Store }

// Several writers at once lose nothing.
func TestWriters(t *testing.T) {
	t.Parallel()
	m := &memory{}
	var wg sync.WaitGroup
	for i := range 6 {
		l, err := revocation.New(revocation.Config{Store: m})
		require.NoError(t, err)
		for j := range 5 {
			wg.Go(func() {
				_, err := l.Add(t.Context(), revocation.Rule{AllProviders: true, Subject: fmt.Sprint(i, j)})
				if err != nil && !errors.Is(err, store.ErrConflict) {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	l, err := revocation.New(revocation.Config{Store: m})
	require.NoError(t, err)
	_, err = l.Add(t.Context(), revocation.Rule{AllProviders: true, Subject: "last"})
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(l.Rules()), 30)
	require.True(t, slices.IsSortedFunc(l.Rules(), func(a, b revocation.Entry) int { return a.Added.Compare(b.Added) }))
}
