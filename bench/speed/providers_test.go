package speed_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/bench/speed"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

const manyProviders = 10_000

// estate is many providers with two regions each. A region has an issuer, a URL and two keys of its own: the names differ,
// the key pairs are those of the RS256 site.
type estate struct {
	site   *site
	trust  []verifier.Policy
	client *http.Client
	keys   jwks.Source // of the last Validator that was opened
}

func regionNames() []string { return []string{"us-east-1", "us-west-2"} }

// theEstate is as large as it gets; smaller ones are its beginning.
func theEstate(tb testing.TB, size int) *estate {
	tb.Helper()
	s := theSite(tb, "RS256")
	e := &estate{site: s, client: &http.Client{Transport: inMemory(regionDocument(tb, s))}}
	for i := range size {
		a := issuer.Provider{ID: fmt.Sprintf("tenant-%05d", i)}
		for _, region := range regionNames() {
			iss := issOf(i, region)
			a.Regions = append(a.Regions, issuer.Region{
				Name: region, Issuers: []string{iss}, JWKSURLs: []string{iss + "/.well-known/jwks.json"},
			})
		}
		e.trust = append(e.trust, verifier.Policy{Provider: a, Audience: verifier.CognitoAccess(clientID)})
	}
	return e
}

func issOf(provider int, region string) string {
	return fmt.Sprintf("https://cognito-idp.%s.amazonaws.com/%s_Tenant%05d", region, region, provider)
}

// kidOf names a key of an issuer.
func kidOf(s *site, key int, iss string) string {
	return s.keys[key].kid[:20] + "-" + iss[len(iss)-22:]
}

// regionDocument returns the key set that a URL publishes.
func regionDocument(tb testing.TB, s *site) func(url string) []byte {
	tb.Helper()
	const first, second = "FIRST-KID", "SECOND-KID"
	template := string(marshal(tb, map[string]any{"keys": []any{s.keys[0].jwk(tb, first), s.keys[1].jwk(tb, second)}}))
	return func(url string) []byte {
		iss := strings.TrimSuffix(url, "/.well-known/jwks.json")
		return []byte(strings.NewReplacer(first, kidOf(s, 0, iss), second, kidOf(s, 1, iss)).Replace(template))
	}
}

// issue makes a token of a region of a provider.
func (e *estate) issue(tb testing.TB, provider int, region string) string {
	tb.Helper()
	iss := issOf(provider, region)
	c := claims(e.site, user)
	c["iss"] = iss
	return e.site.keys[0].sign(tb, map[string]any{"kid": kidOf(e.site, 0, iss), "alg": "RS256"}, marshal(tb, c))
}

// open returns a Validator that remembers no tokens and has fetched nothing yet.
func (e *estate) open(tb testing.TB) *regionjwt.Validator {
	tb.Helper()
	v, err := regionjwt.New(regionjwt.Config{
		Policies: e.trust, Keys: jwks.Config{HTTPClient: e.client}, Tokens: verifier.Config{CacheSize: -1},
		WrapKeys: func(s jwks.Source) jwks.Source { e.keys = s; return s },
	})
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

func (e *estate) openWarm(tb testing.TB) *regionjwt.Validator {
	tb.Helper()
	v := e.open(tb)
	if err := v.Preload(context.Background()); err != nil {
		tb.Fatal(err)
	}
	return v
}

// use asks for a key of every issuer, as the first token of each does.
func (e *estate) use(tb testing.TB, v *regionjwt.Validator) *regionjwt.Validator {
	tb.Helper()
	for i := range e.trust {
		for _, region := range regionNames() {
			iss := issOf(i, region)
			q := jwks.Query{Issuer: iss, KeyID: kidOf(e.site, 0, iss), Algorithm: "RS256"}
			if r := e.keys.Lookup(context.Background(), q); len(r.Keys) == 0 {
				tb.Fatal(r.Err)
			}
		}
	}
	return v
}

// memory returns how many bytes each provider of a Validator takes.
func (e *estate) memory(tb testing.TB, open func() *regionjwt.Validator) float64 {
	tb.Helper()
	e.keys = nil // of the one before, which does not count
	_, grown := speed.HeapGrowth(open)
	return grown / float64(len(e.trust))
}

// verifying returns a function that verifies tokens of random providers in turn.
func (e *estate) verifying(tb testing.TB, v *regionjwt.Validator, different int) func() {
	tb.Helper()
	tokens := make([]string, different)
	for i := range tokens {
		tokens[i] = e.issue(tb, rand.IntN(len(e.trust)), regionNames()[i%2])
	}
	verify := accepting(tb, func(ctx context.Context, token string) error {
		_, err := v.Verify(ctx, token)
		return err
	}, tokens)
	for range tokens {
		verify() // what an issuer's first token costs does not count
	}
	return verify
}

// BenchmarkProviders verifies tokens of as many providers on the slow path, against the same with one provider.
func BenchmarkProviders(b *testing.B) {
	one := sync.OnceValue(func() func() {
		e := theEstate(b, 1)
		return e.verifying(b, e.openWarm(b), 2000)
	})
	for _, size := range []int{1, 100, manyProviders} {
		b.Run(fmt.Sprintf("lookup/%d", size), func(b *testing.B) {
			e := theEstate(b, size)
			r := pair(b, one(), e.verifying(b, e.openWarm(b), 2000))
			b.ReportMetric(r.Ratio, "x-one")
		})
	}
	for _, size := range []int{1, 100, manyProviders} {
		b.Run(fmt.Sprintf("memory/%d", size), func(b *testing.B) {
			e := theEstate(b, size)
			e.openWarm(b) // the runtime keeps what it needs for the goroutines
			cold, warm, used := 0.0, 0.0, 0.0
			for b.Loop() {
				cold = e.memory(b, func() *regionjwt.Validator { return e.open(b) })
				warm = e.memory(b, func() *regionjwt.Validator { return e.openWarm(b) })
				used = e.memory(b, func() *regionjwt.Validator { return e.use(b, e.openWarm(b)) })
			}
			b.ReportMetric(cold, "B/provider-cold")
			b.ReportMetric(warm, "B/provider-warm")
			b.ReportMetric(used, "B/provider-used")
			b.ReportMetric(0, "ns/op")
		})
	}
	for _, size := range []int{1, 100, manyProviders} {
		b.Run(fmt.Sprintf("new/%d", size), func(b *testing.B) {
			e := theEstate(b, size)
			var times []float64
			for b.Loop() {
				began := time.Now()
				v := e.open(b)
				times = append(times, float64(time.Since(began)))
				runtime.KeepAlive(v)
			}
			b.ReportMetric(speed.Median(times)/1e6, "ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}
