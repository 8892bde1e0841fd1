package dynamostore_test

import (
	"bytes"
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
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/aws/dynamostore"
	"github.com/regionjwt/regionjwt/store"
)

// answers is the network of a real client: each request gets the next answer, and the last one is repeated.
type answers struct {
	mu   sync.Mutex
	list []string // "400 ThrottlingException", "200 {}", "silence" or "reset"
	n    int
	took []time.Time
}

func (a *answers) next() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.took = append(a.took, time.Now())
	one := a.list[min(a.n, len(a.list)-1)]
	a.n++
	return one
}

// RoundTrip implements http.RoundTripper.
func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
	one := a.next()
	switch one {
	case "silence":
		<-r.Context().Done()
		return nil, r.Context().Err()
	case "reset":
		return nil, errors.New("read: connection reset by peer")
	}
	code, body, _ := strings.Cut(one, " ")
	if !strings.HasPrefix(body, "{") && code != "200" {
		body = `{"__type":"com.amazonaws.dynamodb.v20120810#` + body + `","message":"m"}`
	}
	status := map[string]int{"200": 200, "400": 400, "500": 500, "503": 503}[code]
	return &http.Response{
		StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Request: r, Body: io.NopCloser(strings.NewReader(body)),
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}, "Date": {time.Now().Add(skew).UTC().Format(http.TimeFormat)}},
	}, nil
}

// skew is how far the clock of the service is ahead.
const skew = 20 * time.Minute

func realClient(a *answers) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
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
		want       error  // of both
	}{
		"throttled":          {[]string{"400 ThrottlingException"}, "ThrottlingException", "ThrottlingException", nil},
		"beyond capacity":    {[]string{"400 ProvisionedThroughputExceededException"}, "ProvisionedThroughput", "ProvisionedThroughput", nil},
		"request limit":      {[]string{"400 RequestLimitExceeded"}, "RequestLimitExceeded", "RequestLimitExceeded", nil},
		"throttled once":     {[]string{"400 ThrottlingException", "200 {}"}, "not found", "", nil},
		"internal error":     {[]string{"500 InternalServerError"}, "InternalServerError", "InternalServerError", nil},
		"no table":           {[]string{"400 ResourceNotFoundException"}, "ResourceNotFound", "ResourceNotFound", nil},
		"no right":           {[]string{"400 AccessDeniedException"}, "AccessDenied", "AccessDenied", nil},
		"another Region":     {[]string{"400 ReplicatedWriteConflictException", "200 {}"}, "ReplicatedWriteConflict", "another writer", nil},
		"a dead connection":  {[]string{"silence", "200 {}"}, "not found", "", nil},
		"silence":            {[]string{"silence"}, "no answer", "no answer", context.DeadlineExceeded},
		"resets":             {[]string{"reset"}, "reset", "reset", nil},
		"clock skew":         {[]string{"400 InvalidSignatureException", "200 {}"}, "not found", "", nil},
		"always clock skew":  {[]string{"400 InvalidSignatureException"}, "InvalidSignature", "InvalidSignature", nil},
		"an answer of a web": {[]string{"200 <html>"}, "dynamostore:", "dynamostore:", nil},
		"odd types":          {[]string{`200 {"Item":[],"Attributes":7}`}, "dynamostore:", "dynamostore:", nil},
		"odd attributes":     {[]string{`200 {"Item":{"rev":{"X":1}},"Attributes":{"rev":{"X":1}}}`}, "dynamostore:", "", nil},
		"no JSON":            {[]string{"400 {", "200 {}"}, "dynamostore:", "dynamostore:", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				for _, say := range []struct {
					says string
					call func(*dynamostore.Store) error
				}{
					{test.load, func(s *dynamostore.Store) error { _, _, err := s.Load(t.Context(), "a", ""); return err }},
					{test.save, func(s *dynamostore.Store) error { _, err := s.Save(t.Context(), "a", []byte("x"), ""); return err }},
				} {
					s, err := dynamostore.New(realClient(&answers{list: test.answers}), dynamostore.Config{Table: "t"})
					require.NoError(t, err)
					began := time.Now()
					err = say.call(s)
					require.LessOrEqual(t, time.Since(began), 2*time.Second)
					if say.says == "" {
						require.NoError(t, err)
						continue
					}
					require.ErrorContains(t, err, say.says)
					for _, known := range []error{store.ErrNotFound, store.ErrConflict, store.ErrNotModified} {
						if !strings.Contains(say.says, known.Error()) && say.says != "not found" && say.says != "another writer" {
							require.NotErrorIs(t, err, known)
						}
					}
					if test.want != nil {
						require.ErrorIs(t, err, test.want)
					}
				}
			})
		})
	}
}

// While the SDK sleeps, because it is throttled or has no answer, a call ends with its context.
// The sleeps are random: those of two retries are longer than the context lasts.
func TestTheContextWins(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"400 ThrottlingException", "silence"} {
		synctest.Test(t, func(t *testing.T) {
			s, err := dynamostore.New(realClient(&answers{list: []string{answer}}), dynamostore.Config{Table: "t", Timeout: time.Hour})
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			for _, call := range []func() error{
				func() error { _, _, err := s.Load(ctx, "a", ""); return err },
				func() error { _, err := s.Save(ctx, "a", bytes.Repeat([]byte("x"), 1<<20), ""); return err },
				func() error { return s.Watch(ctx, "a", func() {}) },
			} {
				began := time.Now()
				require.ErrorIs(t, call(), context.DeadlineExceeded)
				require.LessOrEqual(t, time.Since(began), time.Millisecond)
			}
		})
	}
}
