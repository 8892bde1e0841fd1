package verifier_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
)

// keyOf returns the first key of that name.
func keyOf(t testing.TB, source jwks.Source, iss, kid string) *jwks.Key {
	t.Helper()
	r := source.Lookup(t.Context(), jwks.Query{Issuer: iss, KeyID: kid})
	require.NotEmpty(t, r.Keys, "%v", r.Err)
	return r.Keys[0]
}

// published returns the members of the first key that a region publishes.
func published(t testing.TB, w *fakeissuer.Server, region string) map[string]any {
	t.Helper()
	for _, r := range w.Provider().Regions {
		if r.Name != region {
			continue
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.JWKSURLs[0], http.NoBody)
		require.NoError(t, err)
		resp, err := w.Client().Do(req)
		require.NoError(t, err)
		var set struct{ Keys []map[string]any }
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&set))
		require.NoError(t, resp.Body.Close())
		return set.Keys[0]
	}
	t.Fatalf("no region %q", region)
	return nil
}

// keyWith returns a key of these members, changed, of every region. A nil value takes a member out.
func keyWith(t testing.TB, members, change map[string]any) *jwks.Key {
	t.Helper()
	members = maps.Clone(members)
	maps.Copy(members, change)
	maps.DeleteFunc(members, func(_ string, v any) bool { return v == nil })
	doc, err := json.Marshal(map[string]any{"keys": []any{members}})
	require.NoError(t, err)
	source, err := jwks.NewStatic(map[string][]byte{"iss": doc})
	require.NoError(t, err)
	r := source.Lookup(t.Context(), jwks.Query{Issuer: "iss", KeyID: members["kid"].(string)})
	require.Len(t, r.Keys, 1)
	return r.Keys[0]
}

// keyIn returns the key with which east signs, listed by these regions.
func keyIn(t testing.TB, w *fakeissuer.Server, regions ...string) *jwks.Key {
	t.Helper()
	p := issuer.Provider{ID: "elsewhere"}
	iss := w.Provider().Regions[0].Issuers
	for _, name := range regions {
		p.Regions = append(p.Regions, issuer.Region{Name: name, Issuers: iss, JWKSURLs: w.Provider().Regions[0].JWKSURLs})
	}
	cache, err := jwks.New([]issuer.Provider{p}, jwks.Config{HTTPClient: w.Client()})
	require.NoError(t, err)
	return keyOf(t, cache, iss[0], w.KeyID(east))
}
