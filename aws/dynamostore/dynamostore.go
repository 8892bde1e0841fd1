// Package dynamostore keeps documents in a table of Amazon DynamoDB, where a fleet shares them.
//
// # The table
//
// It has a partition key named pk, a string, and no sort key. Capacity on demand fits a small fleet, provisioned capacity a large
// one: readers ask at a steady rate.
//
//	aws dynamodb create-table --table-name regionjwt --billing-mode PAY_PER_REQUEST \
//	    --attribute-definitions AttributeName=pk,AttributeType=S --key-schema AttributeName=pk,KeyType=HASH
//
// # Trust
//
// Everyone who may write to the table can write documents, so a [Store] is not store.Trusted. Wrap it: with store.Signed for
// documents that operators write and services read, with store.Encrypted for documents that the fleet writes for itself. Services
// that only read signed documents need only this policy:
//
//	{"Effect": "Allow", "Action": ["dynamodb:GetItem", "dynamodb:BatchGetItem"],
//	 "Resource": "arn:aws:dynamodb:us-east-1:111122223333:table/regionjwt"}
//
// Writers, which read as well, need this one:
//
//	{"Effect": "Allow",
//	 "Action": ["dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:PutItem", "dynamodb:BatchWriteItem"],
//	 "Resource": "arn:aws:dynamodb:us-east-1:111122223333:table/regionjwt"}
//
// A condition on dynamodb:LeadingKeys ("ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["regionjwt:*"]}) limits either to the
// keys that begin with Config.Prefix. A table that is encrypted with a customer managed key of AWS KMS needs kms:Decrypt as well.
//
// # Layout
//
// A document has one item, its head, under the key prefix+h, where h is the SHA-256 of its name in hexadecimal: rev (the
// revision), prev (the one before), sum (the SHA-256 of the document) and, if the document has at most 3 KiB, data. So the head
// is at most 4 KB, which costs one read unit. A longer document is in up to 11 chunks of 384 KiB, items with keys of their own,
// prefix+h/rev/i. Chunks never change. Save writes them first, then replaces the head by one conditional write, then deletes the
// chunks of the revision before the last one: a reader that has an old head can still read its chunks, also in another Region.
// All reads are consistent, and there are no transactions.
//
// A writer that is killed between these steps, or whose last answer is lost, can leave up to 11 chunks that belong to no head.
// They are never read and cost a fraction of a cent a month. Those of a Save that lost against another writer are deleted.
//
// # Regions
//
// The best table for this package is one in each Region, each a store of its own, because a fleet then survives what happens to
// one of them, including what a bad writer or a deletion does. In a global table with multi-Region strong consistency the
// contract holds as well. In one with eventual consistency, the default, two writers in two Regions can both succeed, and one
// document vanishes without an error: let all operators write in one Region.
//
// # Cost
//
// Loads that find a document unchanged read its head: one read unit. A fleet of 100 processes that asks every 500 ms, the default
// of packages revocation and failover, reads 518 million units a month for each document; at $0.125 for a million, that is $65 on
// demand, and about $19 with provisioned capacity. There are no hints, so Watch waits, and changes are seen when readers poll. A
// changed document is read in full by each process: 256 read units for 1 MiB.
package dynamostore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/regionjwt/regionjwt/aws/internal/call"
	"github.com/regionjwt/regionjwt/internal/document"
	"github.com/regionjwt/regionjwt/store"
)

const defaultPrefix = "regionjwt:"

// Client has the methods of *dynamodb.Client that a Store calls.
type Client interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error)
	BatchWriteItem(
		context.Context, *dynamodb.BatchWriteItemInput, ...func(*dynamodb.Options),
	) (*dynamodb.BatchWriteItemOutput, error)
}

var _ Client = (*dynamodb.Client)(nil)

// Config configures a Store.
type Config struct {
	// Table is the name or the ARN of the table. It must not be empty.
	Table string
	// Prefix is the start of the keys of all items. It has at most 128 bytes of printable ASCII without spaces. "" means
	// "regionjwt:".
	Prefix string
	// Timeout limits the duration of Load and of Save, all repetitions included. 0 means 2 s; the minimum is 10 ms. One attempt
	// of the client to make a request has half of it, so that must be enough to send the largest document.
	Timeout time.Duration
}

// Store is a store.Store of documents in DynamoDB. It is safe for concurrent use and is not closed. It starts no goroutine. The
// client belongs to the caller; with *dynamodb.Client, each call ends when its context does or when Config.Timeout has passed,
// also while the client waits to repeat a request that was throttled.
type Store struct {
	client  Client
	table   string
	prefix  string
	timeout time.Duration
}

var _ store.Store = (*Store)(nil)

// New returns a Store that uses client, which is usually a *dynamodb.Client for the Region of the table. It sends no request, so
// a table that does not exist is no error. New returns every problem with its arguments at once.
//
// The Store has the client repeat requests as it is configured to, but with sleeps of at most a quarter of Config.Timeout, and
// with half of Config.Timeout for each attempt.
func New(client Client, c Config) (*Store, error) {
	var errs []error
	s := &Store{client: client, table: c.Table, prefix: c.Prefix, timeout: c.Timeout}
	if call.Unusable[dynamodb.Client](client) {
		errs = append(errs, errors.New("dynamostore: the client is nil or zero"))
	}
	if s.table == "" {
		errs = append(errs, errors.New("dynamostore: Table is empty"))
	}
	if s.prefix == "" {
		s.prefix = defaultPrefix
	}
	if err := call.CheckPrefix(s.prefix); err != nil {
		errs = append(errs, fmt.Errorf("dynamostore: Prefix %w", err))
	}
	if s.timeout == 0 {
		s.timeout = call.DefaultTimeout
	}
	if s.timeout < call.LeastTimeout {
		errs = append(errs, fmt.Errorf("dynamostore: %w", call.TooShort(s.timeout)))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return s, nil
}

// errNotMade is the error of a Store that is nil or zero.
var errNotMade = errors.New("dynamostore: the Store is nil or zero: make it with dynamostore.New")

// begin checks the arguments of a call, and limits its time.
func (s *Store) begin(ctx context.Context, name string, data []byte) (context.Context, context.CancelFunc, error) {
	if s == nil || s.client == nil {
		return nil, nil, errNotMade
	}
	if err := document.Check(ctx, name, data); err != nil {
		return nil, nil, fmt.Errorf("dynamostore: %w", err)
	}
	within, cancel := context.WithTimeout(ctx, s.timeout)
	return within, cancel, nil
}

// options are those of each request.
func (s *Store) options(o *dynamodb.Options) {
	o.Retryer = call.Retryer(o.Retryer, s.timeout)
	o.APIOptions = append(slices.Clip(o.APIOptions), call.Attempts(s.timeout))
}

// key returns the key of the head of a document.
func (s *Store) key(name string) string {
	sum := sha256.Sum256([]byte(name))
	return s.prefix + hex.EncodeToString(sum[:])
}

// Watch implements store.Store. DynamoDB gives no hints, so it waits until ctx ends and returns the error of ctx. Readers poll.
func (s *Store) Watch(ctx context.Context, name string, _ func()) error {
	_, cancel, err := s.begin(ctx, name, nil)
	if err != nil {
		return err
	}
	cancel()
	<-ctx.Done()
	return fmt.Errorf("dynamostore: %w", ctx.Err())
}
