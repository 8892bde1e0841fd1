package revocation_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/revocation/internal/signaldoc"
	"github.com/regionjwt/regionjwt/store"
)

// leaked returns a document as someone writes it who has the key of a receiver.
func leaked(t *testing.T, created, ends time.Time, rules ...revocation.Rule) []byte {
	t.Helper()
	var entries []string
	for i, r := range rules {
		text, err := json.Marshal(r)
		require.NoError(t, err)
		version := 1
		if r.SessionID != "" || r.Actor != "" {
			version = 2
		}
		entries = append(entries, fmt.Sprintf(`{"tag":"AAAAAAAAAAAAAAAAAAAA%c%c","v":%d,"at":%d,"end":%d,"rule":%s}`,
			'A'+i/16, "AQgw"[i%4], version, created.UnixMicro(), ends.UnixMicro(), text))
	}
	return []byte(`{"version":1,"epoch":1,"rules":[` + strings.Join(entries, ",") + `],"removed":{"CAAAAAAAAAAAAAAAAAAAAA":` +
		fmt.Sprint(ends.UnixMicro()) + `}}`)
}

func withSignals(t *testing.T, m *memory, providers ...string) *revocation.List {
	t.Helper()
	l, err := revocation.New(revocation.Config{Signals: []revocation.Signals{{
		Replica: store.ReplicaConfig{Stores: []store.Trusted{m}}, Providers: providers,
	}}})
	require.NoError(t, err)
	require.NoError(t, l.Load(t.Context()))
	return l
}

// Who has the key of a receiver can sign users of its providers out, for a day, and nothing else.
func TestTheKeyOfAReceiverHasBoundedPower(t *testing.T) {
	t.Parallel()
	p := newIDP(t, nil)
	tok := p.verified(east, fakeissuer.Claims{Subject: "alice", Set: map[string]any{"sid": "s1"}})
	id, now := tok.Provider(), time.Now()
	in := now.Add
	for name, c := range map[string]struct {
		rule          revocation.Rule
		created, ends time.Time
		applied       bool
	}{
		"a user":                   {revocation.Rule{Provider: id, Subject: "alice", IssuedBefore: now}, now, in(25 * time.Hour), true},
		"a session":                {revocation.Rule{Provider: id, SessionID: "s1"}, now, in(time.Hour), true},
		"a token":                  {revocation.Rule{Provider: id, TokenID: tok.ID()}, now, in(time.Hour), true},
		"every provider":           {revocation.Rule{Provider: "*", Subject: "alice", IssuedBefore: now}, now, in(time.Hour), false},
		"another provider":         {revocation.Rule{Provider: "bank", Subject: "alice", IssuedBefore: now}, now, in(time.Hour), false},
		"everybody":                {revocation.Rule{Provider: id, IssuedBefore: now}, now, in(time.Hour), false},
		"a key":                    {revocation.Rule{Provider: id, KeyID: tok.Key().ID()}, now, in(time.Hour), false},
		"a key of a user":          {revocation.Rule{Provider: id, Subject: "alice", IssuedBefore: now, KeyID: tok.Key().ID()}, now, in(time.Hour), false},
		"a region":                 {revocation.Rule{Provider: id, Region: east}, now, in(time.Hour), false},
		"for longer":               {revocation.Rule{Provider: id, Subject: "alice", IssuedBefore: now}, now, in(25*time.Hour + time.Second), false},
		"made in the future":       {revocation.Rule{Provider: id, Subject: "alice", IssuedBefore: now}, in(6 * time.Minute), in(time.Hour), false},
		"who may not sign in":      {revocation.Rule{Provider: id, Subject: "alice"}, now, in(time.Hour), false},
		"who may not sign in soon": {revocation.Rule{Provider: id, Subject: "alice", IssuedBefore: in(time.Hour)}, now, in(2 * time.Hour), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &memory{}
			m.put(signaldoc.DefaultName, leaked(t, c.created, c.ends, c.rule))
			l := withSignals(t, m, id)
			found, err := l.Revoked(tok)
			require.NoError(t, err)
			require.Equal(t, c.applied, found != "")
			s := l.Status().Signals[0]
			require.Equal(t, []any{signaldoc.DefaultName, c.applied, !c.applied}, []any{s.Name, s.Rules == 1, s.Refused == 1})
			require.Equal(t, c.applied, len(l.Rules()) == 1)
		})
	}
}

