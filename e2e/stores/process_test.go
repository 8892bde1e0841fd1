package stores_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/aws/dynamostore"
	"github.com/regionjwt/regionjwt/aws/s3store"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/store/redisstore"
)

const (
	childEnv = "REGIONJWT_TEST_PROCESS" // its value makes this program a process of the fleet
	fleet    = "production"
	password = "the store's password"
)

// place says how a process reaches a store.
type place struct {
	Kind    string // redis, dynamo, s3, dir
	Network string
	Address string
}

// duty is what a process of the fleet does.
type duty struct {
	Stores    []place
	Operators ed25519.PublicKey
	Receiver  ed25519.PublicKey // of security events; nil if there is none
	Copy      string            // directory of its local copy
}

// said is a line that a process writes when something has changed.
type said struct {
	Known    bool
	Rules    []string // their subjects
	Problems []string // of the stores
}

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // net/http writes of answers that nobody asked for
	if text := os.Getenv(childEnv); text != "" {
		if err := follow(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	redis.SetLogger(quiet{})
	m.Run()
}

// quiet logs nothing: that servers fail is meant.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

// follow follows the rules until its standard input ends, as a service would.
func follow(text string) error {
	var d duty
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return err
	}
	c := store.ReplicaConfig{LocalCopy: store.Dir(d.Copy)}
	var events []store.Trusted
	for _, p := range d.Stores {
		inner, err := p.open()
		if err != nil {
			return err
		}
		c.Stores = append(c.Stores, store.Signed(inner, fleet, nil, store.PublicKey{Key: d.Operators}))
		if d.Receiver != nil {
			events = append(events, store.Signed(inner, fleet, nil, receiverKey(d.Receiver)))
		}
	}
	changed := make(chan struct{}, 1)
	config := revocation.Config{Replica: c, OnChange: func(_, _ revocation.Status) {
		select {
		case changed <- struct{}{}:
		default:
		}
	}}
	if d.Receiver != nil {
		config.Signals = []revocation.Signals{{Replica: store.ReplicaConfig{Stores: events}, Providers: []string{"shop"}}}
	}
	list, err := revocation.New(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	go func() {
		out := json.NewEncoder(os.Stdout)
		for range changed {
			if out.Encode(stateOf(list)) != nil {
				cancel()
			}
		}
	}()
	_ = list.Run(ctx) // its error is that of ctx
	return nil
}

func stateOf(list *revocation.List) said {
	status := list.Status()
	s := said{Known: status.Replica.Origin != "none", Rules: []string{}}
	for _, r := range list.Rules() {
		s.Rules = append(s.Rules, r.Subject)
	}
	for _, one := range status.Replica.Stores {
		s.Problems = append(s.Problems, one.Problem)
	}
	return s
}

// open makes the store of a process, as its documentation says.
func (p place) open() (store.Store, error) {
	switch p.Kind {
	case "redis":
		return redisstore.New(p.redis(), redisstore.Config{})
	case "dir":
		return store.Dir(p.Address), nil
	case "dynamo":
		return dynamostore.New(dynamo("http://"+p.Address, new(http.Transport)), dynamostore.Config{Table: "regionjwt"})
	}
	return s3store.New(simple("http://"+p.Address, new(http.Transport)), s3store.Config{Bucket: "fleet"})
}

func (p place) redis() *redis.Client {
	return redis.NewClient(&redis.Options{
		Network: p.Network, Addr: p.Address, Password: password,
		DialTimeout: 500 * time.Millisecond, DialerRetries: 1, PoolSize: 1000,
	})
}

// process is a process of the fleet.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer
	log   bytes.Buffer
	ended chan struct{} // closed when it has ended

	mu    sync.Mutex
	wrong []string             // what it forgot, or believed although nobody has added it, or took back
	now   said                 // the last line
	ill   bool                 // it has told a problem of a store
	seen  map[string]time.Time // when it had a rule first
	gone  map[string]time.Time // when it first had it no more
}

// truth is what operators have done.
type truth struct {
	mu             sync.Mutex
	added, removed map[string]bool
}

func (u *truth) note(of map[string]bool, name string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	of[name] = true
}

// launch starts a process that judges what it says by the truth.
func launch(t *testing.T, d duty, u *truth) *process {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	text, err := json.Marshal(d)
	require.NoError(t, err)
	p := &process{cmd: exec.Command(self), ended: make(chan struct{}), seen: map[string]time.Time{}, gone: map[string]time.Time{}}
	p.cmd.Env, p.cmd.Stderr = append(os.Environ(), childEnv+"="+string(text)), &p.log
	p.stdin, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			p.hear(s.Bytes(), u)
		}
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(p.kill)
	return p
}

// hear takes in a line.
func (p *process) hear(line []byte, u *truth) {
	at := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	u.mu.Lock()
	defer u.mu.Unlock()
	before := p.now
	p.now = said{}
	if err := json.Unmarshal(line, &p.now); err != nil {
		p.wrong = append(p.wrong, "says "+string(line))
		return
	}
	p.ill = p.ill || strings.Join(p.now.Problems, "") != ""
	has := map[string]bool{}
	for _, name := range p.now.Rules {
		has[name] = true
		if !u.added[name] {
			p.wrong = append(p.wrong, "believes "+name)
		}
		if _, gone := p.gone[name]; gone {
			p.wrong = append(p.wrong, "took back the removal of "+name)
		}
		if _, seen := p.seen[name]; !seen {
			p.seen[name] = at
		}
	}
	for _, name := range before.Rules {
		if has[name] {
			continue
		}
		p.gone[name] = at
		if !u.removed[name] {
			p.wrong = append(p.wrong, "forgot "+name)
		}
	}
}

// when returns when the process first knew a rule, or that it was removed.
func (p *process) when(name string, removed bool) (at time.Time, done bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !removed {
		at, done = p.seen[name]
		return at, done
	}
	if at, done = p.gone[name]; done {
		return at, true
	}
	_, seen := p.seen[name]
	return time.Time{}, p.now.Known && !seen // it started later
}

func (p *process) state() (now said, wrong []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now, append([]string{}, p.wrong...)
}

// isRunning reports whether the process has not ended.
func (p *process) isRunning() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// kill ends the process by SIGKILL.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// cost returns the processor time of the process and the largest memory that it had, on Linux.
func (p *process) cost() (used time.Duration, memory int) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	for _, i := range []int{11, 12} { // utime and stime, in ticks of 10 ms
		ticks, _ := strconv.Atoi(fields[i])
		used += time.Duration(ticks) * 10 * time.Millisecond
	}
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	kib, _, _ := strings.Cut(strings.TrimSpace(peak), " ")
	memory, _ = strconv.Atoi(kib)
	return used, memory
}
