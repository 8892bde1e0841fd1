package redisstore_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/store/redisstore"
)

const moverEnv = "REGIONJWT_TEST_MOVER"

// moverConfig is what a process is told that follows the active region.
type moverConfig struct {
	Provider issuer.Provider
	Socket   string
	Public   []byte
	CutOff   bool // its own way to the first region is broken
}

// cutOff is a network without a way to the URL that it names.
type cutOff string

func (c cutOff) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.String() == string(c) {
		return nil, errors.New("no route")
	}
	return http.DefaultTransport.RoundTrip(r)
}

// mover probes the regions and moves by itself, and writes a line whenever another region is active: which, and since when. It
// ends with its standard input.
func mover(text string) error {
	var c moverConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	options := &redis.Options{Network: "unix", Addr: c.Socket}
	tuned(options)
	inner, err := redisstore.New(redis.NewClient(options), redisstore.Config{})
	if err != nil {
		return err
	}
	signed := store.Signed(inner, "test", nil, store.PublicKey{Key: c.Public})
	if c.CutOff {
		c.Provider.HTTPClient = &http.Client{Transport: cutOff(c.Provider.Regions[0].JWKSURLs[0])}
	}
	ctl, err := failover.New(c.Provider, failover.Config{
		Automatic: true, Threshold: 1, HoldDown: time.Second, ProbeInterval: 200 * time.Millisecond,
		Replica: store.ReplicaConfig{Stores: []store.Trusted{signed}},
		OnChange: func(before, now failover.Status) {
			if now.Active != before.Active || now.Pinned != before.Pinned || now.Replica.Epoch != before.Replica.Epoch {
				fmt.Println(now.Active, time.Now().UnixNano(), now.Pinned)
			}
		},
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		cancel()
	}()
	fmt.Println(ctl.Active(), time.Now().UnixNano(), false)
	_ = ctl.Run(ctx)
	return nil
}

// movers are the processes, and what each said last.
type movers struct {
	mu   sync.Mutex
	last [fleetSize]moved
}

type moved struct {
	active string
	at     time.Time
	manual bool
}

func (m *movers) start(t *testing.T, i int, c moverConfig) {
	t.Helper()
	text, err := json.Marshal(c)
	require.NoError(t, err)
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0])
	cmd.Env = append(os.Environ(), moverEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var s moved
			var at int64
			if n, _ := fmt.Sscan(lines.Text(), &s.active, &at, &s.manual); n == 3 {
				s.at = time.Unix(0, at)
				m.mu.Lock()
				m.last[i] = s
				m.mu.Unlock()
			}
		}
	}()
	t.Cleanup(func() {
		_ = in.Close()
		<-ended
		_ = cmd.Wait()
	})
}

// await waits until every process is where it should be, and returns when the last one came there.
func (m *movers) await(t *testing.T, manual bool, where func(i int) string) (last time.Time) {
	t.Helper()
	require.Eventually(t, func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		last = time.Time{}
		for i, s := range m.last {
			if s.active != where(i) || s.manual != manual {
				return false
			}
			if s.at.After(last) {
				last = s.at
			}
		}
		return true
	}, 30*time.Second, 5*time.Millisecond)
	return last
}

// Twenty processes over a real redis-server. One whose own network is broken moves nobody else; what an operator pins is
// active in all of them within a second, that one included, and after the pin each goes its own way again.
func TestActivationOverRedis(t *testing.T) {
	fake := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256"})
	fake.Serve()
	provider := fake.Provider()
	primary, secondary := provider.Regions[0].Name, provider.Regions[1].Name
	server := startServer(t)
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte("k"), ed25519.SeedSize))
	public := private.Public().(ed25519.PublicKey)
	signed := store.Signed(newStore(t, client(t, server.socket), redisstore.Config{}), "test", private, store.PublicKey{Key: public})
	operator, err := failover.New(provider, failover.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{signed}}})
	require.NoError(t, err)
	var m movers
	for i := range fleetSize {
		m.start(t, i, moverConfig{Provider: provider, Socket: server.socket, Public: public, CutOff: i == 0})
	}
	alone := func(i int) string {
		if i == 0 {
			return secondary
		}
		return primary
	}
	m.await(t, false, alone)
	require.NoError(t, operator.Load(t.Context()))
	require.Zero(t, operator.Status().Replica.Epoch, "nobody has written anything")

	own := startLateness(t.Context())
	var report strings.Builder
	activate := func(region string) {
		t.Helper()
		for try := range 3 { // an odd one out is allowed
			began := time.Now()
			require.NoError(t, operator.Pin(t.Context(), region, fmt.Sprint("try ", try), 0))
			took := m.await(t, true, func(int) string { return region }).Sub(began)
			fmt.Fprintf(&report, "%s in %d ms; ", region, took.Milliseconds())
			if took <= promise+own.worst() {
				return
			}
			require.NoError(t, operator.Unpin(t.Context()))
		}
		require.FailNow(t, "too slow", report.String())
	}
	activate(secondary)
	activate(primary)
	require.NoError(t, operator.Unpin(t.Context()))
	m.await(t, false, alone)
	t.Log(report.String())
}
