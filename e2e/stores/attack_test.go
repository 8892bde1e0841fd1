package stores_test

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/store"
)

const (
	attackEnv   = "FLEET_ATTACK" // how long an attack lasts
	shortAttack = 2 * time.Second
)

// attack does all that is possible with the password and without a key, every few milliseconds, until it is ended.
func (s *site) attack(t *testing.T, before []byte) (end func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	forged := forgeries(t, before)
	acts := append([]func(context.Context){s.wipe}, s.spoil...)
	for _, data := range forged {
		acts = append(acts, func(ctx context.Context) { s.put(ctx, data) })
	}
	acts = append(acts,
		func(context.Context) { s.lies(lies) },
		func(context.Context) { s.lies(passes) },
		func(context.Context) { s.lies(passes) },
	)
	wg.Go(func() {
		r := rand.New(rand.NewPCG(1, 2))
		for ctx.Err() == nil {
			acts[r.IntN(len(acts))](ctx)
			time.Sleep(time.Duration(r.IntN(40)) * time.Millisecond)
		}
	})
	var once sync.Once
	end = func() {
		once.Do(func() {
			cancel()
			wg.Wait()
			s.lies(passes)
			if s.dir != "" { // the last act may have let others write there
				require.NoError(t, os.Chmod(s.dir, 0o700))
			}
			s.wipe(t.Context()) // what is left is repaired by hand: no tool replaces what it cannot read
		})
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
	return end
}

// lies sets what the way to the store does, if there is one.
func (s *site) lies(mode int) {
	if s.way != nil {
		s.way.set(mode)
	}
}

// startDirSite makes a directory that processes share.
func startDirSite(t *testing.T) *site {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rules")
	s := &site{kind: "dir", direct: store.Dir(path), dir: path}
	each := func(f func(file string)) {
		files, _ := filepath.Glob(filepath.Join(path, "*"))
		for _, file := range files {
			f(file)
		}
	}
	instead := func(f func(file string)) func(context.Context) {
		return func(context.Context) { each(func(file string) { _ = os.RemoveAll(file); f(file) }) }
	}
	s.wipe = instead(func(string) {})
	s.spoil = []func(context.Context){
		instead(func(file string) { _ = os.WriteFile(file, []byte("junk"), 0o600) }),
		instead(func(file string) { _ = os.WriteFile(file, make([]byte, 64<<20), 0o600) }),
		instead(func(file string) { _ = os.Mkdir(file, 0o700) }),
		instead(func(file string) { _ = syscall.Mkfifo(file, 0o600) }),
		instead(func(file string) { _ = os.Symlink("/dev/zero", file) }),
		instead(func(file string) { _ = os.Symlink(file, file) }),
		func(context.Context) { each(func(file string) { _ = os.Chmod(file, 0) }) },
		func(context.Context) { each(func(file string) { _ = os.Truncate(file, 10) }) },
		func(context.Context) { _ = os.Chmod(path, 0o777) },
		func(context.Context) { _ = os.Chmod(path, 0o700) },
		func(context.Context) { _ = os.Chmod(path, 0o700) },
	}
	return s
}

// An attacker with the password of every store, and no key, adds, removes, forges and replays nothing, in any process; what is
// withheld shows; no process ends; and all have the rules again when the attack is over. FLEET_ATTACK says how long it lasts.
func TestFleetUnderAttack(t *testing.T) {
	t.Parallel()
	duration := shortAttack
	if text := os.Getenv(attackEnv); text != "" {
		var err error
		duration, err = time.ParseDuration(text)
		require.NoError(t, err)
	}
	for name, sites := range map[string]func(*testing.T) []*site{
		"redis and directory": func(t *testing.T) []*site { return []*site{startRedisSite(t), startDirSite(t)} },
		"dynamo and s3":       func(t *testing.T) []*site { return []*site{startDynamoSite(t), startS3Site(t)} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sites := sites(t)
			newWorld(t, sites...).endure(t, duration)
		})
	}
}

// endure attacks all stores at once.
func (w *world) endure(t *testing.T, duration time.Duration) {
	t.Helper()
	var old [][]byte
	for _, s := range w.sites {
		old = append(old, s.text(t))
	}
	w.change(t)
	before := w.costs()
	began := time.Now()
	var ends []func()
	for i, s := range w.sites {
		ends = append(ends, s.attack(t, old[i]))
	}
	for time.Since(began) < duration || !w.ill() {
		require.Less(t, time.Since(began), duration+generous, "what is withheld does not show")
		w.check(t)
		time.Sleep(100 * time.Millisecond)
	}
	took := time.Since(began)
	used, memory := time.Duration(0), 0
	for i, now := range w.costs() {
		used, memory = max(used, now.used-before[i].used), max(memory, now.memory)
	}
	w.restart(t, 0, false)
	for _, end := range ends {
		end()
	}
	for i := range w.sites {
		w.heal(t, i)
	}
	added, removed := w.change(t)
	t.Logf("%d processes, attacked for %s: at most %.3f of a core and %d MiB each; then rule reached all in %s, removal in %s",
		len(w.processes), took.Round(time.Second), used.Seconds()/took.Seconds(), memory>>10, ms(added), ms(removed))
}

// ill reports whether every process has told a problem of a store.
func (w *world) ill() bool {
	for _, p := range w.processes {
		p.mu.Lock()
		ill := p.ill
		p.mu.Unlock()
		if !ill {
			return false
		}
	}
	return true
}

// cost is what a process has cost.
type cost struct {
	used   time.Duration
	memory int // KiB
}

func (w *world) costs() (all []cost) {
	for _, p := range w.processes {
		used, memory := p.cost()
		all = append(all, cost{used, memory})
	}
	return all
}
