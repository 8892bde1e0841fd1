package jwks_test

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/jose/josetest"
	"github.com/regionjwt/regionjwt/jwks"
)

// simTally counts what a simulation saw.
type simTally struct {
	years                                       float64 // region-years
	asked, served, unknown, unavailable, tooOft int
	verified                                    int // tokens
	forged, restarts, updates                   int
	worstWait                                   time.Duration
	worstRate, worstFlood                       int    // requests of one URL in ten seconds
	digest, story                               uint64 // of the answers, and of what was played
}

// TestSimulation plays random years: faults, rotations, withdrawals, floods, jumps of the clock, frozen and restarted
// processes, while callers ask. After every step it checks what the cache says against the truth. SIM_YEARS sets the
// region-years (in a plain test run a twentieth, always the same). SIM_SEED and SIM_YEARS together reproduce a run.
func TestSimulation(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it is long")
	}
	years, seed, first := simSettings(t)
	keys := newSimKeys(t)
	var total simTally
	for n := first; total.years < years && !t.Failed(); n++ {
		playWorld(t, keys, &total, seed, n, 200)
	}
	t.Logf("seed %d: %.2f region-years, %d tokens, 0 false accepts, 0 false refusals", seed, total.years, total.verified)
	t.Logf("%d questions: %d served, %d unknown, %d cannot tell, %d rate-limited; %d forged tokens; %d restarts, %d updates",
		total.asked, total.served, total.unknown, total.unavailable, total.tooOft, total.forged, total.restarts, total.updates)
	t.Logf("worst wait with the key in memory 0, without %v; worst rate %d requests of one URL in 10 s, %d in a flood",
		total.worstWait, total.worstRate, total.worstFlood)
	require.Positive(t, total.served)
	require.Positive(t, total.unknown)
	require.Positive(t, total.unavailable)
}

// simSettings reads SIM_YEARS, SIM_SEED, and SIM_WORLD, the number of the first world.
func simSettings(t *testing.T) (years float64, seed, first uint64) {
	t.Helper()
	years, seed = 0.05, 1
	var err error
	if s := os.Getenv("SIM_YEARS"); s != "" {
		seed = rand.Uint64() >> 1
		years, err = strconv.ParseFloat(s, 64)
		require.NoError(t, err)
		procs := runtime.GOMAXPROCS(1) // what happens at one instant is a matter of scheduling
		t.Cleanup(func() { runtime.GOMAXPROCS(procs) })
	}
	if s := os.Getenv("SIM_SEED"); s != "" {
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	if s := os.Getenv("SIM_WORLD"); s != "" {
		first, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	return years, seed, first
}

// The same seed plays the same history. Only one thread runs meanwhile, as what happens at one instant is a matter of scheduling.
func TestSimulationRepeats(t *testing.T) { //nolint:paralleltest // nothing else may run
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	keys := newSimKeys(t)
	for n := range uint64(2) {
		var one, two simTally
		playWorld(t, keys, &one, 7, n, 60)
		playWorld(t, keys, &two, 7, n, 60)
		require.Equal(t, one.story, two.story)
		require.Equal(t, [3]int{one.restarts, one.updates, one.forged}, [3]int{two.restarts, two.updates, two.forged})
		if one.digest != two.digest {
			t.Log("the answers differ, by what happened at one instant")
		}
	}
}

// A process that is frozen with requests under way has them still when it thaws: it cannot tell until they end, however long
// the
// servers have been well by the clock on the wall.
func TestSimulationFrozenInAnOutage(t *testing.T) {
	t.Parallel()
	keys := newSimKeys(t)
	var total simTally
	for n := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			s := &simulation{t: t, simWorld: newSimWorld(5, n, keys.jwks), simTally: &total, simKeys: keys, shelf: new(simShelf)}
			s.start()
			defer func() { s.stop() }()
			for range 2 {
				s.all(simHanging)
				time.Sleep(10 * time.Second)
				s.step()
				s.all(simHealthy)
				s.mu.Lock()
				s.frozen += 3 * time.Hour
				s.mu.Unlock()
				s.step()
				time.Sleep(5 * time.Minute)
				s.step()
			}
		})
	}
	require.Positive(t, total.served)
	require.Positive(t, total.unavailable)
}

