package redisstore_test

import (
	"bufio"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/store/redisstore"
)

// listen answers connections at a TCP address until the test ends, and returns the address.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				serve(conn)
			}()
		}
	}()
	return listener.Addr().String()
}

// speaksRESP3 answers a client that shakes hands, and puts a push before every other answer.
func speaksRESP3(push func() string) func(net.Conn) {
	return func(conn net.Conn) {
		for in := bufio.NewReader(conn); ; {
			command, err := readCommand(in)
			if err != nil {
				return
			}
			out := push() + "*1\r\n:0\r\n"
			switch command {
			case "hello":
				out = "%1\r\n+proto\r\n:3\r\n"
			case "client":
				out = "+OK\r\n"
			}
			if _, err := conn.Write([]byte(out)); err != nil {
				return
			}
		}
	}
}

// A server cannot send the client to another one: go-redis dials that one by a dialer of its own, so nothing would check what it
// says. In whatever form it is said, the connection ends.
func TestNotMovedByAServer(t *testing.T) {
	t.Parallel()
	for name, form := range map[string]string{
		"string": "$6\r\nMOVING\r\n", "line": "+MOVING\r\n", "verbatim": "=10\r\ntxt:MOVING\r\n",
	} {
		for _, dialer := range []bool{false, true} {
			t.Run(fmt.Sprint(name, dialer), func(t *testing.T) {
				t.Parallel()
				var visits, pushes atomic.Int64
				elsewhere := listen(t, func(conn net.Conn) {
					visits.Add(1)
					_, _ = conn.Write([]byte("*1000000000000\r\n"))
					time.Sleep(time.Second)
				})
				address := listen(t, speaksRESP3(func() string {
					return fmt.Sprintf(">4\r\n%s:%d\r\n:10\r\n$%d\r\n%s\r\n", form, pushes.Add(1), len(elsewhere), elsewhere)
				}))
				o := &redis.Options{Addr: address}
				if dialer {
					o.Dialer = redisstore.Dialer(nil)
				}
				c := redis.NewClient(o)
				t.Cleanup(func() { _ = c.Close() })
				s := newStore(t, c, redisstore.Config{})
				for range 5 {
					_, _ = load(t.Context(), s, "a")
					time.Sleep(20 * time.Millisecond)
				}
				require.Zero(t, visits.Load())
			})
		}
	}
}
