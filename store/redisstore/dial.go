package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"syscall"
	"weak"

	"github.com/redis/go-redis/v9"

	"github.com/regionjwt/regionjwt/internal/guard"
)

// DialFunc is the type of the field Dialer in the options of go-redis.
type DialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// Dialer returns a dialer that makes connections with dial and checks what servers send. A reply ends the connection with an
// error, before the client reads it, if it breaks the protocol, has more than 5 MiB, declares more than 262,144 elements or is
// nested more than 32 deep. Without that check the client panics on some replies, also in goroutines of its own, and allocates
// whatever they declare. A push MOVING or SMIGRATED ends the connection as well, because the client would connect to any server
// that it names, without the check: so do without maintenance notifications of Redis Enterprise (MaintNotificationsConfig).
//
// New has a client check its connections by itself, so most callers do not need Dialer. It is for clients that New cannot reach:
// one with sentinels, whose connections to the sentinels New does not see; one with MinIdleConns; one that was used before New:
//
//	options.Dialer = redisstore.Dialer(redis.NewDialer(options))
//
// If dial is nil, a net.Dialer makes the connections, without TLS. Dialer is safe for concurrent use if dial is.
func Dialer(dial DialFunc) DialFunc {
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if network == askWhetherChecked {
			return nil, errIsChecked
		}
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return check(conn), nil
	}
}

// askWhetherChecked is a network that only a dialer of ours knows; it answers with errIsChecked.
const askWhetherChecked = "regionjwt: are replies checked?"

var errIsChecked = errors.New("redisstore: replies are checked")

// checked is a connection on which replies are checked.
type checked struct {
	net.Conn
	replies framing
	err     error // the first one that a reply caused
}

// checkedSocket is a checked connection that the client can ask whether it is alive.
type checkedSocket struct {
	*checked
	socket syscall.Conn
}

// SyscallConn implements syscall.Conn.
func (c checkedSocket) SyscallConn() (syscall.RawConn, error) { return c.socket.SyscallConn() }

// check returns conn with its replies checked.
func check(conn net.Conn) net.Conn {
	switch conn.(type) {
	case nil, *checked, checkedSocket:
		return conn
	}
	c := &checked{Conn: conn}
	if socket, ok := conn.(syscall.Conn); ok {
		return checkedSocket{c, socket}
	}
	return c
}

// Read implements net.Conn. Nothing of a malformed reply is passed on beyond the part of a line that came in an earlier Read.
func (c *checked) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.Conn.Read(p)
	if broken := c.replies.take(p[:max(n, 0)]); broken != nil {
		c.err = broken
		_ = c.Close()
		return 0, broken
	}
	return n, err
}

// checking is a hook that has a client check its connections.
type checking struct{}

// DialHook implements redis.Hook.
func (checking) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return check(conn), nil
	}
}

// ProcessHook implements redis.Hook.
func (checking) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

// ProcessPipelineHook implements redis.Hook.
func (checking) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// clients holds a weak pointer to each client that checks its connections because of a New.
var clients sync.Map

// errUnchecked says how to use a client that New cannot have check its connections.
var errUnchecked = errors.New("redisstore: the client may have connections already on which nothing checks replies: " +
	"call New before the client is used, without MinIdleConns, or set its Dialer to redisstore.Dialer")

// checkClient has a client check every connection that it makes from now on. inUse says that it may have some already.
func checkClient[T any](client *T, dial DialFunc, inUse bool, install func()) error {
	if asksDialer(dial) {
		return nil
	}
	key := weak.Make(client)
	if _, known := clients.Load(key); known {
		return nil
	}
	if inUse {
		return errUnchecked
	}
	if _, known := clients.LoadOrStore(key, nil); !known {
		runtime.AddCleanup(client, func(key weak.Pointer[T]) { clients.Delete(key) }, key)
		install()
	}
	return nil
}

// asksDialer reports whether a dialer checks replies. It dials nothing.
func asksDialer(dial DialFunc) bool {
	if dial == nil {
		return false
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	conn, err := dial(ctx, askWhetherChecked, "")
	if err == nil && conn != nil {
		_ = conn.Close()
	}
	return errors.Is(err, errIsChecked)
}

// guarded calls the client, and returns an error if it panics. That error holds nothing that the server sent.
func guarded[T any](call func() (T, error)) (value T, err error) {
	if panicked := guard.Call("the client", func() { value, err = call() }); panicked != nil {
		var none T
		return none, fmt.Errorf("redisstore: %w", panicked)
	}
	return value, err
}
