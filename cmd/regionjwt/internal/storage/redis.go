package storage

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/store/redisstore"
)

const passwordEnv = "REGIONJWT_REDIS_PASSWORD" //nolint:gosec // the name of a variable

// Of one attempt, and of one call. The flag --timeout bounds the whole.
const (
	dialTimeout = time.Second
	callTimeout = 2 * time.Second
)

// Silence keeps the Redis client from logging by itself.
var Silence = sync.OnceFunc(func() { redis.SetLogger(noLog{}) })

type noLog struct{}

// Printf implements the client's logger.
func (noLog) Printf(context.Context, string, ...any) {}

// openRedis opens a Redis of --store. Its errors never hold what was given: it may hold a password.
func (s *Flags) openRedis(c *cli.Call, place string) (*Place, error) {
	options, where, err := redisOptions(place, c.Getenv(passwordEnv))
	if err != nil {
		return nil, cli.Fail(cli.ExitUsage,
			"--store is none of dir:PATH, redis://[USER@]HOST:PORT/DB, rediss://... and unix://PATH?db=N "+
				"(a password in it has to be percent-encoded; better, give it in %s)", passwordEnv)
	}
	client := redis.NewClient(options)
	inner, err := redisstore.New(client, redisstore.Config{Prefix: s.Prefix, Timeout: callTimeout})
	if err != nil {
		_ = client.Close()
		return nil, cli.Fail(cli.ExitUsage, "%w", err)
	}
	return &Place{
		inner: inner, Where: where, redis: true, close: func() { _ = client.Close() },
		Time: func(ctx context.Context) (time.Time, error) { return client.Time(ctx).Result() },
	}, nil
}

// redisOptions reads the URL of a Redis. where is the URL without a password.
func redisOptions(place, password string) (options *redis.Options, where string, err error) {
	Silence()
	u, errURL := url.Parse(place)
	options, err = redis.ParseURL(place)
	if errURL != nil || err != nil {
		return nil, "", errNoRedis
	}
	if options.Password == "" {
		options.Password = password
	}
	options.ContextTimeoutEnabled, options.DialTimeout, options.DialerRetries = true, dialTimeout, 1
	return options, (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String(), nil
}

var errNoRedis = errors.New("not a URL such as rediss://[USER@]HOST:PORT/DB or unix://PATH?db=N")

// Redis returns the store of a Redis that a configuration file names, and what closes its connections.
func Redis(place, prefix, password string) (s store.Store, closeIt func(), err error) {
	options, _, err := redisOptions(place, password)
	if err != nil {
		return nil, nil, err
	}
	client := redis.NewClient(options)
	closeIt = func() { _ = client.Close() }
	if s, err = redisstore.New(client, redisstore.Config{Prefix: prefix, Timeout: callTimeout}); err != nil {
		closeIt()
		return nil, nil, err
	}
	return s, closeIt, nil
}

// NewPlace returns the place of a store that a configuration file names, whose connections somebody else closes.
func NewPlace(s store.Trusted, where string) *Place {
	return &Place{Store: s, inner: s, Where: where, close: func() {}}
}