// A document of a receiver takes away no rule of operators, whatever it says.
func TestAReceiverRemovesNothing(t *testing.T) {
	t.Parallel()
	p := newIDP(t, nil)
	tok := p.verified(east, fakeissuer.Claims{Subject: "alice"})
	operators, signals := &memory{}, &memory{}
	writer := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{operators}}})
	id, err := writer.Add(t.Context(), revocation.Rule{Provider: tok.Provider(), Subject: "alice"})
	require.NoError(t, err)
	text := string(operators.docs[revocation.DefaultName].Data)
	_, tag, _ := strings.Cut(text, `"tag":"`)
	end := time.Now().Add(30 * 24 * time.Hour).UnixMicro()
	signals.put(signaldoc.DefaultName, []byte(fmt.Sprintf(`{"version":1,"epoch":9,"rules":[],"removed":{%q:%d}}`, tag[:22], end)))
	l, err := revocation.New(revocation.Config{
		Replica: store.ReplicaConfig{Stores: []store.Trusted{operators}},
		Signals: []revocation.Signals{{Replica: store.ReplicaConfig{Stores: []store.Trusted{signals}}, Providers: []string{"p"}}},
	})
	require.NoError(t, err)
	require.NoError(t, l.Load(t.Context()))
	found, err := l.Revoked(tok)
	require.NoError(t, err)
	require.Equal(t, id, found)
}

// While the rules of signals are not known, tokens are not judged; the other rules still reject.
func TestUnknownSignalsAreNotNone(t *testing.T) {
	t.Parallel()
	p := newIDP(t, nil)
	tok := p.verified(east, fakeissuer.Claims{Subject: "alice"})
	m := &memory{down: true}
	c := revocation.Config{Signals: []revocation.Signals{{
		Replica: store.ReplicaConfig{Stores: []store.Trusted{m}}, Providers: []string{"p"},
	}}}
	l := newList(t, c)
	require.Error(t, l.Load(t.Context()))
	_, err := l.Revoked(tok)
	require.ErrorIs(t, err, revocation.ErrUnknown)
	c.AllowUnknownRules = true
	lax := newList(t, c)
	_, err = lax.Revoked(tok)
	require.NoError(t, err)
}

// New reports every problem with signals.
func TestProblemsWithSignals(t *testing.T) {
	t.Parallel()
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	signed := func(documents ...string) store.ReplicaConfig {
		k := store.PublicKey{Key: public, Documents: documents}
		return store.ReplicaConfig{Stores: []store.Trusted{store.Signed(&memory{}, "f", private, k)}}
	}
	named := signed(signaldoc.DefaultName)
	named.Name = revocation.DefaultName
	_, err = revocation.New(revocation.Config{Signals: []revocation.Signals{
		{},
		{Replica: signed(), Providers: []string{"*"}, MaxLifetime: -1},
		{Replica: signed("a", signaldoc.DefaultName), Providers: []string{"p"}},
		{Replica: named, Providers: []string{"p"}},
	}})
	require.Error(t, err)
	for _, text := range []string{
		"Signals[0].Replica.Stores is empty", "Signals[0].Providers is empty", `Signals[1].Providers names "*"`,
		"Signals[1].MaxLifetime", "Signals[1].Replica.Stores[0]: no key is listed", "Signals[2].Replica.Name",
		"Signals[2].Replica.Stores[0]: key", `Signals[3].Replica.Name is "regionjwt/revocation"`,
	} {
		require.ErrorContains(t, err, text)
	}
	require.Error(t, newList(t, revocation.Config{}).IgnoreSignals(t.Context(), "", time.Second))
}

