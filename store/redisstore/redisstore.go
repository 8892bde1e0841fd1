// Package redisstore keeps documents in Redis 7 or later, or in Valkey, where a fleet shares them.
//
// # Trust
//
// Everyone who has the password of the server can write there, so a [Store] is not store.Trusted. Wrap it: in store.Signed
// for what operators write and services believe, in store.Encrypted for what the fleet writes for itself. Wrapped so, whoever has
// the password can still delete documents and put old ones back. A service that only reads can do with a user of fewer rights:
//
//	ACL SETUSER reader on >... resetkeys %R~regionjwt:* resetchannels &regionjwt:* -@all
//	    +eval_ro +evalsha_ro +exists +hexists +hstrlen +hget +subscribe +unsubscribe +ping
//	ACL SETUSER writer on >... resetkeys ~regionjwt:* resetchannels &regionjwt:* -@all
//	    +eval_ro +evalsha_ro +exists +hexists +hstrlen +hget +subscribe +unsubscribe +ping +eval +evalsha +hset +publish
//
// In a cluster both need +cluster|slots, +cluster|shards, +command and +readonly as well.
//
// A server, or anyone who answers in its place, cannot end the process or fill its memory by malformed replies: see New and
// [Dialer]. Sentinels are trusted.
//
// # What is kept where
//
// A document is a hash with the fields rev and data under the key prefix{h}, where h is the SHA-256 of its name in hexadecimal;
// the braces keep a key and its channel, prefix{h}:changed, in one slot of a cluster. One script compares the revision, writes
// and publishes. A revision is 128 random bits: a store that was emptied and filled again never looks unchanged.
//
// The server should not evict (maxmemory-policy noeviction). A document that a server lost is not found; whoever depends on it
// keeps the last one that it knew, as package revocation does.
//
// # The client
//
// A hint by publish and subscribe comes within milliseconds, and is lost with the connection; so follow a document with
// store.Follow, every 500 ms. How soon a change is seen after the network has come back is then up to the client: go-redis
// ignores the deadlines of contexts by default, waits 5 s for an answer, and 5 s for a connection, five times; and after PoolSize
// failures to connect it tries once a second. With these options it takes less than a second, with the defaults up to 2 s:
//
//	redis.Options{DialTimeout: 500 * time.Millisecond, DialerRetries: 1, PoolSize: 1000}
//
// A Store shortens the wait for an answer to a part of Config.Timeout by itself. With a *redis.ClusterClient it cannot, so there
// it needs also
//
//	ContextTimeoutEnabled: true, ReadTimeout: 250 * time.Millisecond, WriteTimeout: 250 * time.Millisecond
//
// Leave MaxRetries alone: a call goes on to another connection when one is dead. A cluster client that is ReadOnly
// reads from replicas, and sees changes when they do.
package redisstore

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/regionjwt/regionjwt/store"
)

// Defaults and bounds.
const (
	DefaultPrefix  = "regionjwt:"
	DefaultTimeout = time.Second

	maxPrefix   = 128 // octets
	maxRevision = 64  // octets; ours have 32
	maxCalls    = 16  // calls of a Store that the client has not returned from
)

// ErrMalformed is the error of Load, Revision and Save where something else than a document is under the key: another type, or
// a hash without the fields of one. Somebody else wrote there; delete the key, which the error names, and save again.
var ErrMalformed = errors.New("what is under the key is not a document")

// Config says where documents are. The zero value is fit for use.
type Config struct {
	// Prefix begins all keys and channels. It has at most 128 octets and no braces. Default DefaultPrefix.
	Prefix string
	// Timeout is how long a call takes at most. An attempt of a *redis.Client to send or receive has one half of it, or one
	// quarter for Revision: it must be more than twice what the largest document needs on the way, and four round trips.
	// Default (0) DefaultTimeout, 1 s.
	Timeout time.Duration
}

