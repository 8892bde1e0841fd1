package s3store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/aws/s3store"
	"github.com/regionjwt/regionjwt/internal/document"
	"github.com/regionjwt/regionjwt/internal/nils/nilstest"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/store/storetest"
)

func newBucket() *bucket { return &bucket{objects: map[string]object{}} }

func newStore(t *testing.T, c s3store.Client) *s3store.Store {
	t.Helper()
	s, err := s3store.New(c, s3store.Config{Bucket: "b"})
	require.NoError(t, err)
	return s
}

func TestNew(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]s3store.Client{
		"nil": nil, "nil client": (*s3.Client)(nil), "zero client": new(s3.Client), "nil of a user": (*client)(nil),
	} {
		_, err := s3store.New(c, s3store.Config{Bucket: "b"})
		require.ErrorContains(t, err, "the client is nil or zero", name)
	}
	_, err := s3store.New(nil, s3store.Config{Prefix: "/a b", Timeout: -1})
	for _, says := range []string{"the client is nil", "Bucket is empty", "Prefix has a space", "Prefix begins with a slash", "Timeout is -1ns: use 0 for 2s"} {
		require.ErrorContains(t, err, says, "every mistake at once")
	}
	var s store.Store = newStore(t, new(client))
	_, trusted := s.(store.Trusted)
	require.False(t, trusted, "others can write to the bucket")
	nilstest.Methods(t, "s3store.New", nil, []any{"name", []byte("x")}, (*s3store.Store)(nil), new(s3store.Store))
}

func TestContract(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &client{bucket: newBucket()}
		one, other := newStore(t, c), newStore(t, &client{bucket: c.bucket})
		require.NoError(t, storetest.Check(t.Context(), one, other, "checked "))
		require.NoError(t, storetest.CheckFaults(t.Context(), one, other, "faults ", c.faults()))
	})
}

// A poll is one request, and so is a Save; the largest document passes; a revision does not come again with the same document.
func TestRequests(t *testing.T) {
	t.Parallel()
	c := &client{bucket: newBucket()}
	s := newStore(t, c)
	seen := map[string]bool{}
	revision, data := "", bytes.Repeat([]byte("x"), document.MaxData)
	for range 3 {
		c.requests = nil
		var err error
		revision, err = s.Save(t.Context(), "a", data, revision)
		require.NoError(t, err)
		require.False(t, seen[revision])
		seen[revision] = true
		_, _, err = s.Load(t.Context(), "a", revision)
		require.ErrorIs(t, err, store.ErrNotModified)
		require.Equal(t, []string{"PutObject", "GetObject"}, c.requests)
		got, _, err := s.Load(t.Context(), "a", "")
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, got))
	}
}

// A revision that S3 would read as something else than one ETag is none, and is never sent.
func TestOddRevisions(t *testing.T) {
	t.Parallel()
	c := &client{bucket: newBucket()}
	s := newStore(t, c)
	revision, err := s.Save(t.Context(), "a", []byte("x"), "")
	require.NoError(t, err)
	for _, odd := range []string{
		"*", revision + ", *", revision + "," + revision, "W/" + revision, strings.Trim(revision, `"`), `"`, `""`, revision + "\r\nX: y",
		`"` + strings.Repeat("a", 300) + `"`, "\"\x00\"",
	} {
		c.requests = nil
		_, err := s.Save(t.Context(), "a", []byte("y"), odd)
		require.ErrorIs(t, err, store.ErrConflict, odd)
		require.Empty(t, c.requests)
		data, _, err := s.Load(t.Context(), "a", odd)
		require.NoError(t, err)
		require.Equal(t, "x", string(data))
	}
}

