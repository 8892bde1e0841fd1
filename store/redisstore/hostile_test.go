package redisstore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/document"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/store/redisstore"
)

// malformed returns replies that no server sends, by their fault. They are large, so that only tests make them, and
// not each process that a test starts.
var malformed = sync.OnceValue(func() map[string]string {
	return map[string]string{
		"array of the largest length":    "*9223372036854775807\r\n",
		"array of a billion":             "*1000000000\r\n",
		"arrays that declare too much":   strings.Repeat("*200000\r\n", 30),
		"set of a billion":               "~1000000000\r\n",
		"push of a billion":              ">1000000000\r\n",
		"map of the largest length":      "%9223372036854775807\r\n",
		"map of a billion":               "%1000000000\r\n",
		"string of the largest length":   "$9223372036854775807\r\n",
		"string of 512 MiB":              "$536870912\r\n",
		"verbatim string of 512 MiB":     "=536870912\r\n",
		"error of 512 MiB":               "!536870912\r\n",
		"array of a negative length":     "*-2\r\n",
		"map of a negative length":       "%-1\r\n",
		"string of a negative length":    "$-2\r\n",
		"length with a sign":             "$+3\r\nabc\r\n",
		"length that is no number":       "*x\r\n",
		"length of nothing":              "*\r\n",
		"streamed string":                "$?\r\n;0\r\n",
		"deep nesting":                   strings.Repeat("*1\r\n", 3_000_000),
		"attributes without end":         strings.Repeat("|0\r\n", 3_000_000),
		"deep maps":                      strings.Repeat("%1\r\n+a\r\n", 100_000),
		"line without end":               "+" + strings.Repeat("x", 32<<20),
		"length without end":             "*" + strings.Repeat("0", 32<<20),
		"line feed alone":                "+OK\n",
		"string without its end":         "$2\r\nabcd",
		"string that is cut off":         "$10\r\nabc",
		"array that is cut off":          "*2\r\n:1\r\n",
		"another protocol":               "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
		"nothing":                        "",
		"zeros":                          strings.Repeat("\x00", 1<<20),
		"push that moves the client":     ">4\r\n+MOVING\r\n:1\r\n:10\r\n$11\r\n192.0.2.1:1\r\n",
		"push that moves to nowhere":     ">3\r\n$6\r\nMOVING\r\n:1\r\n:10\r\n",
		"push of a verbatim string":      ">3\r\n=10\r\ntxt:MOVING\r\n:1\r\n:10\r\n",
		"push of moved slots":            ">3\r\n$9\r\nSMIGRATED\r\n:1\r\n*0\r\n",
		"push in an array":               "*1\r\n>1\r\n+x\r\n",
		"string beyond any document":     "$6000000\r\n" + strings.Repeat("x", 6_000_000) + "\r\n",
		"many strings beyond a document": "*100\r\n" + strings.Repeat("$1000000\r\n"+strings.Repeat("x", 1_000_000)+"\r\n", 100),
	}
})