// opened returns a document that writes to m.
func opened(t *testing.T, m *memory, providers ...string) signaldoc.Document {
	t.Helper()
	d, err := signaldoc.Open(signaldoc.Config{
		Replica: store.ReplicaConfig{Stores: []store.Trusted{m}, Name: signaldoc.DefaultName}, Providers: providers,
	})
	require.NoError(t, err)
	return d
}

// event returns a rule for the n-th event.
func event(n int, subject, session string, before time.Time) signaldoc.Rule {
	return signaldoc.Rule{
		Tag: [16]byte{byte(n >> 16), byte(n >> 8), byte(n)}, Provider: "p", Subject: subject, SessionID: session,
		IssuedBefore: before, Ends: before.Add(24 * time.Hour), Note: "n",
	}
}

func addAll(t *testing.T, d signaldoc.Document, rules ...signaldoc.Rule) []signaldoc.Result {
	t.Helper()
	results, err := d.Add(t.Context(), rules)
	require.NoError(t, err)
	require.Len(t, results, len(rules))
	return results
}

// A subject has one rule, that with the latest time, and at most 16 for its sessions: one more makes a rule for the subject.
func TestOneSubjectTakesLittleRoom(t *testing.T) {
	t.Parallel()
	m, now := &memory{}, time.Now().Truncate(time.Second)
	d := opened(t, m, "p")
	rules := func() []revocation.Rule { return withSignals(t, m, "p").Rules() }
	for i := range 16 {
		addAll(t, d, event(i, "alice", fmt.Sprintf("s%d", i), now.Add(-time.Duration(i)*time.Second)))
	}
	addAll(t, d, event(90, "bob", "s0", now))
	require.Len(t, rules(), 17)
	addAll(t, d, event(16, "alice", "s16", now.Add(-time.Hour)))
	require.Len(t, rules(), 2)
	for _, r := range rules() {
		require.True(t, now.Equal(r.IssuedBefore), "the latest time of all sessions")
		require.Equal(t, r.Subject == "alice", r.SessionID == "")
	}
	addAll(t, d, event(17, "alice", "", now.Add(-time.Minute)), event(18, "alice", "s1", now))
	require.Len(t, rules(), 2, "they are covered")
	addAll(t, d, event(19, "alice", "", now.Add(time.Second)))
	require.Len(t, rules(), 2, "a later one takes the place")
}

// A flood of session events takes at most three quarters of the room of its provider; disabled accounts always find room, and so
// do other providers.
func TestAFloodLeavesRoom(t *testing.T) {
	t.Parallel()
	m, now := &memory{}, time.Now().Truncate(time.Second)
	d := opened(t, m, "p", "q")
	var flood []signaldoc.Rule
	for i := range 6000 {
		flood = append(flood, event(i, fmt.Sprintf("u%d", i), "", now))
	}
	accepted := 0
	for _, r := range addAll(t, d, flood...) {
		if r.Err == nil {
			accepted++
			continue
		}
		require.ErrorIs(t, r.Err, signaldoc.ErrNoRoom)
	}
	require.InDelta(t, 3750, accepted, 20)
	disabled := event(7000, "victim", "", now)
	disabled.Reserved = true
	other := event(7001, "u1", "s", now)
	other.Provider = "q"
	again := event(7002, "u1", "", now.Add(time.Second))
	for _, r := range addAll(t, d, disabled, other, again) {
		require.NoError(t, r.Err)
	}
	require.ErrorIs(t, addAll(t, d, event(7003, "new", "", now))[0].Err, signaldoc.ErrNoRoom)
	for i := range flood {
		flood[i].Tag[4], flood[i].Reserved = 1, true
		flood[i].Subject += "x"
	}
	most := 0
	for _, r := range addAll(t, d, flood...) {
		if r.Err == nil {
			most++
		}
	}
	require.Less(t, most, 1300, "the room of a provider ends")
	other.Tag[5], other.Subject = 1, "u2"
	require.NoError(t, addAll(t, d, other)[0].Err)
}

