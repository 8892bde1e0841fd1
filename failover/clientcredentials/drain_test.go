package clientcredentials_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// counted is the body of a 401. It notes how it was treated.
type counted struct {
	io.Reader
	read        int
	end, closed bool
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += n
	c.end = c.end || err == io.EOF
	return n, err
}

func (c *counted) Close() error {
	c.closed = true
	return nil
}

// endless is a body without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// refuseOnce answers the first request with 401 and a body, and the others with 200.
type refuseOnce struct {
	body  *counted
	asked int
}

func (r *refuseOnce) RoundTrip(req *http.Request) (*http.Response, error) {
	r.asked++
	if r.asked == 1 {
		return &http.Response{StatusCode: http.StatusUnauthorized, Header: http.Header{}, Request: req, Body: r.body}, nil
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: req, Body: http.NoBody}, nil
}

// Before a request is sent again, the body of the 401 is read to its end, so that the connection can be used again, but no more
// than 16 KiB of it; and it is closed.
func TestTheBodyOfA401IsDrained(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body io.Reader
		read int
		end  bool
	}{
		"short":   {strings.NewReader(`{"error":"invalid_token"}`), 25, true},
		"long":    {bytes.NewReader(make([]byte, 16<<10-1)), 16<<10 - 1, true},
		"endless": {endless{}, 16 << 10, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, base := newWorld(), &refuseOnce{body: &counted{Reader: c.body}}
				transport, err := w.source(t, nil).Transport(base, "https://api.example.com")
				require.NoError(t, err)
				require.Equal(t, http.StatusOK, send(t, &http.Client{Transport: transport}, "GET", "https://api.example.com/x", nil))
				require.Equal(t, 2, base.asked)
				require.Equal(t, c.read, base.body.read)
				require.Equal(t, c.end, base.body.end)
				require.True(t, base.body.closed)
			})
		})
	}
}
