package verifier_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/jose/josetest"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// realm is a random set of providers whose key IDs, keys and clients collide on purpose.
type realm struct {
	rand    *rand.Rand
	signers []*josetest.Signer
	trust   []verifier.Policy
	clients [][]string
	issuers []string
	docs    map[string][]byte         // by URL
	lists   map[string]map[string]int // by provider/region: kid to signer
}

var (
	kids    = []string{"k1", "k2", "k3"}
	clients = []string{"c1", "c2", "c3"}
)

func newRealm(t *testing.T, signers []*josetest.Signer, r *rand.Rand) *realm {
	t.Helper()
	m := &realm{rand: r, signers: signers, docs: map[string][]byte{}, lists: map[string]map[string]int{}}
	for a := range 2 + r.IntN(3) {
		id := fmt.Sprintf("a%d", a)
		pool := []string{"https://idp.example/" + id, "https://idp.example/" + id + "/x", "https://idp.example/" + id + "/y"}
		provider := issuer.Provider{ID: id}
		for g := range 1 + r.IntN(3) {
			region := issuer.Region{Name: fmt.Sprintf("r%d", g)}
			for _, i := range r.Perm(len(pool))[:1+r.IntN(2)] {
				region.Issuers = append(region.Issuers, pool[i])
				if !slices.Contains(m.issuers, pool[i]) {
					m.issuers = append(m.issuers, pool[i])
				}
			}
			url := fmt.Sprintf("https://keys.example/%s/%s", id, region.Name)
			region.JWKSURLs = []string{url}
			m.docs[url] = m.keySet(t, id+"/"+region.Name)
			provider.Regions = append(provider.Regions, region)
		}
		mine := []string{clients[r.IntN(len(clients))]}
		m.clients = append(m.clients, mine)
		m.trust = append(m.trust, verifier.Policy{
			Provider: provider, Audience: verifier.CognitoAccess(mine...), Algorithms: []string{"ES256"},
		})
	}
	return m
}

func (m *realm) keySet(t *testing.T, name string) []byte {
	t.Helper()
	m.lists[name] = map[string]int{}
	var keys []map[string]any
	for _, k := range m.rand.Perm(len(kids))[:1+m.rand.IntN(len(kids))] {
		n := m.rand.IntN(len(m.signers))
		jwk, err := m.signers[n].JWK()
		require.NoError(t, err)
		jwk["kid"] = kids[k]
		keys = append(keys, jwk)
		m.lists[name][kids[k]] = n
	}
	doc, err := json.Marshal(map[string]any{"keys": keys})
	require.NoError(t, err)
	return doc
}

func (m *realm) roundTrip(r *http.Request) (*http.Response, error) {
	doc := m.docs[r.URL.String()]
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(doc)), Request: r}, nil
}

// expect is the oracle: which regions may have issued the token, none if it must be refused.
func (m *realm) expect(iss, kid, client string, signer int) (provider string, regions []string) {
	for i, tr := range m.trust {
		for _, r := range tr.Provider.Regions {
			if !slices.Contains(r.Issuers, iss) {
				continue
			}
			provider = tr.Provider.ID
			n, listed := m.lists[tr.Provider.ID+"/"+r.Name][kid]
			if listed && n == signer && slices.Contains(m.clients[i], client) {
				regions = append(regions, r.Name)
			}
		}
	}
	return provider, regions
}

func TestAuthoritiesAreIsolated(t *testing.T) {
	t.Parallel()
	var signers []*josetest.Signer
	for range 3 {
		s, err := josetest.NewSigner("ES256")
		require.NoError(t, err)
		signers = append(signers, s)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	accepted, refused := 0, 0
	for n := range 60 {
		synctest.Test(t, func(t *testing.T) {
			m := newRealm(t, signers, rand.New(rand.NewPCG(seed, uint64(n))))
			var providers []issuer.Provider
			for _, tr := range m.trust {
				providers = append(providers, tr.Provider)
			}
			cache, err := jwks.New(providers, jwks.Config{HTTPClient: &http.Client{Transport: roundTripper(m.roundTrip)}})
			require.NoError(t, err)
			require.NoError(t, cache.Preload(t.Context()))
			v, err := verifier.New(m.trust, cache, verifier.Config{Revocation: inA0{}})
			require.NoError(t, err)
			for range 80 {
				if m.try(t, v) {
					accepted++
				} else {
					refused++
				}
			}
		})
	}
	require.Greater(t, accepted, 100)
	require.Greater(t, refused, 1000)
}

// inA0 revokes a subject of one provider.
type inA0 struct{}

func (inA0) Revoked(t *verifier.Token) (string, error) {
	if t.Provider() == "a0" && t.Subject() == "revoked" {
		return "rule", nil
	}
	return "", nil
}

func (inA0) Changed() <-chan struct{} { return nil }

// try presents one random token and compares the verdict with the oracle's.
func (m *realm) try(t *testing.T, v *verifier.Verifier) bool {
	t.Helper()
	iss := m.issuers[m.rand.IntN(len(m.issuers))]
	kid, client, signer := kids[m.rand.IntN(3)], clients[m.rand.IntN(3)], m.rand.IntN(len(m.signers))
	now := time.Now()
	subject := []string{"s", "t", "revoked"}[m.rand.IntN(3)]
	payload := fmt.Sprintf(`{"iss":%q,"exp":%d,"iat":%d,"sub":%q,"token_use":"access","client_id":%q}`,
		iss, now.Add(time.Hour).Unix(), now.Unix(), subject, client)
	raw, err := m.signers[signer].Sign(fmt.Appendf(nil, `{"alg":"ES256","kid":%q}`, kid), []byte(payload))
	require.NoError(t, err)
	provider, regions := m.expect(iss, kid, client, signer)
	tok, err := v.Verify(t.Context(), raw)
	what := strings.Join([]string{iss, kid, client, fmt.Sprint(signer)}, " ")
	if len(regions) > 0 && provider == "a0" && subject == "revoked" {
		require.Equal(t, "revoked", reasonOf(t, err), what)
		return false
	}
	if len(regions) == 0 {
		if !errors.Is(err, verifier.ErrRateLimited) { // so many unknown keys at once
			require.ErrorIs(t, err, verifier.ErrInvalid, what)
		}
		return false
	}
	require.NoError(t, err, what)
	require.Equal(t, provider, tok.Provider(), what)
	require.Equal(t, regions, tok.Regions(), what)
	return true
}