// wrong are well-formed replies of a type or shape that nobody asked for.
var wrong = map[string]string{
	"status": "+OK\r\n", "integer": ":1\r\n", "nil": "$-1\r\n", "nil array": "*-1\r\n", "RESP3 nil": "_\r\n", "boolean": "#t\r\n",
	"number": ",1.5\r\n", "big number": "(123456789012345678901234567890\r\n", "string": "$3\r\nabc\r\n", "empty array": "*0\r\n",
	"empty push": ">0\r\n", "empty map": "%0\r\n", "map": "%1\r\n+a\r\n:1\r\n", "map with an array as key": "%1\r\n*0\r\n:1\r\n",
	"array of an array": "*1\r\n*0\r\n", "array of a map": "*1\r\n%0\r\n", "array of an error": "*1\r\n-ERR x\r\n",
	"array of an integer": "*1\r\n:1\r\n", "array of wrong types": "*3\r\n:1\r\n:2\r\n:3\r\n", "unknown number": "*1\r\n:77\r\n",
	"too many fields": "*4\r\n:1\r\n+a\r\n+b\r\n+c\r\n", "error": "-ERR no\r\n", "empty error": "-\r\n", "blob error": "!3\r\nERR\r\n",
	"empty revision": "*2\r\n:1\r\n+\r\n", "document of an empty revision": "*3\r\n:1\r\n$0\r\n\r\n+data\r\n",
	"long revision":               "*2\r\n:1\r\n+" + strings.Repeat("x", 65) + "\r\n",
	"document of a long revision": "*3\r\n:1\r\n+" + strings.Repeat("x", 65) + "\r\n+data\r\n",
	"subscription of nothing":     "*1\r\n$9\r\nsubscribe\r\n", "subscription without a number": "*3\r\n$9\r\nsubscribe\r\n:1\r\n$1\r\nx\r\n",
	"message of nothing": "*1\r\n$7\r\nmessage\r\n", "message of numbers": "*3\r\n$7\r\nmessage\r\n:1\r\n:1\r\n",
	"message of a list": "*3\r\n$7\r\nmessage\r\n+a\r\n*1\r\n:1\r\n", "pong of nothing": "*1\r\n$4\r\npong\r\n", "short verbatim": "=1\r\nx\r\n",
}

// impostor answers on the address of a server: to what comes after the handshake, or to all, with one reply.
type impostor struct {
	socket string
	wg     sync.WaitGroup
}

func startImpostor(t *testing.T, reply string, shakesHands bool) *impostor {
	t.Helper()
	i, sent := &impostor{socket: filepath.Join(t.TempDir(), "i")}, []byte(reply)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", i.socket)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	i.wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			i.wg.Go(func() { answer(conn, sent, shakesHands) })
			i.wg.Go(func() { <-ctx.Done(); _ = conn.Close() })
		}
	})
	t.Cleanup(func() { cancel(); _ = listener.Close(); i.wg.Wait() })
	return i
}

// answer reads commands and answers them.
func answer(conn net.Conn, reply []byte, shakesHands bool) {
	defer func() { _ = conn.Close() }()
	for in := bufio.NewReader(conn); ; {
		command, err := readCommand(in)
		if err != nil {
			return
		}
		out := reply
		switch {
		case !shakesHands:
		case command == "hello":
			out = []byte("-ERR unknown command\r\n")
		case command == "client":
			out = []byte("+OK\r\n")
		}
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}

// readCommand reads a command of a client, and returns its name.
func readCommand(in *bufio.Reader) (name string, err error) {
	var words, length int
	if _, err := fmt.Fscanf(in, "*%d\r\n", &words); err != nil {
		return "", err
	}
	for i := range words {
		if _, err := fmt.Fscanf(in, "$%d\r\n", &length); err != nil {
			return "", err
		}
		word := make([]byte, length+2)
		if _, err := io.ReadFull(in, word); err != nil {
			return "", err
		}
		if i == 0 {
			name = strings.ToLower(string(word[:length]))
		}
	}
	return name, nil
}

// allCalls makes every call of a Store, each of which has to fail in time.
func allCalls(t *testing.T, s *redisstore.Store) {
	t.Helper()
	for name, call := range map[string]func(context.Context) error{
		"Load":     func(ctx context.Context) error { _, err := load(ctx, s, "a"); return err },
		"Revision": func(ctx context.Context) error { _, err := revisionOf(ctx, s, "a"); return err },
		"Save":     func(ctx context.Context) error { _, err := s.Save(ctx, "a", []byte("x"), ""); return err },
		"Watch":    func(ctx context.Context) error { return s.Watch(ctx, "a", func() {}) },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		began := time.Now()
		err := call(ctx)
		cancel()
		require.Less(t, time.Since(began), 10*time.Second, name)
		if name != "Save" { // a number may say that it was saved
			require.Error(t, err, name)
		}
	}
}

// A server that breaks the protocol, or an impostor, ends neither the process nor its memory, whatever it says and when.
func TestMalformedReplies(t *testing.T) {
	for _, replies := range []map[string]string{malformed(), wrong} {
		for name, reply := range replies {
			for _, shakesHands := range []bool{false, true} {
				t.Run(fmt.Sprint(name, shakesHands), func(t *testing.T) {
					s := newStore(t, client(t, startImpostor(t, reply, shakesHands).socket), redisstore.Config{Timeout: 200 * time.Millisecond})
					var before, after runtime.MemStats // a call may be tried four times, of at most 5 MiB and some copies
					runtime.ReadMemStats(&before)
					allCalls(t, s)
					runtime.ReadMemStats(&after)
					require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(192<<20))
				})
			}
		}
	}
}

