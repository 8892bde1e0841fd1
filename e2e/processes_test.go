package e2e_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/verifier"
)

const (
	atOnce = time.Second     // for an answer that waits for nobody; a busy machine is allowed for
	bound  = 4 * time.Second // for one that waits for keys in vain: 3 s by default
)

// service is a validator and a real HTTP server that it protects.
type service struct {
	*regionjwt.Validator
	url string
}

// serve starts a service that knows no key yet and finds the keys of both regions by OpenID discovery.
func serve(t *testing.T, eastern, western *process) *service {
	t.Helper()
	v := validator(t, nil, verifier.Policy{
		Provider: issuer.Provider{ID: "tenant", Regions: []issuer.Region{
			{Name: east, Issuers: []string{eastern.issuer}}, {Name: west, Issuers: []string{western.issuer}},
		}},
		Audience: verifier.Audience(api),
	})
	mux := http.NewServeMux()
	orders := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Region", verifier.FromContext(r.Context()).Region())
	})
	mux.Handle("GET /orders", httpauth.Require(v, middleware.Scopes(scope))(orders))
	mux.Handle("POST /orders", httpauth.Require(v, middleware.Scopes("orders/write"))(orders))
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return &service{v, s.URL}
}

// get presents a token over HTTP and demands a status, within a time.
func (s *service) get(t *testing.T, raw string, status int, within time.Duration) http.Header {
	t.Helper()
	began := time.Now()
	got, header := s.request(t, http.MethodGet, raw)
	require.Equal(t, status, got, header)
	require.Less(t, time.Since(began), within)
	return header
}

func (s *service) request(t *testing.T, method, raw string) (int, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+"/orders", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+raw)
	resp, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode, resp.Header
}

// unavailable demands a 503 that tells clients to keep their tokens and come back.
func (s *service) unavailable(t *testing.T, raw string, within time.Duration) {
	t.Helper()
	header := s.get(t, raw, http.StatusServiceUnavailable, within)
	seconds, err := strconv.Atoi(header.Get("Retry-After"))
	require.NoError(t, err)
	require.Positive(t, seconds)
	require.Empty(t, header.Get("WWW-Authenticate"))
}

func TestProcesses(t *testing.T) {
	t.Parallel()
	eastern, western := start(t, "RS256", ""), start(t, "ES256", "")
	s := serve(t, eastern, western)
	for region, p := range map[string]*process{east: eastern, west: western} {
		raw := p.token(t)
		tok := accepted(t, s.Validator, raw)
		require.Equal(t, "tenant", tok.Provider())
		require.Equal(t, region, tok.Region())
		require.Equal(t, p.issuer, tok.Issuer())
		require.Equal(t, p.kid, tok.Key().ID())
		require.Equal(t, "machine", tok.ClientID())
		require.Equal(t, region, s.get(t, raw, http.StatusOK, atOnce).Get("Region"))
		status, _ := s.request(t, http.MethodPost, raw)
		require.Equal(t, http.StatusForbidden, status, "it misses the scope")
		s.get(t, raw+"A", http.StatusUnauthorized, atOnce)
	}
}

func TestProcessKilled(t *testing.T) {
	t.Parallel()
	eastern, western := start(t, "RS256", ""), start(t, "ES256", "")
	warm := serve(t, eastern, western)
	dead, unseen, alive := eastern.token(t), eastern.token(t), western.token(t)
	warm.get(t, dead, http.StatusOK, atOnce)
	eastern.kill()
	for _, raw := range []string{dead, unseen, alive, western.token(t)} {
		warm.get(t, raw, http.StatusOK, atOnce)
	}
	cold := serve(t, eastern, western)
	cold.get(t, alive, http.StatusOK, atOnce)
	cold.unavailable(t, dead, atOnce)

	// It comes back at the same address with a new key, and has forgotten the old one.
	again := start(t, "RS256", eastern.port(t))
	require.Equal(t, eastern.issuer, again.issuer)
	warm.get(t, again.token(t), http.StatusOK, atOnce)
	recovers(t, cold.Validator, again.token(t))
	cold.get(t, dead, http.StatusUnauthorized, atOnce) // now it is certain: the region has said so
}