// broken fails while it is read.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// What other programs write is no document, and can be replaced; what is torn, endless or odd is an error that says nothing of a
// document.
func TestForeignObjects(t *testing.T) {
	t.Parallel()
	c := &client{bucket: newBucket()}
	s := newStore(t, c)
	revision, err := s.Save(t.Context(), "a", []byte("x"), "")
	require.NoError(t, err)
	body := func(r io.Reader) func(*s3.GetObjectOutput) {
		return func(o *s3.GetObjectOutput) { o.Body, o.ContentLength = io.NopCloser(r), nil }
	}
	mark := strings.Repeat("0", 32)
	for name, test := range map[string]struct {
		change   func(*s3.GetObjectOutput)
		want     error
		revision string
	}{
		"empty":         {body(strings.NewReader("")), store.ErrNotAuthentic, revision},
		"nothing":       {func(o *s3.GetObjectOutput) { o.Body = nil }, store.ErrNotAuthentic, revision},
		"short":         {body(strings.NewReader(mark[1:])), store.ErrNotAuthentic, revision},
		"no mark":       {body(strings.NewReader(strings.Repeat("x", 100))), store.ErrNotAuthentic, revision},
		"torn":          {func(o *s3.GetObjectOutput) { o.ContentLength = aws.Int64(100) }, io.ErrUnexpectedEOF, ""},
		"cut off":       {body(io.MultiReader(strings.NewReader(mark), broken{io.ErrUnexpectedEOF})), io.ErrUnexpectedEOF, ""},
		"says too much": {func(o *s3.GetObjectOutput) { o.ContentLength = aws.Int64(1 << 40) }, document.ErrTooLarge, ""},
		"is too much":   {body(io.MultiReader(strings.NewReader(mark), bytes.NewReader(make([]byte, document.MaxData+1)))), document.ErrTooLarge, ""},
		"no ETag":       {func(o *s3.GetObjectOutput) { o.ETag = nil }, nil, ""},
		"odd ETag":      {func(o *s3.GetObjectOutput) { o.ETag = aws.String("*") }, nil, ""},
	} {
		c.change = test.change
		data, at, err := s.Load(t.Context(), "a", "")
		require.Error(t, err, name)
		if test.want != nil {
			require.ErrorIs(t, err, test.want, name)
		}
		require.NotErrorIs(t, err, store.ErrNotFound)
		require.Empty(t, data)
		require.Equal(t, test.revision, at, name)
	}
	c.change, c.saved = nil, func(o *s3.PutObjectOutput) { o.ETag = nil }
	revision, err = s.Save(t.Context(), "a", []byte("y"), revision)
	require.NoError(t, err, "the ETag is known from a HEAD")
	_, at, err := s.Load(t.Context(), "a", "")
	require.NoError(t, err)
	require.Equal(t, at, revision)
}

// Only the answers that speak of a condition are conflicts, and only NoSuchKey says that there is no document.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status     int
		code       string
		load, save error
	}{
		{http.StatusPreconditionFailed, "PreconditionFailed", nil, store.ErrConflict},
		{http.StatusConflict, "ConditionalRequestConflict", nil, store.ErrConflict},
		{http.StatusNotFound, "NoSuchKey", store.ErrNotFound, store.ErrConflict},
		{http.StatusNotFound, "NoSuchBucket", nil, nil},
		{http.StatusNotFound, "", nil, nil},
		{http.StatusConflict, "OperationAborted", nil, nil},
		{http.StatusPreconditionFailed, "", nil, nil},
		{http.StatusForbidden, "AccessDenied", nil, nil},
		{http.StatusNotModified, "NotModified", nil, nil},
		{http.StatusServiceUnavailable, "SlowDown", nil, nil},
	} {
		c := &client{bucket: newBucket()}
		c.fail = map[string]error{"GetObject": answered(test.status, test.code), "PutObject": answered(test.status, test.code)}
		s := newStore(t, c)
		_, _, loadErr := s.Load(t.Context(), "a", "")
		_, saveErr := s.Save(t.Context(), "a", nil, "")
		for _, pair := range [][2]error{{loadErr, test.load}, {saveErr, test.save}} {
			require.Error(t, pair[0], test.code)
			for _, known := range []error{store.ErrNotFound, store.ErrNotModified, store.ErrConflict, store.ErrNotAuthentic} {
				require.Equal(t, known == pair[1], errors.Is(pair[0], known), "%d %s: %v", test.status, test.code, pair[0])
			}
		}
		if test.code == "AccessDenied" {
			require.ErrorContains(t, loadErr, "s3:ListBucket")
		}
	}
	c := &client{bucket: newBucket(), fail: map[string]error{
		"PutObject": answered(http.StatusPreconditionFailed, "PreconditionFailed"), "HeadObject": answered(http.StatusForbidden, "Forbidden"),
	}}
	_, err := newStore(t, c).Save(t.Context(), "a", nil, "")
	require.Error(t, err)
	require.NotErrorIs(t, err, store.ErrConflict, "it may be ours")
}

// Calls have Config.Timeout, even if the caller has no deadline.
func TestTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, err := s3store.New(&client{bucket: newBucket(), silence: make(chan struct{})}, s3store.Config{Bucket: "b", Timeout: 3 * time.Second})
		require.NoError(t, err)
		for _, call := range []func() error{
			func() error { _, _, err := s.Load(t.Context(), "a", ""); return err },
			func() error { _, err := s.Save(t.Context(), "a", nil, ""); return err },
		} {
			began := time.Now()
			err := call()
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorContains(t, err, "within 3s")
			require.Equal(t, 3*time.Second, time.Since(began))
		}
	})
}
