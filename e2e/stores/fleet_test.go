package stores_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
)

const (
	document = "regionjwt/revocation"
	generous = 60 * time.Second // for what a loaded machine does later: only what is lost or wrong fails a test
	manyEnv  = "FLEET_PROCESSES"
	fewer    = 6
)

func keyNumber(i int) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i)}, ed25519.SeedSize))
}

// world is a fleet of processes that share rules in the stores of two Regions, and an operator.
type world struct {
	sites     []*site
	operator  *revocation.List
	processes []*process
	duties    []duty
	truth     truth
	n         int // of rules added
	last      string
}

// newWorld starts as many processes as FLEET_PROCESSES says.
func newWorld(t *testing.T, sites ...*site) *world {
	t.Helper()
	return newFleet(t, nil, sites...)
}

// newFleet is newWorld with the key of a receiver of security events.
func newFleet(t *testing.T, receiver ed25519.PublicKey, sites ...*site) *world {
	t.Helper()
	w := &world{sites: sites, truth: truth{added: map[string]bool{}, removed: map[string]bool{}}}
	var stores []store.Trusted
	var places []place
	private := keyNumber(1)
	public := private.Public().(ed25519.PublicKey)
	for _, s := range sites {
		inner, err := s.place().open()
		require.NoError(t, err)
		stores = append(stores, store.Signed(inner, fleet, private, store.PublicKey{Key: public}))
		places = append(places, s.place())
	}
	var err error
	w.operator, err = revocation.New(revocation.Config{Replica: store.ReplicaConfig{Stores: stores}})
	require.NoError(t, err)
	w.add(t) // a fleet that has no rule yet has nothing to lose
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { _ = w.operator.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	for range processes(t) {
		d := duty{Stores: places, Operators: public, Receiver: receiver, Copy: filepath.Join(t.TempDir(), "copy")}
		w.duties = append(w.duties, d)
		w.processes = append(w.processes, launch(t, d, &w.truth))
	}
	w.spread(t, w.last, false, time.Now())
	return w
}

func processes(t *testing.T) int {
	t.Helper()
	text := os.Getenv(manyEnv)
	if text == "" {
		return fewer
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// add adds a rule and returns its ID.
func (w *world) add(t *testing.T) string {
	t.Helper()
	w.n++
	w.last = fmt.Sprint("rule ", w.n)
	w.truth.note(w.truth.added, w.last)
	id, err := w.operator.Add(t.Context(), revocation.Rule{Provider: "shop", Subject: w.last, Note: w.last})
	w.written(t, err)
	return id
}

// written demands that a change succeeded, or that Run will write it: on a busy machine the one good store may answer too late.
func (w *world) written(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, store.ErrNotShared) {
		t.Log(err)
		return
	}
	require.NoError(t, err)
}

// spread waits until every process knows a rule, or its removal, and returns how long the last one took since began.
func (w *world) spread(t *testing.T, name string, removed bool, began time.Time) (took time.Duration) {
	t.Helper()
	for i := range w.processes {
		require.Eventually(t, func() bool {
			at, done := w.processes[i].when(name, removed)
			took = max(took, at.Sub(began))
			return done || !w.processes[i].isRunning()
		}, generous, 2*time.Millisecond, "process %d does not know of %s (removed: %t)", i, name, removed)
	}
	w.check(t)
	return took
}

// check demands that every process is running, and has neither forgotten a rule, nor believed one that nobody has added, nor taken
// back a removal.
func (w *world) check(t *testing.T) {
	t.Helper()
	for i, p := range w.processes {
		_, wrong := p.state()
		require.True(t, p.isRunning(), "process %d ended: %s", i, &p.log)
		require.Empty(t, wrong, "process %d", i)
	}
}

// change adds a rule, removes another one, and returns how long each took to reach all processes.
func (w *world) change(t *testing.T) (added, removed time.Duration) {
	t.Helper()
	began := time.Now()
	id := w.add(t)
	added = w.spread(t, w.last, false, began)
	began = time.Now()
	w.truth.note(w.truth.removed, w.last)
	w.written(t, w.operator.Remove(t.Context(), id))
	removed = w.spread(t, w.last, true, began)
	w.add(t) // and one that stays
	w.spread(t, w.last, false, time.Now())
	return added, removed
}

// restart kills a process and starts it again, perhaps without its local copy. It must know all that there is.
func (w *world) restart(t *testing.T, i int, forget bool) {
	t.Helper()
	w.processes[i].kill()
	if forget {
		w.duties[i].Copy = filepath.Join(t.TempDir(), "copy")
	}
	w.processes[i] = launch(t, w.duties[i], &w.truth)
	w.truth.mu.Lock()
	want := len(w.truth.added) - len(w.truth.removed)
	w.truth.mu.Unlock()
	require.Eventually(t, func() bool {
		now, _ := w.processes[i].state()
		return now.Known && len(now.Rules) == want
	}, generous, 10*time.Millisecond, "it starts without what the fleet knows")
	w.check(t)
}

// heal waits until a store has all that is known again, and no process has a problem with it.
func (w *world) heal(t *testing.T, site int) {
	t.Helper()
	require.Eventually(t, func() bool {
		fresh, err := revocation.New(revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{
			store.Signed(w.sites[site].direct, fleet, nil, store.PublicKey{Key: keyNumber(1).Public().(ed25519.PublicKey)}),
		}}})
		require.NoError(t, err)
		if fresh.Load(t.Context()) != nil || len(fresh.Rules()) != len(w.operator.Rules()) {
			return false
		}
		for _, p := range w.processes {
			if now, _ := p.state(); now.Problems[0]+now.Problems[1] != "" {
				return false
			}
		}
		return true
	}, 2*generous, 100*time.Millisecond, "the store does not heal")
	w.check(t)
}

// bear plays every fault of each store in turn.
func (w *world) bear(t *testing.T) {
	t.Helper()
	added, removed := w.change(t)
	t.Logf("%d processes, no fault: rule reached all in %s, removal in %s", len(w.processes), ms(added), ms(removed))
	turn := 0
	for i, s := range w.sites {
		for _, f := range s.faults() {
			before := s.text(t)
			w.change(t)
			end := f.begin(t, before)
			added, removed := w.change(t)
			turn++
			w.restart(t, turn%len(w.processes), turn%2 == 0)
			end()
			began := time.Now()
			w.heal(t, i)
			t.Logf("%d processes, %s %s: rule reached all in %s, removal in %s, store whole again %s after the fault",
				len(w.processes), s.kind, f.name, ms(added), ms(removed), ms(time.Since(began)))
		}
	}
}

func ms(d time.Duration) string { return d.Round(time.Millisecond).String() }

// Rules reach every process through each fault of a store, and nothing is lost: two servers of Redis.
func TestFleetInRedis(t *testing.T) {
	t.Parallel()
	newWorld(t, startRedisSite(t), startRedisSite(t)).bear(t)
}

// The same with DynamoDB in one Region and S3 in the other.
func TestFleetInAWS(t *testing.T) {
	t.Parallel()
	newWorld(t, startDynamoSite(t), startS3Site(t)).bear(t)
}