// Store is a store.Store, store.Watcher and store.Reviser of documents in Redis. It is safe for concurrent use, and needs no
// closing: the client is the caller's.
//
// Each call returns when its context ends or Config.Timeout has passed, whatever the client does; the client may be left with it
// in a goroutine until its own time-outs pass. There are at most 16 such goroutines: further calls wait for their turn, and
// fail when they do not get it in time. The error of a call that took too long is context.DeadlineExceeded; when all attempts of
// the client have failed before that, it is the client's.
type Store struct {
	client  redis.UniversalClient
	quick   redis.Scripter // it, for small answers
	prefix  string
	timeout time.Duration
	calls   chan struct{} // holds a token for each call that the client is at
}

var (
	_ store.Store   = (*Store)(nil)
	_ store.Watcher = (*Store)(nil)
	_ store.Reviser = (*Store)(nil)
)

// New returns a Store that uses client: a *redis.Client, with or without sentinels, or a *redis.ClusterClient. It refuses a
// *redis.Ring, which looks for documents elsewhere when a server is down. It asks the server nothing, so a server
// that is down is no error.
//
// From then on the client checks every reply on the connections that it makes, as [Dialer] describes. That holds for all users of
// the client: a reply of more than 5 MiB ends the connection. Call New before the client is used, and with the client itself: a
// copy that WithTimeout made shares the connections of the original, which New does not reach. New returns an error for a
// *redis.Client that has connections already, and for a client with MinIdleConns, unless its Dialer is one of this package.
//
// Hooks of a *redis.Client are called if its ReadTimeout and WriteTimeout are at most one quarter of Config.Timeout. Otherwise
// the Store uses its WithTimeout, which has none.
func New(client redis.UniversalClient, c Config) (*Store, error) {
	var errs []error
	s := &Store{client: client, quick: client, prefix: c.Prefix, timeout: c.Timeout, calls: make(chan struct{}, maxCalls)}
	if s.prefix == "" {
		s.prefix = DefaultPrefix
	}
	if len(s.prefix) > maxPrefix || strings.ContainsAny(s.prefix, "{}") {
		errs = append(errs, fmt.Errorf("redisstore: Prefix has braces or more than %d octets", maxPrefix))
	}
	if s.timeout == 0 {
		s.timeout = DefaultTimeout
	}
	if s.timeout < 0 {
		errs = append(errs, errors.New("redisstore: Timeout is negative"))
	}
	if _, ring := client.(*redis.Ring); ring {
		errs = append(errs, errors.New("redisstore: a Ring does not keep a document where it was"))
	} else if isNil(client) {
		errs = append(errs, errors.New("redisstore: there is no client"))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	switch client := client.(type) {
	case *redis.Client:
		o := client.Options()
		inUse := o.MinIdleConns > 0 || client.PoolStats().TotalConns > 0
		if err := checkClient(client, o.Dialer, inUse, func() { client.AddHook(checking{}) }); err != nil {
			return nil, err
		}
		s.client, s.quick = patient(client, s.timeout/2), patient(client, s.timeout/4)
	case *redis.ClusterClient:
		o := client.Options()
		install := func() { client.OnNewNode(func(node *redis.Client) { node.AddHook(checking{}) }) }
		if err := checkClient(client, o.Dialer, o.MinIdleConns > 0, install); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// isNil reports whether there is no client, a nil pointer to one, or one that go-redis has not made.
func isNil(client redis.UniversalClient) bool {
	v := reflect.ValueOf(client)
	if !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return true
	}
	switch client.(type) {
	case *redis.Client, *redis.ClusterClient:
		return v.Elem().IsZero()
	}
	return false
}

// patient returns a client of the same connections that waits for one answer no longer than d.
func patient(client *redis.Client, d time.Duration) *redis.Client {
	o := client.Options()
	if o.ReadTimeout > 0 && o.ReadTimeout <= d && o.WriteTimeout > 0 && o.WriteTimeout <= d {
		return client
	}
	return client.WithTimeout(max(d, time.Millisecond))
}

// key is that of the document.
func (s *Store) key(name string) string {
	sum := sha256.Sum256([]byte(name))
	return s.prefix + "{" + hex.EncodeToString(sum[:]) + "}"
}

// channel is where changes of the document under key are published.
func channel(key string) string { return key + ":changed" }
