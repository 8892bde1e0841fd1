package main

import (
	"context"
	"net/url"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/regionjwt/regionjwt/store/redisstore"
)

// Of one attempt, and of one call. The flag -timeout bounds the whole.
const (
	dialTimeout = time.Second
	callTimeout = 2 * time.Second
)

// silence keeps the client from logging by itself.
var silence = sync.OnceFunc(func() { redis.SetLogger(noLog{}) })

type noLog struct{}

// Printf implements the client's logger.
func (noLog) Printf(context.Context, string, ...any) {}

// openRedis opens the Redis of -store. Its errors never hold what was given: it may hold a password.
func (s *storeFlags) openRedis(c *call) (*opened, error) {
	silence()
	u, errURL := url.Parse(s.store)
	options, err := redis.ParseURL(s.store)
	if errURL != nil || err != nil {
		return nil, fail(exitUsage, "-store is none of dir:PATH, redis://[USER@]HOST:PORT/DB, rediss://... and unix://PATH?db=N "+
			"(a password in it has to be percent-encoded; better, give it in %s)", passwordEnv)
	}
	if options.Password == "" {
		options.Password = c.env(passwordEnv)
	}
	options.ContextTimeoutEnabled, options.DialTimeout, options.DialerRetries = true, dialTimeout, 1
	client := redis.NewClient(options)
	inner, err := redisstore.New(client, redisstore.Config{Prefix: s.prefix, Timeout: callTimeout})
	if err != nil {
		_ = client.Close()
		return nil, fail(exitUsage, "%w", err)
	}
	where := (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
	return &opened{store: inner, where: where, redis: true, closeAll: func() { _ = client.Close() }}, nil
}
