package s3store_test

import (
	"fmt"
	"log"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/aws/s3store"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// A fleet keeps snapshots of keys, so that a service can start while all key servers are down. The configuration usually comes
// from config.LoadDefaultConfig of the SDK.
func Example() {
	client := s3.NewFromConfig(aws.Config{Region: "us-east-1"})
	shared, err := s3store.New(client, s3store.Config{Bucket: "example-bucket"})
	if err != nil {
		log.Print(err)
		return
	}
	v, err := regionjwt.New(regionjwt.Config{
		Policies: []verifier.Policy{{
			Provider: issuer.Cognito("us-east-1_AbCdEf123", "us-west-2"),
			Audience: verifier.CognitoAccess("7abc0example1client2id"),
		}},
		Keys: jwks.Config{Snapshots: store.Encrypted(shared, "production", []byte(os.Getenv("FLEET_SECRET")))},
	})
	if err != nil {
		log.Print(err)
		return
	}
	fmt.Println(v.Ready())
}

// New reports every mistake at once, before it sends a request to S3.
func ExampleNew() {
	_, err := s3store.New(nil, s3store.Config{Timeout: -time.Second})
	fmt.Println(err)
	// Output:
	// s3store: the client is nil or zero
	// s3store: Bucket is empty
	// s3store: Timeout is -1s: use 0 for 2s, or 10ms or more
}