func TestProcessHangs(t *testing.T) {
	t.Parallel()
	eastern, western := start(t, "RS256", ""), start(t, "ES256", "")
	warm := serve(t, eastern, western)
	hung, unseen, alive := eastern.token(t), eastern.token(t), western.token(t)
	warm.get(t, hung, http.StatusOK, atOnce)
	warm.get(t, alive, http.StatusOK, atOnce)
	eastern.freeze(t)
	for _, raw := range []string{hung, unseen, alive, western.token(t)} {
		warm.get(t, raw, http.StatusOK, atOnce)
	}
	cold := serve(t, eastern, western)
	waited := make(chan error, 1)
	go func() {
		_, err := cold.Verify(t.Context(), hung)
		waited <- err
	}()
	cold.get(t, alive, http.StatusOK, atOnce)
	require.Empty(t, waited, "the other one still waits")
	require.True(t, isUnavailable(<-waited))
	cold.unavailable(t, unseen, bound)
	cold.get(t, western.token(t), http.StatusOK, atOnce)
	eastern.thaw(t)
	recovers(t, cold.Validator, hung)
	cold.get(t, unseen, http.StatusOK, atOnce)
	warm.get(t, eastern.token(t), http.StatusOK, atOnce)
}

func TestProcessRotates(t *testing.T) {
	t.Parallel()
	eastern, western := start(t, "RS256", ""), start(t, "ES256", "")
	s := serve(t, eastern, western)
	for _, p := range []*process{eastern, western} {
		before := p.token(t)
		s.get(t, before, http.StatusOK, atOnce)
		for range 2 {
			p.rotate(t)
			raw := p.token(t)
			s.get(t, raw, http.StatusOK, atOnce) // the first token of a new key
			require.Equal(t, p.kid, accepted(t, s.Validator, raw).Key().ID())
		}
		s.get(t, before, http.StatusOK, atOnce)
	}
}

// A region signs a token that names the other's issuer. It never verifies, whichever kid it names, and whether or not the
// other region can be asked.
func TestForgedIssuer(t *testing.T) {
	t.Parallel()
	eastern, western := start(t, "RS256", ""), start(t, "RS256", "")
	claims := payload(t, eastern.token(t))
	require.Equal(t, eastern.issuer, claims["iss"])
	s := serve(t, eastern, western)
	own := eastern.sign(t, claims, eastern.kid)
	require.Equal(t, east, accepted(t, s.Validator, own).Region(), "what it signs of itself is good")

	claims["iss"] = western.issuer
	byOwnKid := eastern.sign(t, claims, eastern.kid)
	byTheirKid := eastern.sign(t, claims, western.kid)
	refused(t, s.Validator, byTheirKid, verifier.ReasonBadSignature)
	refused(t, s.Validator, byOwnKid, verifier.ReasonUnknownKey)
	accepted(t, s.Validator, western.token(t))
	s.get(t, byTheirKid, http.StatusUnauthorized, atOnce)
	s.get(t, byOwnKid, http.StatusUnauthorized, atOnce)

	western.kill()
	refused(t, s.Validator, byTheirKid, verifier.ReasonBadSignature)
	cold := serve(t, eastern, western)
	accepted(t, cold.Validator, own)
	for _, raw := range []string{byOwnKid, byTheirKid} {
		refused(t, cold.Validator, raw, verifier.ReasonKeysUnavailable)
	}
	cold.unavailable(t, byTheirKid, bound) // waits for the next attempt, a second after the last one; more would get 429
}

// payload decodes the claims of a token.
func payload(t *testing.T, raw string) (claims map[string]any) {
	t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(raw, ".")[1])
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(payload, &claims))
	return claims
}
