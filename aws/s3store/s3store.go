// Package s3store keeps documents in a bucket of Amazon S3, where a fleet shares them.
//
// # Trust
//
// Everyone who may write to the bucket can write documents, so a [Store] is not store.Trusted. Wrap it: with store.Signed for
// documents that operators write and services read, with store.Encrypted for documents that the fleet writes for itself. Services
// that only read signed documents need only these rights:
//
//	{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::example-bucket/regionjwt/*"},
//	{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::example-bucket",
//	 "Condition": {"StringLike": {"s3:prefix": "regionjwt/*"}}}
//
// Without s3:ListBucket S3 answers 403 instead of 404 if there is no object; Load then returns an error that is not
// store.ErrNotFound. Writers need s3:PutObject on the objects as well. Objects that are encrypted with a customer managed key of
// AWS KMS need kms:Decrypt, and kms:GenerateDataKey to write.
//
// A bucket policy can demand conditional writes, so that nobody overwrites a document by accident:
//
//	{"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::example-bucket/regionjwt/*",
//	 "Condition": {"Null": {"s3:if-match": "true", "s3:if-none-match": "true"}}}
//
// # Layout
//
// A document is one object with the key prefix+h, where h is the SHA-256 of its name in hexadecimal. It begins with 32
// hexadecimal digits of 128 random bits, so that no two objects have the same ETag, which is the revision. The same digits are in
// its metadata. Save writes with If-None-Match or If-Match. The bucket needs no versions; with versions, a rule that expires old
// ones keeps it small.
//
// # Regions
//
// S3 replicates buckets object by object and after a while (within 15 minutes at best by contract), and no condition holds across
// copies. Do not replicate the bucket: use one in each Region, each a store of its own.
//
// # Cost
//
// A Load of an unchanged document is one GET that is answered with 304. A fleet of 100 processes that asks every 500 ms, the
// default of packages revocation and failover, makes 518 million requests a month for each document: at $0.0004 for a thousand,
// $207, three times what package dynamostore costs. S3 suits large documents and those that are read rarely, such as snapshots of
// keys. There are no hints, so Watch waits, and changes are seen when readers poll.
package s3store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/regionjwt/regionjwt/aws/internal/call"
	"github.com/regionjwt/regionjwt/internal/document"
	"github.com/regionjwt/regionjwt/store"
)

const defaultPrefix = "regionjwt/"

// Client has the methods of *s3.Client that a Store calls.
type Client interface {
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	HeadObject(context.Context, *s3.HeadObjectInput, ...func(*s3.Options)) (*s3.HeadObjectOutput, error)
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
}

var _ Client = (*s3.Client)(nil)

// Config configures a Store.
type Config struct {
	// Bucket is the name of the bucket, or the ARN of an access point. It must not be empty.
	Bucket string
	// Prefix is the start of the keys of all objects. It has at most 128 bytes of printable ASCII without spaces, and does not
	// begin with a slash. "" means "regionjwt/".
	Prefix string
	// Timeout limits the duration of Load and of Save, all repetitions included. 0 means 2 s; the minimum is 10 ms. One attempt
	// of the client to make a request has half of it, so that must be enough to send the largest document.
	Timeout time.Duration
}

// Store is a store.Store of documents in S3. It is safe for concurrent use and is not closed. It starts no goroutine. The client
// belongs to the caller; with *s3.Client, each call ends when its context does or when Config.Timeout has passed, also while the
// client waits to repeat a request that was throttled.
type Store struct {
	client  Client
	bucket  string
	prefix  string
	timeout time.Duration
}

var _ store.Store = (*Store)(nil)

// New returns a Store that uses client, which is usually an *s3.Client for the Region of the bucket. It sends no request, so a
// bucket that does not exist is no error. New returns every problem with its arguments at once.
//
// The Store has the client repeat requests as it is configured to, but with sleeps of at most a quarter of Config.Timeout, and
// with half of Config.Timeout for each attempt.
func New(client Client, c Config) (*Store, error) {
	var errs []error
	s := &Store{client: client, bucket: c.Bucket, prefix: c.Prefix, timeout: c.Timeout}
	if call.Unusable[s3.Client](client) {
		errs = append(errs, errors.New("s3store: the client is nil or zero"))
	}
	if s.bucket == "" {
		errs = append(errs, errors.New("s3store: Bucket is empty"))
	}
	if s.prefix == "" {
		s.prefix = defaultPrefix
	}
	if err := call.CheckPrefix(s.prefix); err != nil {
		errs = append(errs, fmt.Errorf("s3store: Prefix %w", err))
	}
	if strings.HasPrefix(s.prefix, "/") {
		errs = append(errs, errors.New("s3store: Prefix begins with a slash"))
	}
	if s.timeout == 0 {
		s.timeout = call.DefaultTimeout
	}
	if s.timeout < call.LeastTimeout {
		errs = append(errs, fmt.Errorf("s3store: %w", call.TooShort(s.timeout)))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return s, nil
}

// errNotMade is the error of a Store that is nil or zero.
var errNotMade = errors.New("s3store: the Store is nil or zero: make it with s3store.New")

// begin checks the arguments of a call, and limits its time.
func (s *Store) begin(ctx context.Context, name string, data []byte) (context.Context, context.CancelFunc, error) {
	if s == nil || s.client == nil {
		return nil, nil, errNotMade
	}
	if err := document.Check(ctx, name, data); err != nil {
		return nil, nil, fmt.Errorf("s3store: %w", err)
	}
	within, cancel := context.WithTimeout(ctx, s.timeout)
	return within, cancel, nil
}

// options are those of each request.
func (s *Store) options(o *s3.Options) {
	o.Retryer = call.Retryer(o.Retryer, s.timeout)
	o.APIOptions = append(slices.Clip(o.APIOptions), call.Attempts(s.timeout))
}

// key returns the key of the object of a document.
func (s *Store) key(name string) string {
	sum := sha256.Sum256([]byte(name))
	return s.prefix + hex.EncodeToString(sum[:])
}

// Watch implements store.Store. S3 gives no hints, so it waits until ctx ends and returns the error of ctx. Readers poll.
func (s *Store) Watch(ctx context.Context, name string, _ func()) error {
	_, cancel, err := s.begin(ctx, name, nil)
	if err != nil {
		return err
	}
	cancel()
	<-ctx.Done()
	return fmt.Errorf("s3store: %w", ctx.Err())
}