func playWorld(t *testing.T, keys *simKeys, total *simTally, seed, n uint64, steps int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &simulation{t: t, simWorld: newSimWorld(seed, n, keys.jwks), simTally: total, simKeys: keys, shelf: new(simShelf)}
		s.run(steps, seed, n)
	})
}

// simKeys are the keys that the issuers of all worlds use.
type simKeys struct {
	jwks       []map[string]any
	signatures [][]byte // over simInput
	prints     []string
}

var simInput = []byte("e30.e30")

func newSimKeys(t *testing.T) *simKeys {
	t.Helper()
	keys := new(simKeys)
	for range 12 {
		s, err := josetest.NewSigner("ES256")
		require.NoError(t, err)
		jwk, err := s.JWK()
		require.NoError(t, err)
		text, err := json.Marshal(map[string]any{"keys": []any{jwk}})
		require.NoError(t, err)
		parsed, _, err := jose.ParseSet(text, jose.Limits{})
		require.NoError(t, err)
		token, err := s.Sign([]byte("{}"), []byte("{}"))
		require.NoError(t, err)
		parts := strings.Split(token, ".")
		require.Equal(t, string(simInput), parts[0]+"."+parts[1])
		signature, err := jose.AppendBase64(nil, parts[2])
		require.NoError(t, err)
		keys.jwks = append(keys.jwks, jwk)
		keys.signatures = append(keys.signatures, signature)
		keys.prints = append(keys.prints, parsed[0].Thumbprint.String())
	}
	return keys
}

// material returns the number of a key that was returned.
func (s *simulation) material(k *jwks.Key) int { return slices.Index(s.prints, k.Thumbprint()) }

// simulation is one world with a process in it.
type simulation struct {
	*simWorld
	*simTally
	*simKeys
	t        *testing.T
	shelf    *simShelf
	cache    *jwks.Cache
	stop     func()
	had      map[string]map[simKey]simAge // by iss: the keys that were in memory after the last step, with their age
	held     []simHeld                    // keys of earlier answers
	mismatch map[string]time.Duration     // by iss, URL and publication: since when tokens of a key are called bad
	lastAsk  map[string]time.Duration     // by iss and kid, by the process's life
}

// simHeld is a pointer that an answer gave.
type simHeld struct {
	iss, kid string
	key      *jwks.Key
}

