package redisstore_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/document"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/store/redisstore"
	"github.com/regionjwt/regionjwt/store/storetest"
)

const (
	secret  = "0123456789abcdef0123456789abcdef"
	patient = 20 * time.Second // where only a loaded machine is slow
)

// saved is a document, and its revision.
type saved struct {
	Data     []byte
	Revision string
}

// load loads a document, whatever its revision is.
func load(ctx context.Context, s store.Store, name string) (saved, error) {
	data, revision, err := s.Load(ctx, name, "")
	return saved{data, revision}, err
}

// revisionOf loads a document unless it is at some other revision.
func revisionOf(ctx context.Context, s store.Store, name string) (string, error) {
	_, revision, err := s.Load(ctx, name, "another")
	return revision, err
}

// operators are the key of the operators, and its public half.
func operators() (ed25519.PrivateKey, store.PublicKey) {
	private := ed25519.NewKeyFromSeed([]byte(secret))
	return private, store.PublicKey{Key: private.Public().(ed25519.PublicKey)}
}

func signed(_ *testing.T, inner store.Store) store.Store {
	private, public := operators()
	return store.Signed(inner, "test", private, public)
}

func encrypted(_ *testing.T, inner store.Store) store.Store {
	return store.Encrypted(inner, "test", []byte(secret))
}

func keyOf(name string) string {
	sum := sha256.Sum256([]byte(name))
	return "regionjwt:" + "{" + hex.EncodeToString(sum[:]) + "}"
}

func TestContract(t *testing.T) {
	t.Parallel()
	srv := startServer(t)
	for name, wrap := range map[string]func(*testing.T, store.Store) store.Store{
		"plain":     func(_ *testing.T, s store.Store) store.Store { return s },
		"signed":    signed,
		"encrypted": encrypted,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := redisstore.Config{Prefix: name + ":", Timeout: patient}
			one := wrap(t, newStore(t, client(t, srv.socket), config))
			other := wrap(t, newStore(t, client(t, srv.socket, tuned, func(o *redis.Options) { o.Protocol = 2 }), config))
			require.NoError(t, storetest.Check(t.Context(), one, other, "checked "))
		})
	}
}

func TestNotAuthentic(t *testing.T) {
	t.Parallel()
	var s store.Store = new(redisstore.Store)
	_, ok := s.(store.Trusted)
	require.False(t, ok, "anyone with the password can write")
}

func TestNew(t *testing.T) {
	t.Parallel()
	c := client(t, "nowhere")
	for name, test := range map[string]struct {
		client redis.UniversalClient
		config redisstore.Config
		says   string
	}{
		"no client":         {nil, redisstore.Config{}, "no client"},
		"nil client":        {(*redis.Client)(nil), redisstore.Config{}, "no client"},
		"nil cluster":       {(*redis.ClusterClient)(nil), redisstore.Config{}, "no client"},
		"zero client":       {new(redis.Client), redisstore.Config{}, "no client"},
		"zero cluster":      {new(redis.ClusterClient), redisstore.Config{}, "no client"},
		"ring":              {(*redis.Ring)(nil), redisstore.Config{}, "Ring"},
		"braces":            {c, redisstore.Config{Prefix: "a{b}"}, "Prefix"},
		"open brace":        {c, redisstore.Config{Prefix: "{"}, "Prefix"},
		"long prefix":       {c, redisstore.Config{Prefix: strings.Repeat("p", 129)}, "Prefix"},
		"negative time-out": {c, redisstore.Config{Timeout: -1}, "Timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := redisstore.New(test.client, test.config)
			require.ErrorContains(t, err, test.says)
		})
	}
	_, err := redisstore.New(nil, redisstore.Config{Prefix: "{", Timeout: -1})
	for _, says := range []string{"no client", "Prefix", "Timeout"} {
		require.ErrorContains(t, err, says, "every mistake at once")
	}
	_, err = redisstore.New(c, redisstore.Config{})
	require.NoError(t, err, "it asks nobody")
}

// angryClient is a client of which every call panics.
type angryClient struct{ redis.UniversalClient }

