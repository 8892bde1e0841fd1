package dynamostore_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/regionjwt/regionjwt/aws/dynamostore"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
)

// A service replicates the rules that operators sign, and keeps a local copy. The configuration usually comes from
// config.LoadDefaultConfig of the SDK.
func Example() {
	operators, err := store.ReadPublicKey("/etc/orders/operators.key.pub")
	if err != nil {
		log.Print(err)
		return
	}
	client := dynamodb.NewFromConfig(aws.Config{Region: "us-east-1"})
	shared, err := dynamostore.New(client, dynamostore.Config{Table: "regionjwt"})
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

// New reports every mistake at once, before it sends a request to DynamoDB.
func ExampleNew() {
	_, err := dynamostore.New(nil, dynamostore.Config{Timeout: -time.Second})
	fmt.Println(err)
	// Output:
	// dynamostore: the client is nil or zero
	// dynamostore: Table is empty
	// dynamostore: Timeout is -1s: use 0 for 2s, or 10ms or more
}
