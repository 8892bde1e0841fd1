package redisstore_test

import (
	"bytes"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/store/storetest"
)

// proxy is a network in front of a server that can be cut and frozen.
type proxy struct {
	socket, target string
	wg             sync.WaitGroup
	done           chan struct{}

	mu     sync.Mutex
	cut    bool
	frozen chan struct{} // closed when bytes pass again; nil while they do
	lose   int           // answers to scripts that are lost
	before func()        // called before the next script that writes
	pairs  map[*pair]struct{}
}

// pair is a connection and its continuation.
type pair struct {
	ends   [2]net.Conn
	closed chan struct{}
	once   sync.Once
	asked  bool // a script was sent; guarded by mu of the proxy
	dead   bool // no byte will ever pass again
}

func (p *pair) close() {
	p.once.Do(func() {
		close(p.closed)
		for _, end := range p.ends {
			_ = end.Close()
		}
	})
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	p := &proxy{socket: filepath.Join(t.TempDir(), "p"), target: target, done: make(chan struct{}), pairs: map[*pair]struct{}{}}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", p.socket)
	require.NoError(t, err)
	p.wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			p.serve(conn)
		}
	})
	t.Cleanup(func() {
		close(p.done)
		_ = listener.Close()
		p.closeAll()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) serve(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	network := "unix"
	if strings.Contains(p.target, ":") {
		network = "tcp"
	}
	other, err := net.Dial(network, p.target)
	if err != nil || p.cut {
		_ = conn.Close()
		if err == nil {
			_ = other.Close()
		}
		return
	}
	pr := &pair{ends: [2]net.Conn{conn, other}, closed: make(chan struct{})}
	p.pairs[pr] = struct{}{}
	p.wg.Go(func() { p.copy(pr, 0) })
	p.wg.Go(func() { p.copy(pr, 1) })
}

func (p *proxy) copy(pr *pair, from int) {
	defer func() {
		pr.close()
		p.mu.Lock()
		delete(p.pairs, pr)
		p.mu.Unlock()
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := pr.ends[from].Read(buffer)
		if err != nil || !p.passes(pr) || p.loses(pr, from, buffer[:n]) {
			return
		}
		if _, err := pr.ends[1-from].Write(buffer[:n]); err != nil {
			return
		}
	}
}

// loses reports whether this is an answer to a script that is lost. It calls before when a script is to write.
func (p *proxy) loses(pr *pair, from int, said []byte) bool {
	p.mu.Lock()
	before := p.before
	if from != 0 || !bytes.Contains(said, []byte("\r\nevalsha\r\n")) {
		before = nil
	}
	if before != nil {
		p.before = nil
	}
	lost := false
	switch {
	case from == 0 && bytes.Contains(said, []byte("\r\neval")):
		pr.asked = true
	case from == 1 && pr.asked && p.lose > 0:
		p.lose--
		lost = true
	}
	p.mu.Unlock()
	if before != nil {
		before()
	}
	return lost
}

// faults are what the proxy can do.
func (p *proxy) faults(c *redis.Client) storetest.Faults {
	return storetest.Faults{
		LoseAnswers: func(n int) { p.set(func() { p.lose = n }) },
		BeforeWrite: func(f func()) { p.set(func() { p.before = f }) },
		Silence:     func() func() { p.freeze(); return func() { p.thaw(true) } },
		Close:       func() { _ = c.Close() },
	}
}

func (p *proxy) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// passes waits while the network is frozen.
func (p *proxy) passes(pr *pair) bool {
	for {
		p.mu.Lock()
		gate, dead := p.frozen, pr.dead
		p.mu.Unlock()
		if gate == nil && !dead {
			return true
		}
		if dead {
			gate = nil
		}
		select {
		case <-gate:
		case <-pr.closed:
			return false
		case <-p.done:
			return false
		}
	}
}

func (p *proxy) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for pr := range p.pairs {
		pr.close()
	}
}

// setCut closes all connections and those to come, or heals.
func (p *proxy) setCut(cut bool) {
	p.mu.Lock()
	p.cut = cut
	p.mu.Unlock()
	if cut {
		p.closeAll()
	}
}

func (p *proxy) isFrozen() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.frozen != nil
}

// freeze lets no more bytes pass, and tells nobody.
func (p *proxy) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = make(chan struct{})
}

// thaw lets them pass again: those that were kept back too, or none on the connections that there are.
func (p *proxy) thaw(kept bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for pr := range p.pairs {
		pr.dead = !kept
	}
	close(p.frozen)
	p.frozen = nil
}

// connections is how many there are.
func (p *proxy) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.pairs)
}
