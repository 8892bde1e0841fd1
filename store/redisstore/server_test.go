package redisstore_test

import (
	"cmp"
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/store/redisstore"
)

// server is a redis-server of one test, at a unix socket.
type server struct {
	socket string
	cmd    *exec.Cmd
}

func startServer(t *testing.T) *server {
	t.Helper()
	s := &server{socket: filepath.Join(t.TempDir(), "s")}
	s.start(t)
	t.Cleanup(func() { s.kill() })
	return s
}

// start starts it, empty.
func (s *server) start(t *testing.T) {
	t.Helper()
	s.cmd = launch(t, filepath.Dir(s.socket), "--port", "0", "--unixsocket", s.socket)
	awaitServer(t, redis.NewClient(&redis.Options{Network: "unix", Addr: s.socket, DialerRetries: 1}))
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

func launch(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	require.NoError(t, err, "these tests need redis-server 7 or later: install it (Debian: apt-get install redis-server) and try again")
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), path, append([]string{"--save", "", "--appendonly", "no", "--dir", dir}, args...)...)
	require.NoError(t, cmd.Start())
	return cmd
}

func awaitServer(t *testing.T, c redis.UniversalClient) {
	t.Helper()
	defer func() { _ = c.Close() }()
	require.Eventually(t, func() bool { return c.Ping(t.Context()).Err() == nil }, 10*time.Second, 5*time.Millisecond, "redis-server does not start")
}

// client connects to a server or a proxy. Its options are the defaults, unless change changes them.
func client(t *testing.T, socket string, change ...func(*redis.Options)) *redis.Client {
	t.Helper()
	options := &redis.Options{Network: "unix", Addr: socket}
	for _, f := range change {
		f(options)
	}
	c := redis.NewClient(options)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// tuned are the options that the package asks for.
func tuned(o *redis.Options) {
	o.DialTimeout, o.DialerRetries, o.PoolSize = 500*time.Millisecond, 1, 1000
}

// hooked has a Store call the hooks of the client.
func hooked(o *redis.Options) {
	o.ReadTimeout, o.WriteTimeout = 10*time.Millisecond, 10*time.Millisecond
}

func newStore(t *testing.T, c redis.UniversalClient, config redisstore.Config) *redisstore.Store {
	t.Helper()
	s, err := redisstore.New(c, config)
	require.NoError(t, err)
	return s
}

// blackHole is the dialer of a network on which connections can neither be made nor be refused while p is frozen.
func blackHole(p *proxy) func(*redis.Options) {
	return func(o *redis.Options) {
		o.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
			if p.isFrozen() {
				ctx, cancel := context.WithTimeout(ctx, cmp.Or(o.DialTimeout, 5*time.Second))
				defer cancel()
				<-ctx.Done()
				return nil, &net.OpError{Op: "dial", Net: network, Err: context.DeadlineExceeded}
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		}
	}
}
