package stores_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/revocation/sharedsignals"
	"github.com/regionjwt/regionjwt/revocation/sharedsignals/signalstest"
	"github.com/regionjwt/regionjwt/store"
)

const eventDocument = "regionjwt/signals"

func receiverKey(public ed25519.PublicKey) store.PublicKey {
	return store.PublicKey{Key: public, Documents: []string{eventDocument}}
}

// signals is a fleet with a receiver in each Region, and a transmitter.
type signals struct {
	*world

	idp       *issuertest.Server
	sender    *signalstest.Transmitter
	receivers []*sharedsignals.Receiver
	n         int
}

const realm = "https://idp.example.com/realms/shop"

func newSignals(t *testing.T, sites ...*site) *signals {
	t.Helper()
	private := keyNumber(7)
	public := private.Public().(ed25519.PublicKey)
	s := &signals{world: newFleet(t, public, sites...)}
	p := issuer.Provider{ID: "shop", Regions: []issuer.Region{
		{Name: "eu", Issuers: []string{realm}, JWKSURLs: []string{"https://eu.idp.example.com/keys"}},
		{Name: "us", Issuers: []string{realm}, JWKSURLs: []string{"https://us.idp.example.com/keys"}},
	}}
	s.idp = issuertest.New(t, p, issuertest.Config{Algorithm: "ES256"})
	s.sender = signalstest.New(s.idp, "eu", "events")
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	for range sites {
		var stores []store.Trusted
		for _, site := range sites {
			inner, err := site.place().open()
			require.NoError(t, err)
			stores = append(stores, store.Signed(inner, fleet, private, receiverKey(public)))
		}
		r, err := sharedsignals.New(sharedsignals.Config{
			Replica: store.ReplicaConfig{Stores: stores},
			Transmitters: []sharedsignals.Transmitter{{
				Provider: s.sender.Provider(), Audience: []string{"events"}, Issuers: map[string]string{realm: "shop"},
			}},
		})
		require.NoError(t, err)
		running.Go(func() { _ = r.Run(ctx) })
		s.receivers = append(s.receivers, r)
	}
	return s
}

// send sends events about a new user until a receiver has accepted one, and returns how long it took from the first request until
// the last process rejects the user's tokens.
func (s *signals) send(t *testing.T, receiver int) time.Duration {
	t.Helper()
	s.n++
	name := fmt.Sprint("user ", s.n)
	s.truth.note(s.truth.added, name)
	set := s.sender.Issue(signalstest.Event{
		Type: "risc/account-disabled", Subject: map[string]any{"format": "iss_sub", "iss": realm, "sub": name},
	})
	began := time.Now()
	for s.sender.Push(s.receivers[receiver].Handler("shop"), nil, set)[0] != 202 {
		require.Less(t, time.Since(began), generous, "the event is not accepted")
		time.Sleep(100 * time.Millisecond)
	}
	require.Equal(t, []int{202}, s.sender.Push(s.receivers[1-receiver].Handler("shop"), nil, set), "a replay elsewhere")
	return s.spread(t, name, false, began)
}

// worst sends several events and returns the longest time.
func (s *signals) worst(t *testing.T) (worst time.Duration) {
	t.Helper()
	for i := range 5 {
		worst = max(worst, s.send(t, i%2))
	}
	return worst
}

// Security events reach every process through the loss of the store of each Region, and of each Region of the transmitter; what
// is forged or names nobody reaches none.
func TestSecurityEventsReachTheFleet(t *testing.T) {
	t.Parallel()
	s := newSignals(t, startRedisSite(t), startRedisSite(t))
	t.Logf("%d processes, no fault: from the event to the last rejection %s", len(s.processes), ms(s.worst(t)))
	for i, site := range s.sites {
		site.way.set(refuses)
		t.Logf("%d processes, store %d cut off: %s", len(s.processes), i, ms(s.worst(t)))
		s.restart(t, i, true)
		site.way.set(passes)
		s.heal(t, i)
		thaw := site.freeze()
		t.Logf("%d processes, store %d frozen: %s", len(s.processes), i, ms(s.worst(t)))
		thaw()
		s.heal(t, i)
	}
	for _, region := range []string{"eu", "us"} {
		s.idp.Break(region)
		t.Logf("%d processes, %s of the transmitter lost: %s", len(s.processes), region, ms(s.worst(t)))
		s.idp.Restore(region)
	}
	before := s.n
	for _, e := range []signalstest.Event{
		{Subject: map[string]any{"format": "iss_sub", "iss": realm, "sub": "forged"}, Forged: true},
		{Subject: map[string]any{"format": "iss_sub", "iss": "https://bank.example.com", "sub": "of another"}},
		{Subject: map[string]any{
			"format": "complex", "user": map[string]any{"format": "email", "email": "a@example.com"},
			"session": map[string]any{"format": "opaque", "id": "ALL"},
		}},
	} {
		s.sender.Push(s.receivers[0].Handler("shop"), nil, s.sender.Issue(e))
	}
	s.worst(t) // by now they would have arrived
	for i, p := range s.processes {
		now, wrong := p.state()
		require.Empty(t, wrong, "process %d", i)
		require.Len(t, now.Rules, before+5+s.world.n, "one rule for each event, and those of the operator")
	}
	s.operatorsEnd(t)
}

// operatorsEnd has an operator remove the rule of an event.
func (s *signals) operatorsEnd(t *testing.T) {
	t.Helper()
	var stores, events []store.Trusted
	for _, site := range s.sites {
		inner, err := site.place().open()
		require.NoError(t, err)
		stores = append(stores, store.Signed(inner, fleet, keyNumber(1), store.PublicKey{Key: keyNumber(1).Public().(ed25519.PublicKey)}))
		events = append(events, store.Signed(inner, fleet, nil, receiverKey(keyNumber(7).Public().(ed25519.PublicKey))))
	}
	l, err := revocation.New(revocation.Config{
		Replica: store.ReplicaConfig{Stores: stores},
		Signals: []revocation.Signals{{Replica: store.ReplicaConfig{Stores: events}, Providers: []string{"shop"}}},
	})
	require.NoError(t, err)
	require.NoError(t, l.Load(t.Context()))
	for _, r := range l.Rules() {
		if r.Subject != "user 1" {
			continue
		}
		s.truth.note(s.truth.removed, r.Subject)
		began := time.Now()
		require.NoError(t, l.Remove(t.Context(), r.ID()))
		t.Logf("%d processes: an operator's removal took %s", len(s.processes), ms(s.spread(t, r.Subject, true, began)))
		return
	}
	t.Fatal("there is no rule of an event")
}
