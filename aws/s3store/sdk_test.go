package s3store_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/aws/s3store"
	"github.com/regionjwt/regionjwt/store"
)

// answers is the network of a real client: each request gets the next answer, and the last one is repeated.
type answers struct {
	mu   sync.Mutex
	list []string // "503 SlowDown", "200" (a document or a success), "cut" (half of one), "silence" or "reset"
	n    int
}

func (a *answers) next() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.n++
	return a.list[min(a.n, len(a.list))-1]
}

// stalled is a body that stops after its first bytes.
type stalled struct {
	ctx  context.Context
	head *strings.Reader
}

func (s stalled) Read(p []byte) (int, error) {
	if s.head.Len() > 0 {
		return s.head.Read(p)
	}
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

func (stalled) Close() error { return nil }

// RoundTrip implements http.RoundTripper.
func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
	out := &http.Response{
		StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Request: r, Body: http.NoBody,
		Header: http.Header{"Content-Type": {"application/xml"}, "Date": {time.Now().Add(20 * time.Minute).UTC().Format(http.TimeFormat)}},
	}
	document := strings.Repeat("0", 32) + "data"
	switch one := a.next(); one {
	case "silence":
		<-r.Context().Done()
		return nil, r.Context().Err()
	case "reset":
		return nil, errors.New("read: connection reset by peer")
	case "200", "cut", "stall":
		out.Header.Set("ETag", `"etag"`)
		out.Header.Set("Content-Length", "36")
		out.ContentLength = int64(len(document))
		switch {
		case r.Method != http.MethodGet:
			out.ContentLength = 0
		case one == "stall":
			out.Body = stalled{r.Context(), strings.NewReader(document[:20])}
		case one == "cut":
			out.Body = io.NopCloser(io.MultiReader(strings.NewReader(document[:34]), broken{io.ErrUnexpectedEOF}))
		default:
			out.Body = io.NopCloser(strings.NewReader(document))
		}
	default:
		code, name, _ := strings.Cut(one, " ")
		out.StatusCode = map[string]int{"304": 304, "400": 400, "403": 403, "404": 404, "409": 409, "412": 412, "500": 500, "503": 503}[code]
		if name != "" && r.Method != http.MethodHead {
			out.Body = io.NopCloser(strings.NewReader(`<?xml version="1.0"?><Error><Code>` + name + `</Code><Message>m</Message></Error>`))
		}
	}
	return out, nil
}

func realClient(a *answers) *s3.Client {
	return s3.New(s3.Options{
		Region: "us-east-1", HTTPClient: &http.Client{Transport: a},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "example"}, nil
		}),
	})
}

// With the SDK's own client: no fault is taken for something that is known about a document, every call ends in time, and the
// error of a throttled one says so.
func TestFaultsOfTheSDK(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answers    []string
		load, save string // what the error says; "" if there is none
	}{
		"a document":        {[]string{"200"}, "", ""},
		"throttled":         {[]string{"503 SlowDown"}, "SlowDown", "SlowDown"},
		"throttled once":    {[]string{"503 SlowDown", "200"}, "", ""},
		"internal error":    {[]string{"500 InternalError"}, "InternalError", "InternalError"},
		"a dead connection": {[]string{"silence", "200"}, "", ""},
		"silence":           {[]string{"silence"}, "no answer", "no answer"},
		"resets":            {[]string{"reset"}, "reset", "reset"},
		"a stalled body":    {[]string{"stall"}, "no answer", ""},
		"a torn body":       {[]string{"cut"}, "unexpected EOF", ""},
		"clock skew":        {[]string{"403 RequestTimeTooSkewed", "200"}, "", ""},
		"always clock skew": {[]string{"403 RequestTimeTooSkewed"}, "RequestTimeTooSkewed", "RequestTimeTooSkewed"},
		"absent":            {[]string{"404 NoSuchKey"}, store.ErrNotFound.Error(), store.ErrConflict.Error()},
		"no bucket":         {[]string{"404 NoSuchBucket"}, "NoSuchBucket", "NoSuchBucket"},
		"404 of a proxy":    {[]string{"404"}, "404", "404"},
		"there already":     {[]string{"412 PreconditionFailed", "200"}, "PreconditionFailed", store.ErrConflict.Error()},
		"a faster writer":   {[]string{"409 ConditionalRequestConflict", "200"}, "", store.ErrConflict.Error()},
		"304 to nothing":    {[]string{"304"}, "304", "304"},
		"no right":          {[]string{"403 AccessDenied"}, "s3:ListBucket", "AccessDenied"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				for _, say := range []struct {
					says string
					call func(*s3store.Store) error
				}{
					{test.load, func(s *s3store.Store) error { _, _, err := s.Load(t.Context(), "a", ""); return err }},
					{test.save, func(s *s3store.Store) error { _, err := s.Save(t.Context(), "a", []byte("x"), ""); return err }},
				} {
					if strings.HasPrefix(name, "a faster") && say.says == "" {
						continue
					}
					a := &answers{list: test.answers}
					s, err := s3store.New(realClient(a), s3store.Config{Bucket: "example-bucket"})
					require.NoError(t, err)
					began := time.Now()
					err = say.call(s)
					require.LessOrEqual(t, time.Since(began), 2*time.Second)
					if say.says == "" {
						require.NoError(t, err)
						continue
					}
					require.ErrorContains(t, err, say.says)
					for _, known := range []error{store.ErrNotFound, store.ErrConflict, store.ErrNotModified, store.ErrNotAuthentic} {
						require.Equal(t, say.says == known.Error(), errors.Is(err, known), err.Error())
					}
				}
			})
		})
	}
}

// While the SDK sleeps, waits or reads a body, a call ends with its context.
// The sleeps are random: those of two retries are longer than the context lasts.
func TestTheContextWins(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"503 SlowDown", "silence", "stall"} {
		synctest.Test(t, func(t *testing.T) {
			s, err := s3store.New(realClient(&answers{list: []string{answer}}), s3store.Config{Bucket: "example-bucket", Timeout: time.Hour})
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			for _, call := range []func() error{
				func() error { _, _, err := s.Load(ctx, "a", ""); return err },
				func() error { return s.Watch(ctx, "a", func() {}) },
			} {
				began := time.Now()
				require.ErrorIs(t, call(), context.DeadlineExceeded)
				require.LessOrEqual(t, time.Since(began), time.Millisecond)
			}
			_, err = s.Save(ctx, "a", make([]byte, 1<<20), "")
			require.ErrorIs(t, err, context.DeadlineExceeded)
		})
	}
}
