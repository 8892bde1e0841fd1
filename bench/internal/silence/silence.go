// Package silence makes open connections fall silent, as after a change of the network.
package silence

import (
	"net"
	"sync"
)

// Listener is a listener whose connections can fall silent.
type Listener struct {
	net.Listener
	mu   sync.Mutex
	open []*conn
}

type conn struct {
	net.Conn
	once   sync.Once
	silent chan struct{} // closed when nothing is read any longer
	closed chan struct{}
}

// Accept returns the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	silent := &conn{Conn: c, silent: make(chan struct{}), closed: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = append(l.open, silent)
	return silent, nil
}

// Silence makes the connections that are open fall silent.
func (l *Listener) Silence() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.open {
		close(c.silent)
	}
	l.open = nil
}

// Read reads until the connection falls silent, and then not before it is closed.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	select {
	case <-c.silent:
		<-c.closed
		return 0, net.ErrClosed
	default:
		return n, err
	}
}

// Close closes the connection.
func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
