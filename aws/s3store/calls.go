package s3store

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/regionjwt/regionjwt/aws/internal/call"
	"github.com/regionjwt/regionjwt/internal/document"
	"github.com/regionjwt/regionjwt/store"
)

const (
	markSize    = 32              // bytes at the start of an object that make it unique
	markName    = "regionjwt-rev" // of the metadata that repeat them
	maxRevision = 256             // bytes of an ETag
)

// errForeign says that another program wrote the object.
var errForeign = fmt.Errorf("%w: the object is not a document", store.ErrNotAuthentic)

// plausible reports whether a revision can be an ETag: one quoted string. Only such a text may be in a header: * and lists have a
// meaning of their own there.
func plausible(revision string) bool {
	n := len(revision)
	if n < 3 || n > maxRevision || revision[0] != '"' || revision[n-1] != '"' {
		return false
	}
	for _, c := range []byte(revision[1 : n-1]) {
		if c <= ' ' || c > '~' || c == '"' {
			return false
		}
	}
	return true
}

// Load implements store.Store. It returns store.ErrNotFound, store.ErrNotModified, store.ErrNotAuthentic if another program wrote
// the object, whose key the error names, the error of ctx, or that of the client. A bucket that does not exist, or may not be
// read, is an error of the client.
func (s *Store) Load(ctx context.Context, name, ifNot string) ([]byte, string, error) {
	within, cancel, err := s.begin(ctx, name, nil)
	if err != nil {
		return nil, "", err
	}
	defer cancel()
	key := s.key(name)
	in := &s3.GetObjectInput{Bucket: &s.bucket, Key: &key}
	if plausible(ifNot) {
		in.IfNoneMatch = &ifNot
	}
	out, err := call.Do(within, func() (*s3.GetObjectOutput, error) { return s.client.GetObject(within, in, s.options) })
	switch {
	case err != nil && in.IfNoneMatch != nil && status(err) == http.StatusNotModified:
		return nil, ifNot, fmt.Errorf("s3store: %w", store.ErrNotModified)
	case code(err) == "NoSuchKey" && status(err) == http.StatusNotFound:
		return nil, "", fmt.Errorf("s3store: %w", store.ErrNotFound)
	case err != nil:
		return nil, "", s.failed(ctx, key, err)
	}
	revision := aws.ToString(out.ETag)
	if !plausible(revision) {
		return nil, "", s.failed(ctx, key, errNoETag)
	}
	data, err := s.body(within, out)
	if errors.Is(err, store.ErrNotAuthentic) {
		return nil, revision, s.failed(ctx, key, err)
	}
	if err != nil {
		return nil, "", s.failed(ctx, key, err)
	}
	return data, revision, nil
}

// errNoETag says that an answer cannot be used.
var errNoETag = errors.New("the service sent no ETag, or an odd one")

// body reads an object.
func (s *Store) body(ctx context.Context, out *s3.GetObjectOutput) ([]byte, error) {
	if out.Body == nil {
		return nil, errForeign
	}
	const most = markSize + document.MaxData
	text, err := call.Do(ctx, func() (*[]byte, error) {
		defer func() { _ = out.Body.Close() }()
		if aws.ToInt64(out.ContentLength) > most {
			return nil, document.ErrTooLarge
		}
		text, err := io.ReadAll(io.LimitReader(out.Body, most+1))
		return &text, err
	})
	switch {
	case err != nil:
		return nil, err
	case len(*text) > most:
		return nil, document.ErrTooLarge
	case out.ContentLength != nil && int64(len(*text)) != *out.ContentLength:
		return nil, io.ErrUnexpectedEOF
	case len(*text) < markSize, !isMark((*text)[:markSize]):
		return nil, errForeign
	}
	return (*text)[markSize:], nil
}

// newMark returns what makes an object unique.
func newMark() []byte {
	random := make([]byte, markSize/2)
	_, _ = rand.Read(random) // never fails
	return []byte(hex.EncodeToString(random))
}