// The same on the nodes of a cluster, which the client asks from goroutines of its own.
func TestMalformedRepliesOfACluster(t *testing.T) {
	for name, reply := range malformed() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := startImpostor(t, reply, true)
			c := clusterClient(t, "cluster.test:1", func(o *redis.ClusterOptions) {
				o.Dialer = func(ctx context.Context, _, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, "unix", i.socket)
				}
				o.ReadTimeout, o.WriteTimeout, o.ContextTimeoutEnabled = 50*time.Millisecond, 50*time.Millisecond, true
			})
			allCalls(t, newStore(t, c, redisstore.Config{Timeout: 200 * time.Millisecond}))
		})
	}
}

// The error of a malformed reply is plain: it says what is wrong, and repeats nothing of it.
func TestMalformedReplyEndsTheConnection(t *testing.T) {
	t.Parallel()
	reply := "*1\r\n$3\r\nsecret\r\n"
	s := newStore(t, client(t, startImpostor(t, reply, true).socket), redisstore.Config{Timeout: patient})
	_, err := load(t.Context(), s, "a")
	require.ErrorContains(t, err, "malformed reply")
	require.NotContains(t, err.Error(), "secret")
	require.NotErrorIs(t, err, store.ErrNotFound)
}

// A server that has a document which is too large, and does not say so, is not believed.
func TestADocumentBeyondTheBound(t *testing.T) {
	t.Parallel()
	reply := "*3\r\n:1\r\n+r\r\n$4194305\r\n" + strings.Repeat("x", 4<<20+1) + "\r\n"
	s := newStore(t, client(t, startImpostor(t, reply, true).socket), redisstore.Config{Timeout: patient})
	_, err := load(t.Context(), s, "a")
	require.ErrorIs(t, err, document.ErrTooLarge)
}

// A client that may have connections on which nothing checks replies is refused, unless its dialer checks them.
func TestUncheckedConnections(t *testing.T) {
	t.Parallel()
	srv := startServer(t)
	used := client(t, srv.socket)
	require.NoError(t, used.Ping(t.Context()).Err())
	idle := client(t, srv.socket, func(o *redis.Options) { o.MinIdleConns = 1 })
	cluster := clusterClient(t, "127.0.0.1:1", func(o *redis.ClusterOptions) { o.MinIdleConns = 1 })
	for _, c := range []redis.UniversalClient{used, idle, cluster} {
		_, err := redisstore.New(c, redisstore.Config{})
		require.ErrorContains(t, err, "redisstore.Dialer")
	}
	dialed := client(t, srv.socket, func(o *redis.Options) { o.MinIdleConns, o.Dialer = 1, redisstore.Dialer(redis.NewDialer(o)) })
	require.NoError(t, dialed.Ping(t.Context()).Err())
	newStore(t, dialed, redisstore.Config{})
	c := client(t, srv.socket)
	for range 2 {
		_, err := load(t.Context(), newStore(t, c, redisstore.Config{Timeout: patient}), "a")
		require.ErrorIs(t, err, store.ErrNotFound, "a second Store of one client")
	}
	nowhere := client(t, srv.socket, func(o *redis.Options) { o.Dialer, o.DialerRetries = redisstore.Dialer(nil), 1 })
	require.NoError(t, nowhere.Ping(t.Context()).Err())
	failing := errors.New("no route")
	_, err := redisstore.Dialer(func(context.Context, string, string) (net.Conn, error) { return nil, failing })(t.Context(), "tcp", "a:1")
	require.ErrorIs(t, err, failing)
}
