package stores_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What a way does with connections.
const (
	passes = iota
	refuses
	stalls // it accepts connections, and no byte passes
	lies   // it answers in place of the server
)

// way is the network between the processes and a server.
type way struct {
	address string // where processes connect to
	network string // of the server
	target  string
	wg      sync.WaitGroup

	mu       sync.Mutex
	mode     int
	lie      func() []byte
	conns    map[net.Conn]struct{}
	finished bool
}

func startWay(t *testing.T, network, target string, lie func() []byte) *way {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &way{address: listener.Addr().String(), network: network, target: target, lie: lie, conns: map[net.Conn]struct{}{}}
	w.wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			w.wg.Go(func() { w.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		w.mu.Lock()
		w.finished = true
		w.mu.Unlock()
		w.set(refuses)
		w.wg.Wait()
	})
	return w
}

// set changes what the way does. Connections that there are end, unless they only stall.
func (w *way) set(mode int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mode = mode
	if mode == stalls || mode == passes {
		return
	}
	for c := range w.conns {
		_ = c.Close()
	}
}

func (w *way) now() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.finished {
		return refuses
	}
	return w.mode
}

// keep keeps a connection for the end, and reports whether it may be used.
func (w *way) keep(c net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.finished || w.mode == refuses {
		return false
	}
	w.conns[c] = struct{}{}
	return true
}

func (w *way) end(c net.Conn) {
	_ = c.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, c)
}

func (w *way) serve(conn net.Conn) {
	defer w.end(conn)
	if !w.keep(conn) {
		return
	}
	for w.now() == stalls {
		time.Sleep(10 * time.Millisecond)
	}
	if w.now() == lies {
		w.answer(conn)
		return
	}
	server, err := new(net.Dialer).DialContext(context.Background(), w.network, w.target)
	if err != nil {
		return
	}
	defer w.end(server)
	if !w.keep(server) {
		return
	}
	var other sync.WaitGroup
	other.Go(func() { w.copy(conn, server) })
	w.copy(server, conn)
	other.Wait()
}

// copy carries bytes until one side ends.
func (w *way) copy(to, from net.Conn) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		for w.now() == stalls {
			time.Sleep(10 * time.Millisecond)
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// answer answers what a process sends with lies.
func (w *way) answer(conn net.Conn) {
	buffer := make([]byte, 64<<10)
	for {
		if _, err := conn.Read(buffer); err != nil {
			return
		}
		if _, err := conn.Write(w.lie()); err != nil {
			return
		}
	}
}
