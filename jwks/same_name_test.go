package jwks_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/jose/josetest"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
)

type answering func(*http.Request) (*http.Response, error)

func (f answering) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Keys that share a name are told apart after every answer, also of another region: none gets lost, and none of another name
// takes its place.
func TestKeysOfOneNameAfterARefresh(t *testing.T) {
	t.Parallel()
	var keys []map[string]any
	for _, kid := range []string{"a", "b", "b"} {
		s, err := josetest.NewSigner("ES256")
		require.NoError(t, err)
		k, err := s.JWK()
		require.NoError(t, err)
		k["kid"] = kid
		keys = append(keys, k)
	}
	doc, err := json.Marshal(map[string]any{"keys": keys})
	require.NoError(t, err)
	synctest.Test(t, func(t *testing.T) {
		client := &http.Client{Transport: answering(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == "/slow" {
				time.Sleep(time.Second)
			}
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(doc))), Request: r}, nil
		})}
		cache, err := jwks.New([]issuer.Provider{{ID: "p", Regions: []issuer.Region{
			{Name: "slow", Issuers: []string{"https://idp.example"}, JWKSURLs: []string{"https://keys.example/slow"}},
			{Name: "fast", Issuers: []string{"https://idp.example"}, JWKSURLs: []string{"https://keys.example/fast"}},
		}}}, jwks.Config{HTTPClient: client})
		require.NoError(t, err)
		for range 3 {
			r := cache.Lookup(t.Context(), jwks.Query{Issuer: "https://idp.example", KeyID: "b", Algorithm: "ES256"})
			require.Len(t, r.Keys, 2)
			require.NotEqual(t, r.Keys[0].Thumbprint(), r.Keys[1].Thumbprint())
			for _, k := range r.Keys {
				require.Equal(t, "b", k.ID())
			}
			time.Sleep(10 * time.Second) // the other region has answered, too
		}
	})
}
