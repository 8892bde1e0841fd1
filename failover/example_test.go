package failover_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/issuer"
)

func Example() {
	pool, err := issuer.Cognito(issuer.UserPool{ID: "us-east-1_AbCdEf123", Replicas: []string{"us-west-2"}})
	if err != nil {
		log.Fatal(err)
	}
	c, err := failover.New(failover.Config{
		Provider:  pool,
		Automatic: true,
		FailAfter: 1, // one failure is enough for an example
		OnEvent: func(e failover.Event) {
			if e.Kind == failover.Moved {
				fmt.Println("from", e.From, "to", e.Region, "because of", e.Cause)
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	c.Report("us-west-2", nil)                              // its keys were fetched
	c.Report("us-east-1", errors.New("token request: 503")) // it gave no token
	fmt.Println("active:", c.Active())

	if err := c.Activate(context.Background(), "us-east-1", "the drill is over"); err != nil {
		log.Fatal(err)
	}
	fmt.Println("pinned:", c.State().Manual)
	// Output:
	// from us-east-1 to us-west-2 because of failed
	// active: us-west-2
	// from us-west-2 to us-east-1 because of manual
	// pinned: true
}
