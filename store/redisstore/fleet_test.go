package redisstore_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/store/redisstore"
	"github.com/regionjwt/regionjwt/verifier"
)

const (
	fleetSize = 20
	rulesName = "regionjwt/revocation" // the default name of the document
	nodeEnv   = "REGIONJWT_TEST_NODE"
)

// nodeConfig is what a process of the fleet is told.
type nodeConfig struct {
	Provider issuer.Provider
	Tokens   []string
	Socket   string // of Redis, or ""
	Dir      string
	Public   []byte
	Copy     string
	Poll     time.Duration // 0 for the default
}

// TestMain is a process of the fleet where it is started as one.
func TestMain(m *testing.M) {
	if config := os.Getenv(nodeEnv); config != "" {
		if err := node(config); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if config := os.Getenv(moverEnv); config != "" {
		if err := mover(config); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// node verifies tokens, each that of one question, and writes a line whenever the answer changes: the number of the token, when
// that was seen, the answer, and how late a clock of this process was at worst in the seconds before. It asks the first question
// that has not been answered with a refusal all the time, and the others in turn. It ends with its standard input.
func node(text string) error {
	var c nodeConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	var inner store.Store = store.Dir(c.Dir)
	if c.Socket != "" {
		options := &redis.Options{Network: "unix", Addr: c.Socket}
		tuned(options)
		s, err := redisstore.New(redis.NewClient(options), redisstore.Config{})
		if err != nil {
			return err
		}
		inner = s
	}
	signed := store.Signed(inner, "test", nil, store.PublicKey{Key: c.Public})
	rules := revocation.Config{
		Replica: store.ReplicaConfig{Stores: []store.Trusted{signed}, LocalCopy: store.Dir(c.Copy), PollInterval: c.Poll},
	}
	v, err := regionjwt.New(regionjwt.Config{Revocation: &rules, Policies: []verifier.Policy{
		{Provider: c.Provider, Audience: verifier.Audience(fakeissuer.Audience)},
	}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		cancel()
	}()
	go func() { _ = v.Revocation().Run(ctx) }()
	late := startLateness(ctx)
	last := make([]string, len(c.Tokens))
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		current := slices.IndexFunc(last, func(answer string) bool { return answer != "revoked" })
		for _, i := range []int{max(current, 0), n % len(c.Tokens)} {
			answer := "valid"
			if _, err := v.Verify(ctx, c.Tokens[i]); err != nil {
				answer = err.Error()
				if e := (*verifier.Error)(nil); errors.As(err, &e) {
					answer = string(e.Reason)
				}
			}
			if answer != last[i] && ctx.Err() == nil {
				last[i] = answer
				fmt.Println(i, time.Now().UnixNano(), answer, int64(late.worst()))
			}
		}
		<-tick.C
	}
	return nil
}

// lateness is a control: how late a ticker of this process was, at worst in the last seconds. The machine may be busy, and
// nobody does anything in time that gets no time.
type lateness struct {
	mu   sync.Mutex
	late [80]time.Duration
	n    int
}

const latenessTick = 50 * time.Millisecond

func startLateness(ctx context.Context) *lateness {
	l := &lateness{}
	go func() {
		timer := time.NewTimer(0)
		defer timer.Stop()
		for ctx.Err() == nil {
			due := time.Now().Add(latenessTick)
			timer.Reset(latenessTick)
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
			l.mu.Lock()
			l.late[l.n%len(l.late)] = time.Since(due)
			l.n++
			l.mu.Unlock()
		}
	}()
	return l
}

func (l *lateness) worst() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Max(l.late[:])
}

// said is a line of a process.
type said struct {
	node, token int
	at          time.Time
	answer      string
	late        time.Duration
}

// fleet is twenty processes, and an operator.
type fleet struct {
	t        *testing.T
	lines    chan said
	operator *revocation.List
	answers  [fleetSize][]string // the last of each process to each token
	subjects int
	own      *lateness
	measured []measurement
}

// measurement is how long a rule took to reach the last process, and how late the clock of some process was at worst meanwhile.
type measurement struct {
	name       string
	took, late time.Duration
}

func startFleet(t *testing.T, c nodeConfig, operators store.Store) *fleet {
	t.Helper()
	fake := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256"})
	fake.Serve()
	c.Provider = fake.Provider()
	f := &fleet{t: t, lines: make(chan said, 10_000), own: startLateness(t.Context())}
	for i := range 3 * 6 {
		c.Tokens = append(c.Tokens, fake.Issue("us-east-1", fakeissuer.Claims{Subject: subject(i)}))
	}
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte("k"), ed25519.SeedSize))
	c.Public = private.Public().(ed25519.PublicKey)
	signed := store.Signed(operators, "test", private, store.PublicKey{Key: c.Public})
	var err error
	f.operator, err = revocation.New(revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{signed}}})
	require.NoError(t, err)
	copies := t.TempDir()
	for i := range fleetSize {
		c.Copy = filepath.Join(copies, strconv.Itoa(i))
		f.answers[i] = make([]string, len(c.Tokens))
		f.start(i, c)
	}
	f.await("valid", 0, time.Minute)
	return f
}

func subject(i int) string { return fmt.Sprint("subject-", i) }

