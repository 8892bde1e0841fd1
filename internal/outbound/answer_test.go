package outbound_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/internal/outbound"
)

// endless is a body without an end, which counts what was read of it.
type endless struct{ read int }

// Read implements io.Reader.
func (e *endless) Read(p []byte) (int, error) {
	e.read += len(p)
	return len(p), nil
}

// A body is returned whole up to the limit and not at all beyond it, however it arrives.
func TestBody(t *testing.T) {
	t.Parallel()
	const limit = 1000
	for size := range 2 * limit {
		sent := bytes.Repeat([]byte{'x'}, size)
		for name, body := range map[string]io.Reader{
			"at once": bytes.NewReader(sent), "halves": iotest.HalfReader(bytes.NewReader(sent)), "early end": iotest.DataErrReader(bytes.NewReader(sent)),
		} {
			got, err := outbound.Body(body, limit)
			if size > limit {
				require.Error(t, err, "%s: %d", name, size)
				require.Equal(t, label.TooLarge, outbound.Classify(t.Context(), err))
				require.Empty(t, got)
				continue
			}
			require.NoError(t, err, "%s: %d", name, size)
			require.Len(t, got, len(sent))
		}
	}
	bomb := &endless{}
	_, err := outbound.Body(bomb, limit)
	require.Error(t, err)
	require.Equal(t, limit+1, bomb.read, "no more is read than shows that it is too large")
}

// A body that breaks off is what was read of it, and why no more was.
func TestBodyBreaksOff(t *testing.T) {
	t.Parallel()
	got, err := outbound.Body(io.MultiReader(strings.NewReader(`{"error":`), iotest.ErrReader(io.ErrUnexpectedEOF)), 1000)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Equal(t, `{"error":`, string(got))
	require.Equal(t, label.Network, outbound.Classify(t.Context(), err))
}

func TestClassify(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want string
		err  error
	}{
		{label.DNS, &net.DNSError{Err: "s3cret", Name: "idp.example.com", IsNotFound: true}},
		{label.Timeout, &net.DNSError{Err: "s3cret", IsTimeout: true}},
		{label.Timeout, context.DeadlineExceeded},
		{label.TLS, x509.UnknownAuthorityError{}},
		{label.TLS, x509.HostnameError{Host: "idp.example.com", Certificate: &x509.Certificate{}}},
		{label.TLS, x509.CertificateInvalidError{Cert: &x509.Certificate{}, Reason: x509.Expired}},
		{label.TLS, &tls.CertificateVerificationError{Err: errors.New("s3cret")}},
		{label.TLS, tls.RecordHeaderError{Msg: "s3cret"}},
		{label.TLS, tls.AlertError(40)},
		{label.Network, syscall.ECONNREFUSED},
		{label.Network, io.ErrUnexpectedEOF},
		{label.Network, errors.New("s3cret")},
	} {
		for _, err := range []error{
			c.err, fmt.Errorf("wrapped: %w", c.err),
			&url.Error{Op: "Get", URL: "https://idp.example.com", Err: &net.OpError{Op: "dial", Net: "tcp", Err: c.err}},
		} {
			require.Equal(t, c.want, outbound.Classify(t.Context(), err), "%T", c.err)

			gone, leave := context.WithCancel(t.Context())
			leave()
			require.Equal(t, label.Canceled, outbound.Classify(gone, err), "the caller has left: %T", c.err)

			late, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
			require.Equal(t, label.Timeout, outbound.Classify(late, err), "the time is up: %T", c.err)
			cancel()
		}
	}
}

// What is too large was read whole: that somebody left since changes nothing.
func TestTooLargeIsNoTimeout(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := outbound.Body(strings.NewReader("too long"), 3)
	require.Equal(t, label.TooLarge, outbound.Classify(ctx, err))
}

func TestEnded(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("a cause of its own"))
	require.Equal(t, label.Canceled, outbound.Ended(ctx))
	late, end := context.WithTimeout(t.Context(), 0)
	defer end()
	require.Equal(t, label.Timeout, outbound.Ended(late))
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	const most = time.Minute
	now := time.Date(2026, time.March, 1, 12, 0, 0, 500, time.UTC)
	date := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for value, want := range map[string]time.Duration{
		"0": 0, "1": time.Second, "59": 59 * time.Second, "61": most, "2147483647": most,
		date(10 * time.Second): 10*time.Second - 500, date(0): 0, date(-time.Hour): 0, date(time.Hour): most,
		"": 0, "-1": 0, "+1": 0, "1.5": 0, "1 2": 0, "1s": 0, "soon": 0, "4294967297": 0, "99999999999999999999": 0, "0x10": 0,
	} {
		require.Equal(t, want, outbound.RetryAfter(http.Header{"Retry-After": {value}}, now, most), "%q", value)
	}
	require.Zero(t, outbound.RetryAfter(nil, now, most))
}