// A client of others that panics is one that does not answer.
func TestAClientThatPanics(t *testing.T) {
	t.Parallel()
	s := newStore(t, angryClient{}, redisstore.Config{})
	_, err := load(t.Context(), s, "a")
	require.ErrorContains(t, err, "the client panicked")
	require.ErrorContains(t, s.Watch(t.Context(), "a", func() {}), "the client panicked")
}

// A Store that New has not made says so, and ends nothing.
func TestZeroStores(t *testing.T) {
	t.Parallel()
	for _, s := range []*redisstore.Store{nil, {}} {
		_, err := load(t.Context(), s, "a")
		require.ErrorContains(t, err, "redisstore.New")
		_, err = revisionOf(t.Context(), s, "a")
		require.ErrorContains(t, err, "redisstore.New")
		_, err = s.Save(t.Context(), "a", nil, "")
		require.ErrorContains(t, err, "redisstore.New")
		require.ErrorContains(t, s.Watch(t.Context(), "a", func() {}), "redisstore.New")
	}
}

// Names are not in the server, and a revision does not come again when the server was emptied.
func TestLayout(t *testing.T) {
	t.Parallel()
	c := client(t, startServer(t).socket)
	s := newStore(t, c, redisstore.Config{Timeout: patient})
	seen := map[string]bool{}
	for range 3 {
		revision, err := s.Save(t.Context(), "the name", []byte("data"), "")
		require.NoError(t, err)
		require.Len(t, revision, 32)
		require.False(t, seen[revision])
		seen[revision] = true
		require.Equal(t, []string{keyOf("the name")}, c.Keys(t.Context(), "*").Val())
		require.Equal(t, map[string]string{"rev": revision, "data": "data"}, c.HGetAll(t.Context(), keyOf("the name")).Val())
		require.NoError(t, c.FlushAll(t.Context()).Err())
		_, err = s.Save(t.Context(), "the name", []byte("data"), revision)
		require.ErrorIs(t, err, store.ErrConflict)
	}
}

func TestForeignValues(t *testing.T) {
	t.Parallel()
	c := client(t, startServer(t).socket)
	s := newStore(t, c, redisstore.Config{Timeout: patient})
	huge := strings.Repeat("h", document.MaxData+1)
	for name, test := range map[string]struct {
		write func(ctx context.Context, key string) error
		load  error
		save  error
	}{
		"string": {func(ctx context.Context, key string) error { return c.Set(ctx, key, "confidential", 0).Err() }, store.ErrNotAuthentic, store.ErrNotAuthentic},
		"list":   {func(ctx context.Context, key string) error { return c.RPush(ctx, key, "confidential").Err() }, store.ErrNotAuthentic, store.ErrNotAuthentic},
		"stream": {func(ctx context.Context, key string) error {
			return c.XAdd(ctx, &redis.XAddArgs{Stream: key, Values: []any{"rev", "confidential"}}).Err()
		}, store.ErrNotAuthentic, store.ErrNotAuthentic},
		"no revision":    {func(ctx context.Context, key string) error { return c.HSet(ctx, key, "data", "confidential").Err() }, store.ErrNotAuthentic, store.ErrNotAuthentic},
		"empty revision": {func(ctx context.Context, key string) error { return c.HSet(ctx, key, "rev", "", "data", "x").Err() }, store.ErrNotAuthentic, store.ErrNotAuthentic},
		"huge revision":  {func(ctx context.Context, key string) error { return c.HSet(ctx, key, "rev", huge, "data", "x").Err() }, store.ErrNotAuthentic, store.ErrNotAuthentic},
		"no data":        {func(ctx context.Context, key string) error { return c.HSet(ctx, key, "rev", "confidential").Err() }, store.ErrNotAuthentic, store.ErrConflict},
		"huge data":      {func(ctx context.Context, key string) error { return c.HSet(ctx, key, "rev", "r", "data", huge).Err() }, document.ErrTooLarge, store.ErrConflict},
		"foreign, but ok": {func(ctx context.Context, key string) error {
			return c.HSet(ctx, key, "rev", "7", "data", "x", "more", "y").Err()
		}, nil, store.ErrConflict},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			require.NoError(t, test.write(ctx, keyOf(name)))
			doc, err := load(ctx, s, name)
			require.ErrorIs(t, err, test.load)
			_, revisionErr := revisionOf(ctx, s, name)
			require.ErrorIs(t, revisionErr, test.load)
			_, saveErr := s.Save(ctx, name, []byte("new"), "")
			require.ErrorIs(t, saveErr, test.save)
			for _, err := range []error{err, revisionErr, saveErr} {
				require.NotContains(t, errors.Join(errors.New(""), err).Error(), "confidential")
			}
			if err == nil {
				require.Equal(t, saved{Data: []byte("x"), Revision: "7"}, doc)
				return
			}
			require.Empty(t, doc)
			require.NoError(t, c.Del(ctx, keyOf(name)).Err()) // the way out
			_, err = s.Save(ctx, name, []byte("new"), "")
			require.NoError(t, err)
		})
	}
}

