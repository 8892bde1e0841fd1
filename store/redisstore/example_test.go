package redisstore_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/store/redisstore"
)

// A service follows a document that operators sign.
func Example() {
	var operators ed25519.PublicKey // as it was deployed with the service

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
	signed, err := store.Signed(shared, "orders", store.Signing{Public: []ed25519.PublicKey{operators}})
	if err != nil {
		log.Print(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	store.Follow(ctx, signed, "orders/rules", 500*time.Millisecond, func(d store.Document, err error) {
		fmt.Println(d.Revision, err)
	})
}

// New says everything that is wrong at once, before anything is asked of Redis.
func ExampleNew() {
	_, err := redisstore.New(nil, redisstore.Config{Timeout: -time.Second})
	fmt.Println(err)
	// Output:
	// redisstore: Timeout is negative
	// redisstore: there is no client
}
