package redisstore_test

import (
	"context"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/store/redisstore"
	"github.com/regionjwt/regionjwt/store/storetest"
)

// freePorts finds two ports that nobody listens at.
func freePorts(t *testing.T) (one, other string) {
	t.Helper()
	var ports [2]string
	for i := range ports {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer func() { _ = l.Close() }()
		ports[i] = strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	}
	return ports[0], ports[1]
}

// startCluster starts a cluster of one node, and returns its address.
func startCluster(t *testing.T) string {
	t.Helper()
	port, bus := freePorts(t)
	address := net.JoinHostPort("127.0.0.1", port)
	cmd := launch(t, t.TempDir(), "--bind", "127.0.0.1", "--port", port, "--cluster-enabled", "yes", "--cluster-port", bus)
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	awaitServer(t, redis.NewClient(&redis.Options{Addr: address, DialerRetries: 1}))
	node := redis.NewClient(&redis.Options{Addr: address})
	defer func() { _ = node.Close() }()
	require.NoError(t, node.Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", 0, 16383).Err())
	require.Eventually(t, func() bool { return node.Set(t.Context(), "up", 1, 0).Err() == nil }, 10*time.Second, 10*time.Millisecond)
	return address
}

func clusterClient(t *testing.T, address string, change ...func(*redis.ClusterOptions)) *redis.ClusterClient {
	t.Helper()
	options := &redis.ClusterOptions{Addrs: []string{address}}
	for _, f := range change {
		f(options)
	}
	c := redis.NewClusterClient(options)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestCluster(t *testing.T) {
	t.Parallel()
	ctx, address := t.Context(), startCluster(t)
	c := clusterClient(t, address)
	one, other := newStore(t, c, redisstore.Config{Timeout: patient}), newStore(t, clusterClient(t, address), redisstore.Config{Timeout: patient})
	require.NoError(t, storetest.Check(ctx, one, other, "plain "))
	require.NoError(t, storetest.Check(ctx, signed(t, one), signed(t, other), "signed "))
	slots := map[int64]bool{}
	for _, key := range c.Keys(ctx, "*").Val() {
		slots[c.ClusterKeySlot(ctx, key).Val()] = true
	}
	require.Greater(t, len(slots), 10, "documents are spread")

	hints := watch(t, one, "a")
	await(t, hints)
	channels := c.PubSubChannels(ctx, "*").Val()
	require.Len(t, channels, 1)
	require.Equal(t, c.ClusterKeySlot(ctx, keyOf("a")).Val(), c.ClusterKeySlot(ctx, channels[0]).Val(), "key and channel are in one slot")
	_, err := other.Save(ctx, "a", []byte("x"), "")
	require.NoError(t, err)
	await(t, hints)
	require.Equal(t, "x", c.HGet(ctx, keyOf("a"), "data").Val())
	require.NoError(t, c.FlushAll(ctx).Err())
	_, err = load(ctx, one, "a")
	require.ErrorIs(t, err, store.ErrNotFound)
}

// With the options that the package asks for, a cluster client too sees what it missed within a second of the network's return.
func TestClusterFrozen(t *testing.T) {
	t.Parallel()
	address := startCluster(t)
	p := startProxy(t, address)
	direct := signed(t, newStore(t, clusterClient(t, address), redisstore.Config{Timeout: patient}))
	through := clusterClient(t, address, func(o *redis.ClusterOptions) {
		o.ContextTimeoutEnabled, o.ReadTimeout, o.WriteTimeout = true, 250*time.Millisecond, 250*time.Millisecond
		o.DialTimeout, o.DialerRetries, o.PoolSize = 500*time.Millisecond, 1, 1000
		dial := blackHole(p)
		o.Dialer = func(ctx context.Context, _, _ string) (net.Conn, error) {
			options := &redis.Options{DialTimeout: o.DialTimeout}
			dial(options)
			return options.Dialer(ctx, "unix", p.socket)
		}
	})
	events := follow(t, signed(t, newStore(t, through, redisstore.Config{})), "a")
	for i, kept := range []bool{true, false, true, false} {
		save(t, direct, "a", strconv.Itoa(i))
		sees(t, events, strconv.Itoa(i))
		p.freeze()
		pause(t, time.Duration(i)*700*time.Millisecond)
		save(t, direct, "a", "meanwhile"+strconv.Itoa(i))
		p.thaw(kept)
		returned := time.Now()
		after := sees(t, events, "meanwhile"+strconv.Itoa(i)).Sub(returned)
		t.Logf("kept connections %v: seen %v after the return", kept, after.Round(time.Millisecond))
		require.Less(t, after, 5*time.Second)
	}
}

// The rights that the package documentation lists for a cluster are enough.
func TestClusterRights(t *testing.T) {
	t.Parallel()
	address := startCluster(t)
	args := []any{"ACL", "SETUSER", "writer", "on", ">pw"}
	for right := range strings.FieldsSeq(reading + writing + " +cluster|slots +cluster|shards +command +readonly") {
		args = append(args, right)
	}
	require.NoError(t, clusterClient(t, address).Do(t.Context(), args...).Err())
	c := clusterClient(t, address, func(o *redis.ClusterOptions) { o.Username, o.Password = "writer", "pw" })
	s := newStore(t, c, redisstore.Config{Timeout: patient})
	require.NoError(t, storetest.Check(t.Context(), s, s, ""))
}
