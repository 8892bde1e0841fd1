package jwks_test

import (
	"maps"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
)

// longTests says that tests over many days or issuers run in full.
var longTests = os.Getenv("REGIONJWT_LONG_TESTS") != ""

// dice is a source of random numbers that repeats from its seed. It is safe for concurrent use.
type dice struct {
	mu sync.Mutex
	r  *rand.Rand
}

func newDice(seed uint64) *dice { return &dice{r: rand.New(rand.NewPCG(seed, 1))} }

// Float64 returns a number in [0, 1).
func (d *dice) Float64() float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.Float64()
}

// seededCache returns a cache whose jitter repeats from the seed.
func seededCache(t *testing.T, n *servers, c jwks.Config, seed uint64, ps ...issuer.Provider) *jwks.Cache {
	t.Helper()
	c.HTTPClient = n.Client()
	base := time.Now().Add(-time.Nanosecond)
	read := func() (mono, wall int64) { return int64(time.Since(base)), time.Now().UnixNano() }
	cache, err := jwks.NewWithClock(ps, c, read, newDice(seed).Float64)
	require.NoError(t, err)
	return cache
}

// tally counts outcomes. It is safe for concurrent use.
type tally struct {
	mu   sync.Mutex
	of   map[int]int
	last map[int]time.Time
}

func newTally() *tally { return &tally{of: map[int]int{}, last: map[int]time.Time{}} }

func (c *tally) add(outcome int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of[outcome]++
	c.last[outcome] = time.Now()
}

// count returns how often an outcome was added.
func (c *tally) count(outcome int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of[outcome]
}

// counts returns a copy of all counts.
func (c *tally) counts() map[int]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.of)
}