// Rules that have ended, but are kept for an hour for receivers whose clocks differ, take no room.
func TestRulesThatEndedTakeNoRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, now := &memory{}, time.Now()
		d := opened(t, m, "p")
		var flood []signaldoc.Rule
		for i := range 8000 {
			r := event(i, fmt.Sprintf("u%d", i), "", now)
			r.Ends = now.Add(time.Minute)
			flood = append(flood, r)
		}
		results := addAll(t, d, flood...)
		require.ErrorIs(t, results[len(results)-1].Err, signaldoc.ErrNoRoom)
		time.Sleep(2 * time.Minute)
		began := time.Now()
		require.NoError(t, addAll(t, d, event(9000, "late", "", began))[0].Err)
		require.Less(t, time.Since(began), 100*time.Millisecond, "an event is written at once")
	})
}

// Whatever two receivers write at once, and in whatever order it is merged, every process ends with the same rules, and each event
// has its effect.
func TestReceiversAgree(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			m, n := &memory{}, &memory{}
			now := time.Now().Add(time.Hour)
			time.Sleep(time.Hour)
			stores := []store.Trusted{m, n}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var docs []signaldoc.Document
			for range 3 {
				d, err := signaldoc.Open(signaldoc.Config{
					Replica: store.ReplicaConfig{Stores: stores, Name: signaldoc.DefaultName}, Providers: []string{"p"},
				})
				require.NoError(t, err)
				go func() { _ = d.Run(ctx) }()
				docs = append(docs, d)
			}
			latest := map[string]time.Time{}
			for i := range 60 {
				subject, session := fmt.Sprintf("u%d", random.IntN(3)), ""
				if random.IntN(2) == 0 {
					session = fmt.Sprintf("s%d", random.IntN(20))
				}
				at := now.Add(-time.Duration(random.IntN(1000)) * time.Second)
				if key := subject + " " + session; at.After(latest[key]) {
					latest[key] = at
				}
				for range 1 + random.IntN(2) { // also twice, to two of them
					addAll(t, docs[random.IntN(3)], event(i, subject, session, at))
				}
				time.Sleep(time.Duration(random.IntN(700)) * time.Millisecond)
			}
			time.Sleep(5 * time.Second)
			synctest.Wait()
			texts := map[string]bool{}
			var rules []revocation.Rule
			for _, one := range []*memory{m, n} {
				rules = withSignals(t, one, "p").Rules()
				text := ""
				for _, r := range rules {
					text += r.ID()
				}
				texts[text] = true
			}
			require.Len(t, texts, 1)
			for key, at := range latest {
				subject, session, _ := strings.Cut(key, " ")
				covered := false
				for _, r := range rules {
					covered = covered || r.Subject == subject && (r.SessionID == "" || r.SessionID == session) && !r.IssuedBefore.Before(at)
				}
				require.True(t, covered, key)
			}
			cancel()
			synctest.Wait()
		})
	}
}

// A store that hangs delays no event: each reaches the other store at once, although the writes before it still wait.
func TestAStoreThatHangsDelaysNoEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, n := &memory{}, &mute{}
		d, err := signaldoc.Open(signaldoc.Config{
			Replica: store.ReplicaConfig{Stores: []store.Trusted{m, n}, Name: signaldoc.DefaultName}, Providers: []string{"p"},
		})
		require.NoError(t, err)
		now := time.Now()
		answered := make(chan error, 5)
		for i := range 5 {
			go func() {
				_, err := d.Add(t.Context(), []signaldoc.Rule{event(i, fmt.Sprintf("u%d", i), "", now)})
				answered <- err
			}()
			time.Sleep(200 * time.Millisecond)
			synctest.Wait()
			require.Len(t, withSignals(t, m, "p").Rules(), i+1)
		}
		for range 5 {
			require.NoError(t, <-answered)
		}
	})
}

// mute is a store that does not answer before its context ends.
type mute struct{ memory }

func (*mute) Load(ctx context.Context, _, _ string) ([]byte, string, error) {
	<-ctx.Done()
	return nil, "", ctx.Err()
}