// A value of 64 MiB is not fetched.
func TestHostileSize(t *testing.T) {
	ctx, c := t.Context(), client(t, startServer(t).socket, func(o *redis.Options) { o.ReadTimeout = 3 * patient }) // to make it
	s := newStore(t, c, redisstore.Config{Timeout: patient})
	script := "return redis.call('HSET', KEYS[1], 'rev', ARGV[1], 'data', string.rep('x', 64*1024*1024))"
	require.NoError(t, c.Eval(ctx, script, []string{keyOf("a")}, "r").Err())
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := load(ctx, s, "a")
	require.ErrorIs(t, err, document.ErrTooLarge)
	_, err = revisionOf(ctx, s, "a")
	require.ErrorIs(t, err, document.ErrTooLarge)
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(4<<20))
	_, err = s.Save(ctx, "a", []byte("y"), "r")
	require.NoError(t, err, "one who knows the revision")
}

// The largest document passes, and nothing of a document is in the error of a server that does not know a command.
func TestBounds(t *testing.T) {
	t.Parallel()
	ctx, srv := t.Context(), startServer(t)
	c := client(t, srv.socket)
	s := newStore(t, c, redisstore.Config{Prefix: "p", Timeout: patient})
	large := []byte(strings.Repeat("confidential", document.MaxData/12))
	_, err := s.Save(ctx, "a", large, "")
	require.NoError(t, err)
	doc, err := load(ctx, s, "a")
	require.NoError(t, err)
	require.Equal(t, large, doc.Data)

	require.NoError(t, c.Do(ctx, "ACL", "SETUSER", "none", "on", ">pw", "~*", "&*", "-@all").Err())
	_, err = newStore(t, client(t, srv.socket, func(o *redis.Options) { o.Username, o.Password = "none", "pw" }), redisstore.Config{Timeout: patient}).Save(ctx, "a", large, "")
	require.ErrorContains(t, err, "NOPERM")
	c = client(t, srv.socket, hooked)
	c.AddHook(quoting{})
	_, err = newStore(t, c, redisstore.Config{}).Save(ctx, "a", large, "")
	require.ErrorContains(t, err, "unknown command")
	for e := err; e != nil; e = errors.Unwrap(e) {
		require.NotContains(t, e.Error(), "confidential")
	}
	require.NotContains(t, err.Error(), "args")
}

// quoting answers as a server does on which a command was renamed.
type quoting struct{}

func (quoting) DialHook(next redis.DialHook) redis.DialHook { return next }

func (quoting) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (quoting) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error {
		err := errors.New("ERR unknown command 'evalsha', with args beginning with: 'confidential'")
		cmd.SetErr(err)
		return err
	}
}

// Of twenty writers none undoes another.
func TestWriters(t *testing.T) {
	t.Parallel()
	srv := startServer(t)
	one := newStore(t, client(t, srv.socket), redisstore.Config{Timeout: patient})
	const writers, rounds = 20, 10
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			s := one
			if i%2 == 1 {
				s = newStore(t, client(t, srv.socket), redisstore.Config{Timeout: patient})
			}
			for done := 0; done < rounds; {
				doc, err := load(t.Context(), s, "n")
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					t.Error(err)
					return
				}
				n, _ := strconv.Atoi(string(doc.Data))
				switch _, err = s.Save(t.Context(), "n", []byte(strconv.Itoa(n+1)), doc.Revision); {
				case err == nil:
					done++
				case !errors.Is(err, store.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	doc, err := load(t.Context(), one, "n")
	require.NoError(t, err)
	require.Equal(t, strconv.Itoa(writers*rounds), string(doc.Data))
}
