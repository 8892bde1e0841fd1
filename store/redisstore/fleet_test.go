package redisstore_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/store/redisstore"
	"github.com/regionjwt/regionjwt/verifier"
)

const (
	fleetSize = 20
	nodeEnv   = "REGIONJWT_TEST_NODE"
)

// nodeConfig is what a process of the fleet is told.
type nodeConfig struct {
	Authority issuer.Authority
	Tokens    []string
	Socket    string // of Redis, or ""
	Dir       string
	Public    []byte
	Copy      string
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
	os.Exit(m.Run())
}

// node verifies tokens, each that of one question, and writes a line whenever the answer changes: the number of the token, when
// that was seen, and the answer. It ends with its standard input.
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
	signed, err := store.Signed(inner, store.Signing{Public: []ed25519.PublicKey{c.Public}})
	if err != nil {
		return err
	}
	rules, err := revocation.New(revocation.Config{Store: signed, LocalCopy: store.Dir(c.Copy)})
	if err != nil {
		return err
	}
	v, err := regionjwt.New(regionjwt.Config{Revoked: rules, Trust: []verifier.Trust{
		{Authority: c.Authority, Binding: verifier.Audience(issuertest.Audience)},
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
	go func() { _ = rules.Run(ctx) }()
	last := make([]string, len(c.Tokens))
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		for i, token := range c.Tokens {
			answer := "valid"
			if _, err := v.Verify(ctx, token); err != nil {
				answer = strings.Fields(strings.TrimPrefix(err.Error(), "token not accepted: "))[0]
			}
			if answer != last[i] && ctx.Err() == nil {
				last[i] = answer
				fmt.Println(i, time.Now().UnixNano(), answer)
			}
		}
		<-tick.C
	}
	return nil
}

// said is a line of a process.
type said struct {
	node, token int
	at          time.Time
	answer      string
}

// fleet is twenty processes, and an operator.
type fleet struct {
	t        *testing.T
	lines    chan said
	operator *revocation.List
	answers  [fleetSize][]string // the last of each process to each token
	subjects int
}

func startFleet(t *testing.T, c nodeConfig, operators store.Store) *fleet {
	t.Helper()
	world := issuertest.New(t, issuertest.Config{Layout: issuertest.IssuerPerRegion, Algorithm: "ES256"})
	world.Serve()
	c.Authority = world.Authority()
	f := &fleet{t: t, lines: make(chan said, 10_000)}
	for i := range 8 {
		c.Tokens = append(c.Tokens, world.Token("us-east-1", issuertest.Claims{Subject: subject(i)}))
	}
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte("k"), ed25519.SeedSize))
	c.Public = private.Public().(ed25519.PublicKey)
	signed, err := store.Signed(operators, store.Signing{Public: []ed25519.PublicKey{c.Public}, Private: private})
	require.NoError(t, err)
	f.operator, err = revocation.New(revocation.Config{Store: signed})
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
			f.lines <- said{i, token, time.Unix(0, at), words[2]}
		}
	}()
	f.t.Cleanup(func() {
		_ = in.Close()
		<-ended
		_ = cmd.Wait()
	})
}

// await waits until all say this of the token, and returns when the last one did.
func (f *fleet) await(answer string, token int, most time.Duration) (last time.Time) {
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
			return last
		}
		select {
		case s := <-f.lines:
			f.note(s)
			if s.token == token {
				last = s.at
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

// revoke revokes the next token, and returns how long it took until the last process refused it. With an outage, that begins
// before and is over afterwards, it returns the time from its end.
func (f *fleet) revoke(outage ...func()) time.Duration {
	f.t.Helper()
	if len(outage) > 0 {
		outage[0]()
		f.quiet()
	}
	began := time.Now()
	token := f.subjects
	f.subjects++
	_, err := f.operator.Add(f.t.Context(), revocation.Rule{AllAuthorities: true, Subject: subject(token)})
	require.NoError(f.t, err)
	if len(outage) > 0 {
		f.quiet()
		began = time.Now()
		outage[1]()
	}
	return f.await("revoked", token, 20*time.Second).Sub(began)
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

// bound is how soon a rule has to be everywhere here. The promise is a second, and the figures are logged; but the race detector
// and twenty-two processes on a busy machine need some room.
const bound = 5 * time.Second

func TestFleetOverRedis(t *testing.T) {
	server := startServer(t)
	network := startProxy(t, server.socket)
	direct := newStore(t, client(t, server.socket), redisstore.Config{})
	f := startFleet(t, nodeConfig{Socket: network.socket}, direct)
	measured := map[string]time.Duration{"healthy": f.revoke()}

	measured["after a cut"] = f.revoke(func() { network.setCut(true) }, func() { network.setCut(false) })
	measured["after a silent freeze"] = f.revoke(network.freeze, func() { network.thaw(true) })
	measured["after a silent freeze that lost all connections"] = f.revoke(network.freeze, func() { network.thaw(false) })

	// The server loses everything, then is put back to its first document: nobody forgets, and the next rule arrives.
	old, err := direct.Load(t.Context(), revocation.DefaultName)
	require.NoError(t, err)
	admin := client(t, server.socket)
	require.NoError(t, admin.FlushAll(t.Context()).Err())
	f.quiet()
	measured["after it was wiped"] = f.revoke()
	now, err := direct.Load(t.Context(), revocation.DefaultName)
	require.NoError(t, err)
	_, err = direct.Save(t.Context(), revocation.DefaultName, old.Data, now.Revision)
	require.NoError(t, err)
	f.quiet()
	measured["after it was rolled back"] = f.revoke()
	report(t, measured)
}

func TestFleetOverDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "rules")
	f := startFleet(t, nodeConfig{Dir: dir}, store.Dir(dir))
	measured := map[string]time.Duration{"healthy": f.revoke()}
	old, err := store.Dir(dir).Load(t.Context(), revocation.DefaultName)
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(dir))
	f.quiet()
	measured["after it was wiped"] = f.revoke()
	now, err := store.Dir(dir).Load(t.Context(), revocation.DefaultName)
	require.NoError(t, err)
	_, err = store.Dir(dir).Save(t.Context(), revocation.DefaultName, old.Data, now.Revision)
	require.NoError(t, err)
	f.quiet()
	measured["after it was rolled back"] = f.revoke()
	report(t, measured)
}

func report(t *testing.T, measured map[string]time.Duration) {
	t.Helper()
	var names []string
	for name, took := range measured {
		names = append(names, name)
		require.Less(t, took, bound, name)
	}
	slices.Sort(names)
	for _, name := range names {
		t.Logf("%-50s %4d ms until the last of %d processes refused the token", name, measured[name].Milliseconds(), fleetSize)
	}
}
