package redisstore_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/store/redisstore"
)

// A service replicates the rules that operators sign, and keeps a local copy.
func Example() {
	operators, err := store.ReadPublicKey("/etc/orders/operators.key.pub")
	if err != nil {
		log.Print(err)
		return
	}
	client := redis.NewClient(&redis.Options{
		Addr:          "redis.internal:6379",
		DialTimeout:   500 * time.Millisecond,
		DialerRetries: 1,
		PoolSize:      1000,
	})
	defer func() { _ = client.Close() }()
	shared, err := redisstore.New(client, redisstore.Config{Timeout: time.Second})
	if err != nil {
		log.Print(err)
		return
	}
	rules, err := revocation.New(revocation.Config{Replica: store.ReplicaConfig{
		Stores:    []store.Trusted{store.Signed(shared, "production", nil, operators)},
		LocalCopy: store.Dir("/var/lib/orders/rules"),
	}})
	if err != nil {
		log.Print(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	fmt.Println(rules.Run(ctx))
}

// New reports every mistake at once, before it sends a request to Redis.
func ExampleNew() {
	_, err := redisstore.New(nil, redisstore.Config{Timeout: -time.Second})
	fmt.Println(err)
	// Output:
	// redisstore: Timeout is -1s: use 0 for 1s, or 10ms or more
	// redisstore: there is no client
}
