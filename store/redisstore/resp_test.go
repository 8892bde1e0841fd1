package redisstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/store/redisstore"
)

// script is a connection on which everything is said already, in pieces of some size.
type script struct {
	net.Conn
	said  *bytes.Reader
	piece int
}

func (s script) Read(p []byte) (int, error)     { return s.said.Read(p[:min(len(p), s.piece)]) }
func (script) Write(p []byte) (int, error)      { return len(p), nil }
func (script) Close() error                     { return nil }
func (script) SetDeadline(time.Time) error      { return nil }
func (script) SetReadDeadline(time.Time) error  { return nil }
func (script) SetWriteDeadline(time.Time) error { return nil }
func (script) RemoteAddr() net.Addr             { return &net.UnixAddr{} }
func (script) LocalAddr() net.Addr              { return &net.UnixAddr{} }
func scripted(said string, piece int) redisstore.DialFunc {
	return redisstore.Dialer(func(context.Context, string, string) (net.Conn, error) {
		return script{said: bytes.NewReader([]byte(said)), piece: piece}, nil
	})
}

// whole reads all that a checked connection passes on.
func whole(t *testing.T, said string, piece int) (string, error) {
	t.Helper()
	conn, err := scripted(said, piece)(t.Context(), "", "")
	require.NoError(t, err)
	got, err := io.ReadAll(conn)
	_, again := conn.Read(make([]byte, 1))
	if err != nil {
		require.Equal(t, err, again, "the connection has ended")
	} else {
		require.ErrorIs(t, again, io.EOF)
	}
	return string(got), err
}

// What servers send passes unchanged, wherever it is cut; a malformed reply is found wherever it is cut.
func TestFraming(t *testing.T) {
	t.Parallel()
	good := "+OK\r\n-ERR x\r\n:1\r\n_\r\n#t\r\n,1.5\r\n(12\r\n$-1\r\n*-1\r\n$0\r\n\r\n$3\r\na\r\n\r\n=7\r\ntxt:abc\r\n!3\r\nERR\r\n*0\r\n%0\r\n~0\r\n>1\r\n+x\r\n" +
		">2\r\n$7\r\nMOVINGS\r\n+MOVING\r\n>2\r\n*1\r\n+MOVING\r\n+MOVING\r\n>1\r\n*0\r\n>2\r\n$-1\r\n$9\r\nSMIGRATED\r\n+MOVING\r\n" +
		"*2\r\n*1\r\n%1\r\n+a\r\n~2\r\n:1\r\n:2\r\n$2\r\n\r\n\r\n" + strings.Repeat("*1\r\n", 32) + ":1\r\n" + "+" + strings.Repeat("x", 64<<10-3) + "\r\n"
	for _, piece := range []int{1, 2, 3, 7, 1 << 20} {
		got, err := whole(t, good, piece)
		require.NoError(t, err)
		require.Equal(t, good, got)
		for name, reply := range malformed() {
			if strings.Contains(name, "cut off") || name == "nothing" || piece < 7 && len(reply) > 1<<20 {
				continue
			}
			got, err := whole(t, good+reply, piece)
			require.ErrorContains(t, err, "malformed reply", name)
			require.True(t, strings.HasPrefix(good+reply, got), name)
		}
		for _, reply := range wrong {
			_, err := whole(t, reply, piece)
			require.NoError(t, err, "the types are for others to judge")
		}
	}
	for _, bound := range []string{
		strings.Repeat("*1\r\n", 33), "*262145\r\n", "%131073\r\n", "+" + strings.Repeat("x", 64<<10-2) + "\r\n",
		"*2\r\n*262142\r\n" + strings.Repeat(":1\r\n", 262142) + "*1\r\n", "$5242880\r\n",
	} {
		_, err := whole(t, bound, 1<<20)
		require.ErrorContains(t, err, "malformed reply", "%.40q", bound)
	}
	got, err := whole(t, strings.Repeat("*262144\r\n"+strings.Repeat(":1\r\n", 262144), 8), 1<<20)
	require.NoError(t, err, "the bounds are those of one reply")
	require.NotEmpty(t, got)
}

// FuzzReplies has a client read arbitrary bytes as the replies of a server, through all calls of a Store.
func FuzzReplies(f *testing.F) {
	handshake := "-ERR unknown command\r\n+OK\r\n+OK\r\n"
	for _, replies := range []map[string]string{malformed(), wrong} {
		for _, reply := range replies {
			if len(reply) < 1<<20 {
				f.Add([]byte(reply), uint16(1000))
				f.Add([]byte(handshake+reply), uint16(5))
			}
		}
	}
	f.Add([]byte(handshake+"*3\r\n:1\r\n$1\r\nr\r\n$4\r\ndata\r\n"), uint16(9))
	f.Fuzz(func(t *testing.T, said []byte, piece uint16) {
		c := redis.NewClient(&redis.Options{
			Dialer: scripted(string(said), int(piece)+1), MaxRetries: -1, DialerRetries: 1, DisableIdentity: len(said)%2 == 0, Protocol: 2 + len(said)/2%2,
		})
		defer func() { _ = c.Close() }()
		s, err := redisstore.New(c, redisstore.Config{Timeout: 20 * time.Second})
		require.NoError(t, err)
		began := time.Now()
		_, err = load(t.Context(), s, "a")
		if err == nil {
			require.Contains(t, string(said), "*3\r\n")
		}
		_, _ = revisionOf(t.Context(), s, "a")
		_, _ = s.Save(t.Context(), "a", nil, "")
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		require.Error(t, s.Watch(ctx, "a", func() {}))
		require.NoError(t, errors.Join(ctx.Err()), "after %v", time.Since(began))
	})
}
