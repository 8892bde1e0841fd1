package redisstore_test

import (
	"bytes"
	"context"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/store/redisstore"
)

// startFlood answers the handshake, and then writes one text again and again for as long as anyone reads. It counts the bytes.
func startFlood(t *testing.T, text string) (socket string, sent *atomic.Int64) {
	t.Helper()
	socket, sent = filepath.Join(t.TempDir(), "f"), new(atomic.Int64)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	flood := []byte(strings.Repeat(text, 1+4096/len(text)))
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				_, _ = conn.Write([]byte("%1\r\n+proto\r\n:3\r\n+OK\r\n+OK\r\n"))
				for {
					n, err := conn.Write(flood)
					sent.Add(int64(n))
					if err != nil {
						return
					}
				}
			}()
		}
	}()
	return socket, sent
}

// A server that never stops to push costs little: a connection ends after some thousand pushes that nobody asked for.
func TestFloodsOfPushes(t *testing.T) {
	for name, text := range map[string]string{
		"unknown": ">2\r\n+x\r\n+y\r\n", "invalidate": ">2\r\n$10\r\ninvalidate\r\n*0\r\n", "maintenance": ">3\r\n+MIGRATING\r\n:1\r\n:60\r\n",
		"numbers": ">1\r\n:1\r\n", "empty": ">0\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			socket, sent := startFlood(t, text)
			c := client(t, socket, func(o *redis.Options) { o.MaxRetries = -1 })
			s := newStore(t, c, redisstore.Config{Timeout: patient})
			for range 4 {
				sent.Store(0)
				_, err := load(t.Context(), s, "a")
				require.Error(t, err)
				require.NotErrorIs(t, err, context.DeadlineExceeded, "it does not read until the time is over")
				require.Less(t, sent.Load(), int64(4<<20), "socket buffers included")
			}
		})
	}
}

// Hints are read at a bounded rate: somebody who publishes without end makes a service neither parse all of that nor hint more
// often than is of use.
func TestFloodsOfMessages(t *testing.T) {
	t.Parallel()
	channel := keyOf("a") + ":changed"
	message := "*3\r\n$7\r\nmessage\r\n$" + strconv.Itoa(len(channel)) + "\r\n" + channel + "\r\n$1\r\nx\r\n"
	for name, said := range map[string]string{"RESP2": message, "RESP3": ">" + message[1:]} {
		synctest.Test(t, func(t *testing.T) {
			endless := &repeated{text: []byte(said)}
			c := redis.NewClient(&redis.Options{Dialer: redisstore.Dialer(func(context.Context, string, string) (net.Conn, error) {
				return floodConn{script: script{said: bytes.NewReader([]byte("-ERR unknown command\r\n+OK\r\n+OK\r\n")), piece: 1 << 20}, then: endless}, nil
			})})
			defer func() { _ = c.Close() }()
			s := newStore(t, c, redisstore.Config{})
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			hints := 0
			require.Error(t, s.Watch(ctx, "a", func() { hints++ }))
			require.GreaterOrEqual(t, hints, 1, name)
			require.LessOrEqual(t, hints, 500, name)
			require.LessOrEqual(t, endless.read/len(said), 2000, name)
		})
	}
}

// repeated says one text again and again.
type repeated struct {
	text []byte
	read int
}

func (r *repeated) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = r.text[(r.read+i)%len(r.text)]
	}
	r.read += len(p)
	return len(p), nil
}

// floodConn says a script, and then a flood.
type floodConn struct {
	script
	then *repeated
}

func (f floodConn) Read(p []byte) (int, error) {
	if f.said.Len() > 0 {
		return f.script.Read(p)
	}
	time.Sleep(time.Microsecond) // what a network takes
	return f.then.Read(p[:min(len(p), 4096)])
}

// What a server says of an error is short and printable when it gets into a log.
func TestErrorsOfAServer(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]string{
		"long":    "-ERR " + strings.Repeat("x", 60_000) + "\r\n",
		"huge":    "!4000000\r\n" + strings.Repeat("y", 4_000_000) + "\r\n",
		"lines":   "!30\r\nERR a\nlevel=INFO msg=\"all well\"\r\n",
		"reverse": "-ERR \u202egnp\x1b[31m\x07\r\n",
		"no text": "-\xff\xfe\r\n",
	} {
		s := newStore(t, client(t, startImpostor(t, reply, true).socket), redisstore.Config{Timeout: patient})
		_, err := load(t.Context(), s, "a")
		require.Error(t, err, name)
		text := err.Error()
		require.LessOrEqual(t, len(text), 300, name)
		for _, r := range text {
			require.True(t, unicode.IsPrint(r), "%s: %q", name, text)
		}
	}
}
