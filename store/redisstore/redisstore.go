// Package redisstore keeps documents in Redis 7 or later, or in Valkey, where a fleet shares them.
//
// # Trust
//
// Everyone who has the password of the server can write there, so a [Store] is not store.Trusted. Wrap it: with store.Signed
// for documents that operators write and services read, with store.Encrypted for documents that the fleet writes for itself. Even
// then, anyone with the password can delete documents and restore old ones. A service that only reads needs fewer rights:
//
//	ACL SETUSER reader on >... resetkeys %R~regionjwt:* resetchannels &regionjwt:* -@all
//	    +eval_ro +evalsha_ro +exists +hexists +hstrlen +hget +subscribe +unsubscribe +ping
//	ACL SETUSER writer on >... resetkeys ~regionjwt:* resetchannels &regionjwt:* -@all
//	    +eval_ro +evalsha_ro +exists +hexists +hstrlen +hget +subscribe +unsubscribe +ping +eval +evalsha +hset +publish
//
// In a cluster both need +cluster|slots, +cluster|shards, +command and +readonly as well.
//
// Malformed replies, from the server or from anyone who answers in its place, cannot end the process or fill its memory: see New
// and [Dialer]. Sentinels are trusted.
//
// # Layout
//
// A document is a hash with the fields rev and data under the key prefix{h}, where h is the SHA-256 of its name in hexadecimal.
// The braces keep a key and its channel, prefix{h}:changed, in one slot of a cluster. One script compares the revision, writes
// and publishes. A revision is 128 random bits: a store that was emptied and filled again never looks unchanged.
//
// The server should not evict (maxmemory-policy noeviction). A document that a server lost is not found; a reader should keep the
// last one that it knew, as package revocation does.
//
// # The client
//
// A hint by publish and subscribe arrives within milliseconds, and is lost with the connection, so readers also poll; packages
// revocation and failover do so every 500 ms by default. How soon a change is seen after the network has recovered depends on the
// client. By default go-redis ignores the deadlines of contexts, waits 5 s for an answer, and 5 s for a connection, five times;
// after PoolSize failures to connect it tries once a second. With these options it takes less than a second, with the defaults
// up to 2 s:
//
//	redis.Options{DialTimeout: 500 * time.Millisecond, DialerRetries: 1, PoolSize: 1000}
//
// A Store limits the wait for an answer to a part of Config.Timeout by itself. With a *redis.ClusterClient it cannot; set
//
//	ContextTimeoutEnabled: true, ReadTimeout: 250 * time.Millisecond, WriteTimeout: 250 * time.Millisecond
//
// Keep the default of MaxRetries: a call then uses another connection if one is dead. A cluster client that is ReadOnly reads
// from replicas, and sees changes when they do.
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

// Defaults and limits.
const (
	defaultPrefix  = "regionjwt:"
	defaultTimeout = time.Second
	leastTimeout   = 10 * time.Millisecond

	maxPrefix   = 128 // bytes
	maxRevision = 64  // bytes; those of a Store have 32
	maxCalls    = 16  // calls of a Store that the client has not returned from
)

// Config configures a Store.
type Config struct {
	// Prefix is the start of all keys and channels. It has at most 128 bytes and no braces. "" means "regionjwt:".
	Prefix string
	// Timeout limits the duration of a request. 0 means 1 s; the minimum is 10 ms. An attempt of a *redis.Client to send or
	// receive has one half of it, or one quarter if only the revision is requested. So it must be more than twice the time that
	// the largest document needs, and more than four round trips.
	Timeout time.Duration
}

// Store is a store.Store of documents in Redis. It is safe for concurrent use and is not closed: the client belongs to the
// caller.
//
// Each request returns when its context ends or Config.Timeout has passed, whatever the client does. The client may then keep a
// goroutine until its own timeouts pass. There are at most 16 such goroutines; further calls wait for one to end, and fail if
// none does in time. The error of a request that took too long is context.DeadlineExceeded; if all attempts of the client failed
// before that, it is that of the client.
type Store struct {
	client  redis.UniversalClient
	quick   redis.Scripter // the client, for small answers
	prefix  string
	timeout time.Duration
	calls   chan struct{} // holds a token for each call that the client is at
}

var _ store.Store = (*Store)(nil)

// New returns a Store that uses client: a *redis.Client, with or without sentinels, or a *redis.ClusterClient. It rejects a
// *redis.Ring, which looks for a document on another server while one is down. It sends no request, so a server that is down is
// no error.
//
// From then on the client checks every reply on the connections that it makes, as [Dialer] describes. That applies to all users
// of the client: a reply of more than 5 MiB ends the connection. Call New before the client is used, and with the client
// itself: a copy that WithTimeout made shares the connections of the original, which New does not reach. New returns an error
// for a *redis.Client that already has connections, and for a client with MinIdleConns, unless its Dialer is one of this
// package.
//
// Hooks of a *redis.Client are called if its ReadTimeout and WriteTimeout are at most one quarter of Config.Timeout. Otherwise
// the Store uses a copy made by WithTimeout, which has no hooks.
func New(client redis.UniversalClient, c Config) (*Store, error) {
	var errs []error
	s := &Store{client: client, quick: client, prefix: c.Prefix, timeout: c.Timeout, calls: make(chan struct{}, maxCalls)}
	if s.prefix == "" {
		s.prefix = defaultPrefix
	}
	if len(s.prefix) > maxPrefix || strings.ContainsAny(s.prefix, "{}") {
		errs = append(errs, fmt.Errorf("redisstore: Prefix has braces or more than %d bytes", maxPrefix))
	}
	if s.timeout == 0 {
		s.timeout = defaultTimeout
	}
	if s.timeout < leastTimeout {
		const text = "redisstore: Timeout is %v: use 0 for %v, or %v or more"
		errs = append(errs, fmt.Errorf(text, s.timeout, defaultTimeout, leastTimeout))
	}
	if _, ring := client.(*redis.Ring); ring {
		errs = append(errs, errors.New("redisstore: a *redis.Ring does not keep a document on one server"))
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

// isNil reports whether client is nil, a nil pointer, or the zero value of a client.
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

// patient returns a client with the same connections that waits at most d for one answer.
func patient(client *redis.Client, d time.Duration) *redis.Client {
	o := client.Options()
	if o.ReadTimeout > 0 && o.ReadTimeout <= d && o.WriteTimeout > 0 && o.WriteTimeout <= d {
		return client
	}
	return client.WithTimeout(max(d, time.Millisecond))
}

// key returns the key of a document.
func (s *Store) key(name string) string {
	sum := sha256.Sum256([]byte(name))
	return s.prefix + "{" + hex.EncodeToString(sum[:]) + "}"
}

// channel returns the channel where changes of the document under key are published.
func channel(key string) string { return key + ":changed" }