func (f *fleet) start(i int, c nodeConfig) {
	text, err := json.Marshal(c)
	require.NoError(f.t, err)
	cmd := exec.CommandContext(context.WithoutCancel(f.t.Context()), os.Args[0])
	cmd.Env = append(os.Environ(), nodeEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(f.t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(f.t, err)
	require.NoError(f.t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			words := strings.Fields(lines.Text())
			token, _ := strconv.Atoi(words[0])
			at, _ := strconv.ParseInt(words[1], 10, 64)
			late, _ := strconv.ParseInt(words[3], 10, 64)
			f.lines <- said{i, token, time.Unix(0, at), words[2], time.Duration(late)}
		}
	}()
	f.t.Cleanup(func() {
		_ = in.Close()
		<-ended
		_ = cmd.Wait()
	})
}

// await waits until all say this of the token, and returns when the last one did, and how late some process was at worst.
func (f *fleet) await(answer string, token int, most time.Duration) (last time.Time, late time.Duration) {
	f.t.Helper()
	deadline := time.NewTimer(most)
	defer deadline.Stop()
	for {
		missing := 0
		for i := range f.answers {
			if f.answers[i][token] != answer {
				missing++
			}
		}
		if missing == 0 {
			return last, max(late, f.own.worst())
		}
		select {
		case s := <-f.lines:
			f.note(s)
			if s.token == token {
				last = s.at
				late = max(late, s.late)
			}
		case <-deadline.C:
			require.FailNow(f.t, "too late", "%d of %d processes have not said %q of token %d", missing, fleetSize, answer, token)
		}
	}
}

// note keeps an answer: none ever takes back a refusal.
func (f *fleet) note(s said) {
	require.NotEqual(f.t, "revoked", f.answers[s.node][s.token], "process %d forgot a rule: %+v", s.node, s)
	f.answers[s.node][s.token] = s.answer
}

// promise is how soon a rule is everywhere.
const promise = time.Second

// revoke revokes the next token, and requires that the last process refuses it within the promise and what its clock was late by.
// With an outage, that begins before and is over afterwards, the time runs from its end. An odd one out is allowed: where the
// first takes longer, two more do not.
func (f *fleet) revoke(name string, outage ...func()) {
	f.t.Helper()
	for try := range 3 {
		m := f.revokeOnce(name, outage)
		f.measured = append(f.measured, m)
		kept := m.took <= promise+m.late
		require.True(f.t, kept || try == 0, "%+v", f.measured)
		if kept && (try == 0 || try == 2) {
			return
		}
	}
}

func (f *fleet) revokeOnce(name string, outage []func()) measurement {
	f.t.Helper()
	if len(outage) > 0 {
		outage[0]()
		f.quiet()
	}
	began := time.Now()
	token := f.subjects
	f.subjects++
	_, err := f.operator.Add(f.t.Context(), revocation.Rule{Provider: "*", Subject: subject(token)})
	require.NoError(f.t, err)
	if len(outage) > 1 {
		f.quiet()
		began = time.Now()
		outage[1]()
	}
	last, late := f.await("revoked", token, 20*time.Second)
	return measurement{name, last.Sub(began), late}
}

// quiet lets some time pass, in which nobody takes back a refusal.
func (f *fleet) quiet() {
	f.t.Helper()
	timer := time.NewTimer(1500 * time.Millisecond)
	defer timer.Stop()
	for {
		select {
		case s := <-f.lines:
			f.note(s)
		case <-timer.C:
			return
		}
	}
}

func TestFleetOverRedis(t *testing.T) {
	server := startServer(t)
	network := startProxy(t, server.socket)
	direct := newStore(t, client(t, server.socket), redisstore.Config{})
	f := startFleet(t, nodeConfig{Socket: network.socket}, direct)
	f.revoke("healthy")
	f.revoke("after a cut", func() { network.setCut(true) }, func() { network.setCut(false) })
	f.revoke("after a silent freeze", network.freeze, func() { network.thaw(true) })
	f.revoke("after a silent freeze that lost all connections", network.freeze, func() { network.thaw(false) })

	// The server loses everything, then is put back to an earlier document: nobody forgets, and the next rule arrives.
	old, err := load(t.Context(), direct, rulesName)
	require.NoError(t, err)
	admin := client(t, server.socket)
	f.revoke("after it was emptied", func() { require.NoError(t, admin.FlushAll(t.Context()).Err()) })
	f.revoke("after it was rolled back", func() { rollBack(t, direct, old) })
	f.report()
}

func TestFleetOverDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "rules")
	f := startFleet(t, nodeConfig{Dir: dir}, store.Dir(dir))
	f.revoke("healthy")
	old, err := load(t.Context(), store.Dir(dir), rulesName)
	require.NoError(t, err)
	f.revoke("after it was emptied", func() { require.NoError(t, os.RemoveAll(dir)) })
	f.revoke("after it was rolled back", func() { rollBack(t, store.Dir(dir), old) })
	f.report()
}

func rollBack(t *testing.T, s store.Store, old saved) {
	t.Helper()
	now, err := load(t.Context(), s, rulesName)
	require.NoError(t, err)
	_, err = s.Save(t.Context(), rulesName, old.Data, now.Revision)
	require.NoError(t, err)
}

func (f *fleet) report() {
	f.t.Helper()
	for _, m := range f.measured {
		f.t.Logf("%-50s %4d ms until the last of %d processes rejected the token; the machine was late by %d ms at worst",
			m.name, m.took.Milliseconds(), fleetSize, m.late.Milliseconds())
	}
}
