package jwks_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/jose/josetest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// tally counts what a simulation saw.
type tally struct {
	years                               float64 // region-years
	asked, served, unknown, unavailable int
	verified                            int // tokens
	restarts, worstWait, worstRate      int // milliseconds; requests of one URL in ten seconds
}

// TestSimulation plays random years: faults, rotations, withdrawals, jumps of the clock, frozen and restarted processes,
// while callers ask. After every step it checks what the cache says against the truth. SIM_YEARS sets the region-years (in a
// plain test run a twentieth), SIM_SEED reproduces a run.
func TestSimulation(t *testing.T) {
	t.Parallel()
	years := 0.05
	if s := os.Getenv("SIM_YEARS"); s != "" {
		var err error
		years, err = strconv.ParseFloat(s, 64)
		require.NoError(t, err)
	}
	seed := rand.Uint64()
	if s := os.Getenv("SIM_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	material, signers := simKeys(t)
	var total tally
	for n := uint64(0); total.years < years; n++ {
		synctest.Test(t, func(t *testing.T) {
			w := newSimWorld(rand.New(rand.NewPCG(seed, n)), material)
			s := &simulation{t: t, simWorld: w, tally: &total, signers: signers, shelf: new(shelf), had: map[string]map[simKey]simAge{}}
			s.run(200, seed, n)
		})
	}
	t.Logf("seed %d: %.2f region-years, %d tokens, 0 false accepts, 0 false refusals; %d keys asked: %d served, %d unknown, %d cannot tell; %d restarts; worst wait with the key at hand 0, "+
		"without %d ms; worst rate %d requests of one URL in 10 s", seed, total.years, total.verified, total.asked, total.served, total.unknown,
		total.unavailable, total.restarts, total.worstWait, total.worstRate)
	require.Positive(t, total.served)
	require.Positive(t, total.unknown)
	require.Positive(t, total.unavailable)
}

// simKeys makes the keys that the issuers of all worlds use.
func simKeys(t *testing.T) (material []map[string]any, signers []*josetest.Signer) {
	t.Helper()
	for range 12 {
		s, err := josetest.NewSigner("ES256")
		require.NoError(t, err)
		jwk, err := s.JWK()
		require.NoError(t, err)
		material = append(material, jwk)
		signers = append(signers, s)
	}
	return material, signers
}

// A process that is frozen with requests under way has them still when it thaws: it cannot tell until they end, however long
// the servers have been well by the clock on the wall.
func TestSimulationFrozenInAnOutage(t *testing.T) {
	t.Parallel()
	material, signers := simKeys(t)
	var total tally
	for n := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			w := newSimWorld(rand.New(rand.NewPCG(5, n)), material)
			s := &simulation{t: t, simWorld: w, tally: &total, signers: signers, shelf: new(shelf), had: map[string]map[simKey]simAge{}}
			s.start()
			defer func() { s.stop() }()
			for range 2 { // the race detector does not survive long histories of hanging requests in one bubble
				s.all(hanging)
				time.Sleep(10 * time.Second)
				s.step()
				s.all(healthy)
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

// all spoils or mends every URL.
func (s *simulation) all(f simFault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.byURL {
		s.spoil(u, f)
		u.lagging = nil
	}
}

// wallSkew is by how much two readings of the wall clock may differ: the age of a snapshot's keys has no other clock.
const wallSkew = 4 * time.Hour

// simulation is one world with a process in it.
type simulation struct {
	*simWorld
	*tally
	t        *testing.T
	signers  []*josetest.Signer
	shelf    *shelf
	cache    *jwks.Cache
	verifier *verifier.Verifier
	stop     func()
	had      map[string]map[simKey]simAge // by iss: the keys that were at hand after the last step, with their age
}

func (s *simulation) start() {
	cache, err := jwks.NewWithClock(jwks.Config{
		Authorities: s.config, Client: &http.Client{Transport: roundTripper(s.roundTrip)}, Store: s.shelf,
	}, s.read)
	require.NoError(s.t, err)
	var trust []verifier.Trust
	for _, a := range s.config {
		trust = append(trust, verifier.Trust{Authority: a, Binding: verifier.Audience("api")})
	}
	s.verifier, err = verifier.New(verifier.Config{Keys: cache, Trust: trust})
	require.NoError(s.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	s.cache, s.had = cache, map[string]map[simKey]simAge{}
	lazy := s.rand.IntN(3) == 0
	if lazy {
		close(ended)
	} else {
		go func() { defer close(ended); _ = cache.Run(ctx) }()
	}
	s.stop = func() { cancel(); <-ended; _ = cache.Close() }
}

func (s *simulation) run(steps int, seed, n uint64) {
	s.start()
	defer func() {
		if s.t.Failed() {
			s.t.Logf("seed %d, world %d\n%v", seed, n, s.simWorld)
		}
		s.stop()
	}()
	before := s.truth()
	for range steps {
		if s.rand.IntN(3) == 0 {
			s.event()
		}
		if s.rand.IntN(60) == 0 {
			s.restarts++
			s.stop()
			s.mu.Lock()
			for _, u := range s.byURL {
				u.good = false // for the process to come, which reads no snapshot of a set that answers
			}
			s.mu.Unlock()
			if s.rand.IntN(3) == 0 {
				s.shelf = new(shelf) // the snapshot is lost
			}
			s.start()
		}
		pause := []time.Duration{time.Second, 10 * time.Second, time.Minute, 10 * time.Minute, time.Hour}[s.rand.IntN(5)]
		time.Sleep(time.Duration(s.rand.Float64() * float64(pause)))
		s.step()
	}
	s.years += float64(len(s.regions)) * (s.truth() - before).Hours() / 24 / 365
}

// simAge is the age of a key when it was looked at.
type simAge struct {
	age        time.Duration
	mono, wall int64
}

func (s *simulation) ageNow(a simAge) time.Duration {
	mono, wall := s.readLocked()
	return a.age + time.Duration(max(mono-a.mono, wall-a.wall, 0))
}

// question is one call of Keys.
type question struct {
	iss, kid string
	began    int64    // by the monotonic clock
	atHand   []simKey // what must be among the answer, at once
	keys     []*jwks.Key
	ages     []time.Duration
	err      error
	took     time.Duration
}

// step asks from several goroutines at once, then checks the answers.
func (s *simulation) step() {
	synctest.Wait()
	s.mu.Lock()
	s.forget(jwks.DefaultMaxStale)
	questions := s.questions()
	began, _ := s.readLocked()
	s.mu.Unlock()
	var wg sync.WaitGroup
	for _, q := range questions {
		q.began = began
		wg.Go(func() {
			began := time.Now()
			q.keys, q.err = s.cache.Keys(context.Background(), q.iss, q.kid)
			q.took = time.Since(began)
			for _, k := range q.keys {
				q.ages = append(q.ages, k.Age())
			}
		})
	}
	wg.Wait()
	synctest.Wait()
	s.checkTokens(questions)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range questions {
		s.check(q)
	}
	s.checkRates()
}

// token is one of the issuer and kid of q, signed with a material.
func (s *simulation) token(q *question, material int) string {
	now := time.Now()
	payload := fmt.Appendf(nil, `{"iss":%q,"aud":"api","iat":%d,"exp":%d}`, q.iss, now.Unix(), now.Add(time.Hour).Unix())
	raw, err := s.signers[material].Sign(fmt.Appendf(nil, `{"alg":"ES256","kid":%q}`, q.kid), payload)
	require.NoError(s.t, err)
	return raw
}

// questions makes some: for keys that were at hand, keys that are published, keys that are gone, and names of nobody.
func (s *simulation) questions() (qs []*question) {
	for iss, regions := range s.serves {
		kids := []string{"nobody"}
		for _, r := range regions {
			for _, u := range r.urls {
				for _, k := range s.published(u).keys {
					kids = append(kids, k.kid)
				}
				if len(u.answers) > 0 {
					kids = append(kids, u.answers[0].keys[0].kid)
				}
			}
		}
		for k := range s.had[iss] {
			kids = append(kids, k.kid)
		}
		slices.Sort(kids)
		for _, kid := range slices.Compact(kids) {
			q := &question{iss: iss, kid: kid}
			for k, age := range s.had[iss] {
				if k.kid == kid && s.ageNow(age) < jwks.DefaultMaxStale-time.Second && !s.mayBeGone(regions, k) {
					q.atHand = append(q.atHand, k)
				}
			}
			if len(q.atHand) > 0 || s.rand.IntN(4) == 0 {
				qs = append(qs, q)
			}
		}
	}
	return qs
}
