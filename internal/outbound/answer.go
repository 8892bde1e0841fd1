package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/regionjwt/regionjwt/internal/label"
)

var errTooLarge = errors.New("outbound: the body is over the limit")

// Body reads a body of at most limit bytes. A longer one is an error, label.TooLarge, and none of it is returned. What
// was read before any other error is returned with it.
func Body(body io.Reader, limit int) ([]byte, error) {
	read, err := io.ReadAll(io.LimitReader(body, int64(limit)+1))
	if len(read) > limit {
		return nil, errTooLarge
	}
	return read, err
}

// Classify returns the label of the failure err of a request under ctx, or of Body: all that is said about it. Where ctx has
// ended, that is why the request failed.
func Classify(ctx context.Context, err error) string {
	var (
		dns      *net.DNSError
		unknown  x509.UnknownAuthorityError
		hostname x509.HostnameError
		invalid  x509.CertificateInvalidError
		verify   *tls.CertificateVerificationError
		record   tls.RecordHeaderError
		alert    tls.AlertError
		timeout  interface{ Timeout() bool }
	)
	switch {
	case errors.Is(err, errTooLarge):
		return label.TooLarge
	case ctx.Err() != nil:
		return Ended(ctx)
	case errors.As(err, &timeout) && timeout.Timeout():
		return label.Timeout
	case errors.As(err, &dns):
		return label.DNS
	case errors.As(err, &unknown), errors.As(err, &hostname), errors.As(err, &invalid), errors.As(err, &verify),
		errors.As(err, &record), errors.As(err, &alert):
		return label.TLS
	}
	return label.Network
}

// Ended is why ctx, which has ended, has: Canceled, or Timeout.
func Ended(ctx context.Context) string {
	if errors.Is(ctx.Err(), context.Canceled) {
		return label.Canceled
	}
	return label.Timeout
}

// RetryAfter reads Retry-After, as seconds or as a date: RFC 9110, section 10.2.3. It is at most most, and 0 where there is
// none, it cannot be read, or it is before now.
func RetryAfter(h http.Header, now time.Time, most time.Duration) time.Duration {
	v := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(v, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, most)
	}
	if at, err := http.ParseTime(v); err == nil {
		return min(max(at.Sub(now), 0), most)
	}
	return 0
}