func isMark(text []byte) bool {
	for _, c := range text {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// Save implements store.Store. It returns store.ErrConflict, the error of ctx, or that of the client. After one of the last two,
// the document may have been saved, or may be saved a little later unless another writer is faster; load it to find out. A write
// whose answer was lost, and that the client repeated, is no conflict.
func (s *Store) Save(ctx context.Context, name string, data []byte, ifRevision string) (string, error) {
	within, cancel, err := s.begin(ctx, name, data)
	if err != nil {
		return "", err
	}
	defer cancel()
	key, mark := s.key(name), newMark()
	in := &s3.PutObjectInput{
		Bucket: &s.bucket, Key: &key, Body: bytes.NewReader(append(mark, data...)),
		ContentType: aws.String("application/octet-stream"), Metadata: map[string]string{markName: string(mark)},
	}
	switch {
	case ifRevision == "":
		in.IfNoneMatch = aws.String("*")
	case plausible(ifRevision):
		in.IfMatch = &ifRevision
	default:
		return "", fmt.Errorf("s3store: %w", store.ErrConflict) // no document has this revision
	}
	out, err := call.Do(within, func() (*s3.PutObjectOutput, error) { return s.client.PutObject(within, in, s.options) })
	if err == nil {
		if revision := aws.ToString(out.ETag); plausible(revision) {
			return revision, nil
		}
		err = errNoETag
	}
	revision, err := s.settle(within, key, string(mark), err)
	if err != nil {
		return "", s.failed(ctx, key, err)
	}
	return revision, nil
}

// settle finds out what an error of PutObject means. The client repeats a request whose answer was lost, and the second one then
// fails because the first one did not: if the object that is there is ours, it was saved. Otherwise, a failed condition is a
// conflict. After any other error the document may be saved later, and the error stays.
func (s *Store) settle(ctx context.Context, key, mark string, err error) (revision string, _ error) {
	out, unknown := call.Do(ctx, func() (*s3.HeadObjectOutput, error) {
		return s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: &key}, s.options)
	})
	if unknown == nil {
		if revision = aws.ToString(out.ETag); out.Metadata[markName] == mark && plausible(revision) {
			return revision, nil
		}
	}
	if !refused(err) {
		return "", err
	}
	if unknown != nil && status(unknown) != http.StatusNotFound {
		return "", unknown // it may be ours
	}
	return "", store.ErrConflict
}

// refused reports whether a write failed by its condition: 412, or 404 if the object is gone, or 409 if it was changed meanwhile.
func refused(err error) bool {
	switch status(err) {
	case http.StatusPreconditionFailed:
		return code(err) == "PreconditionFailed"
	case http.StatusNotFound:
		return code(err) == "NoSuchKey"
	case http.StatusConflict:
		return code(err) == "ConditionalRequestConflict"
	}
	return false
}

// status returns the status of the answer that an error is about, or 0.
func status(err error) int {
	var answer interface{ HTTPStatusCode() int }
	if errors.As(err, &answer) {
		return answer.HTTPStatusCode()
	}
	return 0
}

// code returns the code that the service gave an error, or "".
func code(err error) string {
	var answer smithy.APIError
	if errors.As(err, &answer) {
		return answer.ErrorCode()
	}
	return ""
}

// failed is the error of a call.
func (s *Store) failed(ctx context.Context, key string, err error) error {
	if ended := ctx.Err(); ended != nil {
		return fmt.Errorf("s3store: %w", ended)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("s3store: within %v: %w", s.timeout, err)
	}
	if errors.Is(err, store.ErrNotAuthentic) || errors.Is(err, document.ErrTooLarge) {
		return fmt.Errorf("s3store: %s: %w", key, err)
	}
	if code(err) == "AccessDenied" {
		return fmt.Errorf("s3store: %w (S3 says so about an absent object, too, unless s3:ListBucket is allowed)", err)
	}
	return fmt.Errorf("s3store: %w", err)
}
