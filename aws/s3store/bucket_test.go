package s3store_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/regionjwt/regionjwt/store/storetest"
)

type object struct {
	text     []byte
	metadata map[string]string
}

func (o object) etag() string { return fmt.Sprintf("%q", fmt.Sprintf("%x", md5.Sum(o.text))) }

// bucket is a bucket in memory.
type bucket struct {
	mu      sync.Mutex
	objects map[string]object
}

func (b *bucket) get(key string) (object, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o, ok := b.objects[key]
	o.text = bytes.Clone(o.text)
	return o, ok
}

// client is a client of a bucket, with a connection that has faults. Like the SDK, it repeats a request whose answer was lost.
type client struct {
	bucket *bucket

	mu       sync.Mutex
	lose     int
	silence  chan struct{}
	before   func()
	closed   bool
	requests []string
	fail     map[string]error          // by the name of the request
	change   func(*s3.GetObjectOutput) // what GetObject returns
	saved    func(*s3.PutObjectOutput) // what PutObject returns
}

var errClosed = errors.New("the connection ended")

func (c *client) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// answered is an error of the service.
func answered(status int, code string) error {
	return &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}}, Err: &smithy.GenericAPIError{Code: code},
	}
}

// send executes a request, up to three times while its answer is lost.
func send[T any](ctx context.Context, c *client, name string, execute func() (*T, error)) (*T, error) {
	for range 3 {
		c.mu.Lock()
		c.requests = append(c.requests, name)
		silence, closed, before, lost, fail := c.silence, c.closed, c.before, false, c.fail[name]
		if silence == nil && c.lose > 0 {
			c.lose--
			lost = true
		}
		if name == "PutObject" {
			c.before = nil
		} else {
			before = nil
		}
		c.mu.Unlock()
		if before != nil {
			before()
		}
		if silence != nil {
			select {
			case <-silence:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		if fail != nil {
			return nil, fail
		}
		if closed {
			return nil, errClosed
		}
		out, err := execute()
		if !lost {
			return out, err
		}
	}
	return nil, errClosed
}

func (c *client) GetObject(ctx context.Context, in *s3.GetObjectInput, _ ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	return send(ctx, c, "GetObject", func() (*s3.GetObjectOutput, error) {
		o, ok := c.bucket.get(aws.ToString(in.Key))
		if !ok {
			return nil, answered(http.StatusNotFound, "NoSuchKey")
		}
		if aws.ToString(in.IfNoneMatch) == o.etag() {
			return nil, answered(http.StatusNotModified, "NotModified")
		}
		out := &s3.GetObjectOutput{
			ETag: aws.String(o.etag()), Body: io.NopCloser(bytes.NewReader(o.text)), ContentLength: aws.Int64(int64(len(o.text))), Metadata: o.metadata,
		}
		if c.change != nil {
			c.change(out)
		}
		return out, nil
	})
}

func (c *client) HeadObject(ctx context.Context, in *s3.HeadObjectInput, _ ...func(*s3.Options)) (*s3.HeadObjectOutput, error) {
	return send(ctx, c, "HeadObject", func() (*s3.HeadObjectOutput, error) {
		o, ok := c.bucket.get(aws.ToString(in.Key))
		if !ok {
			return nil, answered(http.StatusNotFound, "NotFound")
		}
		return &s3.HeadObjectOutput{ETag: aws.String(o.etag()), Metadata: o.metadata}, nil
	})
}

func (c *client) PutObject(ctx context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	text, err := io.ReadAll(in.Body)
	if err != nil {
		return nil, err
	}
	return send(ctx, c, "PutObject", func() (*s3.PutObjectOutput, error) {
		c.bucket.mu.Lock()
		defer c.bucket.mu.Unlock()
		old, ok := c.bucket.objects[aws.ToString(in.Key)]
		switch {
		case in.IfMatch == nil && in.IfNoneMatch == nil:
			return nil, errors.New("the write is not conditional")
		case in.IfNoneMatch != nil && ok, in.IfMatch != nil && ok && *in.IfMatch != old.etag():
			return nil, answered(http.StatusPreconditionFailed, "PreconditionFailed")
		case in.IfMatch != nil && !ok:
			return nil, answered(http.StatusNotFound, "NoSuchKey")
		}
		o := object{text, in.Metadata}
		c.bucket.objects[aws.ToString(in.Key)] = o
		out := &s3.PutObjectOutput{ETag: aws.String(o.etag())}
		if c.saved != nil {
			c.saved(out)
		}
		return out, nil
	})
}

// faults are what the connection can do.
func (c *client) faults() storetest.Faults {
	return storetest.Faults{
		LoseAnswers: func(n int) { c.set(func() { c.lose = n }) },
		BeforeWrite: func(f func()) { c.set(func() { c.before = f }) },
		Silence: func() func() {
			silence := make(chan struct{})
			c.set(func() { c.silence = silence })
			return func() { c.set(func() { c.silence = nil }); close(silence) }
		},
		Close: func() { c.set(func() { c.closed = true }) },
	}
}
