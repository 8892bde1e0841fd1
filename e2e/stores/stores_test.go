// Package stores_test checks the stores of module aws against emulators of their services, over the real SDK.
package stores_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/aws/dynamostore"
	"github.com/regionjwt/regionjwt/aws/s3store"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/store/storetest"
)

const patient = 20 * time.Second // where only a loaded machine is slow

// installed installs the emulator of DynamoDB once.
var installed = sync.OnceValue(func() error {
	if _, err := os.Stat("dynalite/node_modules/dynalite/package.json"); err == nil {
		return nil
	}
	npm := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	npm.Dir = "dynalite"
	if out, err := npm.CombinedOutput(); err != nil {
		return fmt.Errorf("e2e needs node 20 or later and npm: npm ci: %w\n%s", err, out)
	}
	return nil
})

// startDynamo starts an emulator with a table and returns its URL.
func startDynamo(t *testing.T) string {
	t.Helper()
	url, _ := startDynamoProcess(t)
	return url
}

func startDynamoProcess(t *testing.T) (url string, server *exec.Cmd) {
	t.Helper()
	require.NoError(t, installed())
	cmd := exec.Command("node", "server.js")
	cmd.Dir, cmd.Stderr = "dynalite", os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	port, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	url = "http://127.0.0.1:" + strings.TrimSpace(port)
	_, err = dynamo(url, http.DefaultTransport).CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: aws.String("regionjwt"), BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("pk"), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash}},
	})
	require.NoError(t, err)
	return url, cmd
}

// keys are credentials that every emulator accepts.
var keys = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "example"}, nil
})

func dynamo(url string, network http.RoundTripper) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		Region: "us-east-1", Credentials: keys, BaseEndpoint: &url, HTTPClient: &http.Client{Transport: network},
	})
}

func dynamoNetwork() *network {
	return &network{
		next: http.DefaultTransport,
		isWrite: func(r *http.Request) bool {
			return strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".PutItem")
		},
		slow: &http.Response{
			StatusCode: http.StatusBadRequest, ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		},
		slowly: `{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"Rate exceeded"}`,
	}
}

func newDynamo(t *testing.T, c dynamostore.Client, prefix string) store.Store {
	t.Helper()
	s, err := dynamostore.New(c, dynamostore.Config{Table: "regionjwt", Prefix: prefix, Timeout: patient})
	require.NoError(t, err)
	return s
}

// startS3 starts an emulator with a bucket and returns its URL.
func startS3(t *testing.T) string {
	t.Helper()
	backend := s3mem.New()
	require.NoError(t, backend.CreateBucket("fleet"))
	server := httptest.NewUnstartedServer(gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of itself where connections end
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

func simple(url string, network http.RoundTripper) *s3.Client {
	return s3.New(s3.Options{
		Region: "us-east-1", Credentials: keys, BaseEndpoint: &url, UsePathStyle: true,
		HTTPClient: &http.Client{Transport: network},
	})
}

func simpleNetwork() *network {
	return &network{
		next:    http.DefaultTransport,
		isWrite: func(r *http.Request) bool { return r.Method == http.MethodPut },
		slow: &http.Response{
			StatusCode: http.StatusServiceUnavailable, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Content-Type": {"application/xml"}},
		},
		slowly: `<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`,
	}
}

func newS3(t *testing.T, c s3store.Client, prefix string) store.Store {
	t.Helper()
	s, err := s3store.New(c, s3store.Config{Bucket: "fleet", Prefix: prefix, Timeout: patient})
	require.NoError(t, err)
	return s
}

// wraps are the ways to use a store.
func wraps() map[string]func(store.Store) store.Store {
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte("k"), ed25519.SeedSize))
	public := store.PublicKey{Key: private.Public().(ed25519.PublicKey)}
	return map[string]func(store.Store) store.Store{
		"plain":     func(s store.Store) store.Store { return s },
		"signed":    func(s store.Store) store.Store { return store.Signed(s, "test", private, public) },
		"encrypted": func(s store.Store) store.Store { return store.Encrypted(s, "test", bytes.Repeat([]byte("s"), 32)) },
	}
}

// Both stores fulfill the contract, alone and wrapped, also through every fault of the network.
func TestContract(t *testing.T) {
	t.Parallel()
	dynamoURL, simpleURL := startDynamo(t), startS3(t)
	for name, wrap := range wraps() {
		for service, make := range map[string]func(prefix string) (one, other store.Store, n *network){
			"dynamo": func(prefix string) (store.Store, store.Store, *network) {
				n := dynamoNetwork()
				return newDynamo(t, dynamo(dynamoURL, n), prefix), newDynamo(t, dynamo(dynamoURL, http.DefaultTransport), prefix), n
			},
			"s3": func(prefix string) (store.Store, store.Store, *network) {
				n := simpleNetwork()
				return newS3(t, simple(simpleURL, n), prefix), newS3(t, simple(simpleURL, http.DefaultTransport), prefix), n
			},
		} {
			t.Run(service+" "+name, func(t *testing.T) {
				t.Parallel()
				one, other, n := make(name + ":")
				one, other = wrap(one), wrap(other)
				require.NoError(t, storetest.Check(t.Context(), one, other, "checked "))
				for _, throttles := range []bool{false, true} {
					n.set(func() { n.down = false })
					require.NoError(t, storetest.CheckFaults(t.Context(), one, other, fmt.Sprint("faults ", throttles), n.faults(throttles)))
				}
			})
		}
	}
}