func (s *simulation) start() {
	s.mu.Lock()
	config := s.config()
	s.began = s.lived()
	s.mu.Unlock()
	cache, err := jwks.NewWithClock(config, jwks.Config{
		HTTPClient: &http.Client{Transport: simTransport{s.simWorld}}, Snapshots: s.shelf,
	}, s.read, s.jitter)
	require.NoError(s.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	s.cache, s.had, s.held = cache, map[string]map[simKey]simAge{}, nil
	s.mismatch, s.lastAsk = map[string]time.Duration{}, map[string]time.Duration{}
	lazy := s.rand.IntN(3) == 0
	if lazy {
		close(ended)
	} else {
		go func() { defer close(ended); _ = cache.Run(ctx) }()
	}
	s.stop = func() {
		cancel()
		<-ended
		_ = cache.Update(nil) // ends what is under way
		synctest.Wait()
	}
}

func (s *simulation) run(steps int, seed, n uint64) {
	s.start()
	defer func() {
		if s.t.Failed() {
			if os.Getenv("SIM_WORLD") != "" {
				s.t.Logf("%v", s.simWorld)
			}
			s.t.Logf("again, with what the URLs answered: SIM_SEED=%d SIM_WORLD=%d make sim", seed, n)
		}
		s.stop()
	}()
	for range steps {
		before := s.truth()
		if s.rand.IntN(3) == 0 {
			s.event()
		}
		switch {
		case s.rand.IntN(60) == 0:
			s.restart()
		case s.rand.IntN(40) == 0:
			s.update()
		}
		s.story = s.story*31 + s.rand.Uint64()
		pauses := []time.Duration{time.Second, 10 * time.Second, time.Minute, 10 * time.Minute, time.Hour}
		if s.flooding > 0 {
			pauses = pauses[:2]
			if s.rand.IntN(10) == 0 {
				s.flooding = 0
			}
		}
		time.Sleep(time.Duration(s.rand.Float64()*float64(pauses[s.rand.IntN(len(pauses))])) + time.Millisecond)
		s.step()
		s.years += float64(len(s.regions)) * (s.truth() - before).Hours() / 24 / 365
	}
}

// restart ends the process, and starts another one.
func (s *simulation) restart() {
	s.restarts++
	s.stop()
	s.mu.Lock()
	if s.rand.IntN(3) == 0 {
		s.shelf = new(simShelf)
	}
	s.generation++
	for _, u := range s.urls {
		u.renew()
	}
	s.mu.Unlock()
	s.start()
}

// update adds or removes a provider, or the last region of one.
func (s *simulation) update() {
	s.updates++
	s.mu.Lock()
	was := map[*simRegion]bool{}
	for _, r := range s.regions {
		was[r] = s.configured(r)
	}
	p := s.rand.IntN(s.providers)
	if s.rand.IntN(2) == 0 {
		s.off[p] = !s.off[p]
	} else {
		s.cut[p] = !s.cut[p]
	}
	if !slices.Contains(s.off, false) {
		s.off[p] = false
	}
	for _, r := range s.regions {
		if was[r] == s.configured(r) {
			continue
		}
		delete(s.had, r.iss)
		for _, u := range r.urls {
			u.renew()
			u.note(s.simWorld)
		}
	}
	config := s.config()
	s.mu.Unlock()
	require.NoError(s.t, s.cache.Update(config))
	synctest.Wait()
}

// note adds to the digest of what happened.
func (s *simulation) note(what ...any) {
	h := fnv.New64a()
	_, _ = fmt.Fprintln(h, what...)
	s.digest = s.digest*31 + h.Sum64()
}

// simAge is the age of a key when it was looked at.
type simAge struct {
	age   time.Duration
	lived time.Duration
	wall  int64
}

func (s *simulation) ageNow(a simAge) time.Duration {
	return a.age + max(s.lived()-a.lived, time.Duration(s.wall()-a.wall), 0)
}

// simFlood sends tokens with made-up kids, new ones or a few again and again, and returns a function that waits for the
// answers.
func (s *simulation) simFlood() (wait func()) {
	if s.flooding == 0 {
		return func() {}
	}
	var wg sync.WaitGroup
	issuers := s.issuers()
	n := 20 + s.rand.IntN(80)
	s.forged += n
	var mu sync.Mutex
	for i := range n {
		q := jwks.Query{Issuer: issuers[s.rand.IntN(len(issuers))], Algorithm: "ES256"}
		q.KeyID = fmt.Sprintf("forged-%d-%d", s.rand.IntN(1<<30), i)
		if s.flooding == 2 {
			q.KeyID = fmt.Sprintf("forged-%d", i%7)
		}
		after := time.Duration(s.rand.Int64N(int64(3 * time.Second)))
		wg.Go(func() {
			time.Sleep(after)
			r := s.cache.Lookup(context.Background(), q)
			mu.Lock()
			defer mu.Unlock()
			if len(r.Keys) > 0 {
				s.t.Errorf("a key for %q", q.KeyID)
			}
		})
	}
	return wg.Wait
}
