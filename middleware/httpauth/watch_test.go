package httpauth_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/verifier"
)

// A response of server-sent events, over a real connection, ends with its token.
func TestEventsEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		expires time.Duration
		revoke  bool
		want    verifier.Reason
	}{
		"expiry":     {1500 * time.Millisecond, false, verifier.ReasonExpired},
		"revocation": {time.Hour, true, verifier.ReasonRevoked},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			world := fakeissuer.New(t, fakeissuer.Config{Algorithm: "ES256"})
			keys, err := jwks.New([]issuer.Provider{world.Provider()}, jwks.Config{HTTPClient: world.Client()})
			require.NoError(t, err)
			rules, err := revocation.New(revocation.Config{})
			require.NoError(t, err)
			v, err := verifier.New([]verifier.Policy{{
				Provider: world.Provider(), Audience: verifier.CognitoAccess(fakeissuer.ClientID), Algorithms: []string{"ES256"},
			}}, keys, verifier.Config{Revocation: rules, Leeway: -1})
			require.NoError(t, err)
			cause := make(chan error, 1)
			server := httptest.NewServer(httpauth.Require(v)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ctx, stop := middleware.Watch(r.Context(), v, verifier.FromContext(r.Context()), 0)
				defer stop()
				_, hasDeadline := ctx.Deadline()
				_, _ = fmt.Fprintf(w, "data: %v\n\n", hasDeadline)
				_ = http.NewResponseController(w).Flush()
				<-ctx.Done()
				cause <- context.Cause(ctx)
			})))
			t.Cleanup(server.Close)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
			require.NoError(t, err)
			token := world.Issue("us-east-1", fakeissuer.Claims{ExpiresIn: c.expires})
			r.Header.Set("Authorization", "Bearer "+token)
			resp, err := server.Client().Do(r)
			require.NoError(t, err)
			defer func() { _ = resp.Body.Close() }()
			events := bufio.NewScanner(resp.Body)
			require.True(t, events.Scan())
			require.Equal(t, "data: false", events.Text(), "no deadline that would be passed on")
			due := time.Now()
			if c.revoke {
				_, err := rules.Add(t.Context(), revocation.Rule{Provider: "*", Subject: fakeissuer.Subject})
				require.NoError(t, err)
			} else {
				tok, err := v.Verify(t.Context(), token)
				require.NoError(t, err)
				due = tok.ValidUntil()
			}
			for events.Scan() {
				require.Empty(t, events.Text())
			}
			require.NoError(t, events.Err())
			require.WithinDuration(t, due, time.Now(), 100*time.Millisecond)
			var e *verifier.Error
			require.ErrorAs(t, <-cause, &e)
			require.Equal(t, c.want, e.Reason)
		})
	}
}
