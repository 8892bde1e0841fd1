package failover_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/issuer"
)

func Example() {
	pool := issuer.Cognito("us-east-1_AbCdEf123", "us-west-2")
	c, err := failover.New(pool, failover.Config{
		Automatic: true,
		Threshold: 1, // one failure is enough for an example
		OnChange: func(before, now failover.Status) {
			if now.Active != before.Active {
				fmt.Printf("from %s to %s: %s\n", before.Active, now.Active, now.Cause)
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	c.Report("us-west-2", "keys", time.Now(), nil)                        // its keys were fetched
	c.Report("us-east-1", "token", time.Now(), errors.New("status: 503")) // it issued no token
	fmt.Println("active:", c.Active())

	if err := c.Pin(context.Background(), "us-east-1", "the drill is over", 0); err != nil {
		log.Fatal(err)
	}
	fmt.Println("pinned:", c.Status().Pinned)
	// Output:
	// from us-east-1 to us-west-2: failed
	// active: us-west-2
	// from us-west-2 to us-east-1: pinned
	// pinned: true
}
