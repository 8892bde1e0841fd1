package httpauth_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/verifier"
)

// tokenPrefix is the start of the subprotocol that carries a token.
const tokenPrefix = "bearer."

// fromSubprotocol returns the token that a browser sends with a WebSocket, for which its scripts can set no header: new
// WebSocket(url, ["orders.v1", "bearer." + token]). docs/adapters.md shows it.
func fromSubprotocol(r *http.Request) (string, error) {
	found := ""
	for _, line := range r.Header["Sec-Websocket-Protocol"] {
		for name := range strings.SplitSeq(line, ",") {
			token, ok := strings.CutPrefix(strings.TrimSpace(name), tokenPrefix)
			switch {
			case ok && (token == "" || found != ""):
				return "", &verifier.Error{Reason: verifier.ReasonBadRequest}
			case ok:
				found = token
			}
		}
	}
	return found, nil
}

// A token in the list of subprotocols is one like any other: several are a bad request, and so is one beside a header.
func TestTokenOfAWebSocket(t *testing.T) {
	t.Parallel()
	v, issue := bound(t)
	token, other := issue(nil), issue(nil)
	auth, err := httpauth.New(v, httpauth.Config{Extractors: []extractor{httpauth.FromAuthorization, fromSubprotocol}})
	require.NoError(t, err)
	h := auth.Optional()(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if verifier.FromContext(r.Context()) == nil {
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	const header = "Sec-Websocket-Protocol"
	for name, c := range map[string]struct {
		header http.Header
		want   int
	}{
		"nothing":                 {http.Header{}, 204},
		"only a protocol":         {http.Header{header: {"orders.v1"}}, 204},
		"a token":                 {http.Header{header: {"orders.v1, bearer." + token}}, 200},
		"a token, two lines":      {http.Header{header: {"orders.v1", "bearer." + token}}, 200},
		"twice the same":          {http.Header{header: {"bearer." + token + ", bearer." + token}}, 400},
		"two":                     {http.Header{header: {"bearer." + token, "bearer." + other}}, 400},
		"two, the first bad":      {http.Header{header: {"bearer.x, bearer." + token}}, 400},
		"an empty one":            {http.Header{header: {"bearer."}}, 400},
		"an empty one and a good": {http.Header{header: {"bearer.,bearer." + token}}, 400},
		"beside a header":         {http.Header{header: {"bearer." + token}, "Authorization": {"Bearer " + token}}, 400},
		"not a token":             {http.Header{header: {"bearer.a b"}}, 400},
		"a bad one":               {http.Header{header: {"bearer." + fakeissuer.Tamper(token)}}, 401},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header = c.header
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, c.want, w.Code, name)
	}
}

// A handler reads claims in a type of its own; a name in another case fills nothing.
func TestTypedClaims(t *testing.T) {
	t.Parallel()
	type typed struct {
		Subject string `json:"sub"`
		Actor   struct {
			Subject  string `json:"sub"`
			ClientID string `json:"client_id"`
		} `json:"act"`
	}
	w := fakeissuer.New(t, fakeissuer.Config{Algorithm: "ES256", Layout: fakeissuer.IssuerPerRegion})
	keys, err := jwks.New([]issuer.Provider{w.Provider()}, jwks.Config{HTTPClient: w.Client()})
	require.NoError(t, err)
	v, err := verifier.New([]verifier.Policy{
		{Provider: w.Provider(), Audience: verifier.Audience(fakeissuer.Audience)},
	}, keys, verifier.Config{})
	require.NoError(t, err)
	h := httpauth.Require(v)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := verifier.ClaimsOf[typed](verifier.FromContext(r.Context()))
		_, _ = fmt.Fprintf(w, "%s by %s of %s, %v", c.Subject, c.Actor.Subject, c.Actor.ClientID, err)
	}))
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+w.Issue("us-east-1", fakeissuer.Claims{Subject: "alice", Set: map[string]any{
		"act": map[string]any{"sub": "agent", "client_id": "app"}, "SUB": "mallory", "Act": map[string]any{"sub": "mallory"},
	}}))
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, r)
	require.Equal(t, "alice by agent of app, <nil>", answer.Body.String())
}
