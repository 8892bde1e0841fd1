package jwks_test

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
)

// The log has one line for each change of state, with the regions that it is about, and none for what goes on.
func TestLogHasALineForEachChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n, out := newServers(), new(lines)
		n.at(regionA).list("one")
		n.at(regionB).list("two")
		config := jwks.Config{Logger: slog.New(slog.NewTextHandler(out, nil))}
		c := newCache(t, n, config, pool("p", []string{regionA}, []string{regionB}))
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go func() { _ = c.Run(ctx) }()
		time.Sleep(time.Hour)
		n.at(regionB).set(refuse)
		time.Sleep(30 * time.Hour)
		n.at(regionB).set(heal)
		time.Sleep(time.Hour)
		n.at(regionA).list("one", "three")
		time.Sleep(time.Hour)
		require.ElementsMatch(t, []string{
			"keys changed [p/a]", "keys changed [p/b]", "key fetch failed [p/b]", "keys expired [p/b]",
			"key fetch recovered [p/b]", "keys can be used again [p/b]", "keys changed [p/a]",
		}, told(out), out.String())
	})
}

// told lists the messages of a log with their regions.
func told(out *lines) (all []string) {
	for line := range strings.Lines(out.String()) {
		_, message, _ := strings.Cut(line, `msg="`)
		message, rest, _ := strings.Cut(message, `"`)
		_, regions, _ := strings.Cut(rest, " regions=")
		regions, _, _ = strings.Cut(strings.TrimSpace(regions), " ")
		all = append(all, message+" "+regions)
	}
	return all
}

// Nothing that a server says is in the log, in Status or in the error of Preload, but the status and the names of keys that
// are skipped.
func TestLogHoldsNothingThatAServerSaid(t *testing.T) {
	t.Parallel()
	const secret = "SECRET"
	said := http.Header{
		"Location": {"https://x.example/" + secret}, "Etag": {`"` + secret + `"`}, "Retry-After": {secret}, "X-Error": {secret},
		"Content-Type": {"text/html; " + secret}, "Cache-Control": {secret}, "Set-Cookie": {"a=" + secret},
	}
	for name, answer := range map[string]func(*http.Request) *http.Response{
		"redirect":  func(r *http.Request) *http.Response { return response(r, http.StatusFound, said, []byte(secret)) },
		"500":       func(r *http.Request) *http.Response { return response(r, 500, said, []byte(secret)) },
		"page":      func(r *http.Request) *http.Response { return response(r, 200, said, []byte("<html>"+secret)) },
		"malformed": func(r *http.Request) *http.Response { return response(r, 200, nil, []byte(`{"keys":"`+secret)) },
		"issuer": func(r *http.Request) *http.Response {
			return response(r, 200, said, []byte(`{"issuer":"`+secret+`","jwks_uri":"https://`+secret+`.example"}`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				defer time.Sleep(time.Minute)
				n, out := newServers(), new(lines)
				n.at(metadataURL).set(func(s *server) { s.answer = answer })
				n.at(keysURL).set(func(s *server) { s.answer = answer })
				q := pool("q", []string{keysURL})
				c := newCache(t, n, jwks.Config{Logger: slog.New(slog.NewTextHandler(out, nil))}, tenant(), q)
				err := c.Preload(t.Context())
				synctest.Wait() // until the lines are written
				require.ErrorContains(t, err, "keys of the issuer are not available")
				require.NotContains(t, err.Error(), secret)
				require.Len(t, told(out), 2)
				require.NotContains(t, out.String(), secret)
				for _, st := range c.Status() {
					require.NotEmpty(t, st.Failure)
					require.NotContains(t, st.Failure, secret)
				}
			})
		})
	}
}
