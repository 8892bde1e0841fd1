package failover_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/issuer"
)

// oneKey is a key set with a usable key: RFC 7517, appendix A.1.
const oneKey = `{"keys":[{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",` +
	`"y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","kid":"1"}]}`

// replies answers requests of a probe.
type replies func(*http.Request) (*http.Response, error)

func (r replies) RoundTrip(req *http.Request) (*http.Response, error) { return r(req) }

// An answer below 500 is no failure of the region to the built-in probe, nor is 503 with Retry-After.
func TestTheBuiltInProbeTellsFailuresFromAnswers(t *testing.T) {
	t.Parallel()
	region := providerOf(east).Regions[0]
	probe := func(status int, retryAfter string, err error) error {
		p := failover.BuiltInProbe(&http.Client{Transport: replies(func(req *http.Request) (*http.Response, error) {
			if err != nil {
				return nil, err
			}
			h := http.Header{}
			if retryAfter != "" {
				h.Set("Retry-After", retryAfter)
			}
			return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(oneKey)), Request: req}, nil
		})})
		return p(t.Context(), region)
	}
	require.NoError(t, probe(200, "", nil))
	for _, status := range []int{201, 204, 302, 400, 401, 403, 404, 408, 418, 429, 499} {
		require.ErrorIs(t, probe(status, "", nil), failover.ErrInconclusive, "status %d", status)
	}
	for _, status := range []int{500, 502, 503, 504, 599} {
		err := probe(status, "", nil)
		require.NotErrorIs(t, err, failover.ErrInconclusive)
		require.EqualError(t, err, fmt.Sprintf("failover: probe: status %d", status))
		require.ErrorIs(t, probe(status, "30", nil), failover.ErrInconclusive, "%d with Retry-After", status)
		require.NotErrorIs(t, probe(status, "soon", nil), failover.ErrInconclusive)
	}
	err := probe(0, "", errors.New("s3cret"))
	require.EqualError(t, err, "failover: probe: network")
	require.ErrorIs(t, failover.BuiltInProbe(nil)(t.Context(), issuer.Region{}), failover.ErrInconclusive)
	gone, leave := context.WithCancel(t.Context())
	leave()
	require.ErrorIs(t, failover.BuiltInProbe(nil)(gone, region), context.Canceled)
}

// site answers requests by their URLs; what it does not have is 404, and "hang" does not answer.
type site map[string]string

func (s site) RoundTrip(req *http.Request) (*http.Response, error) {
	body, ok := s[req.URL.String()]
	if body == "hang" {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	status := http.StatusOK
	if !ok {
		status = http.StatusNotFound
	}
	return &http.Response{
		StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: req,
	}, nil
}

// The built-in probe demands a usable key of one of the URLs of a region.
func TestTheBuiltInProbeDemandsAUsableKey(t *testing.T) {
	t.Parallel()
	const (
		iss  = "https://idp.example.com/realm"
		oidc = iss + "/.well-known/openid-configuration"
		rfc  = "https://idp.example.com/.well-known/oauth-authorization-server/realm"
		keys = "https://keys.example.com/jwks"
		more = "https://more.example.com/jwks"
		meta = `{"issuer":"` + iss + `","jwks_uri":"` + keys + `"}`
	)
	discovered := issuer.Region{Name: "r", Issuers: []string{iss}}
	listed := issuer.Region{Name: "r", Issuers: []string{iss}, JWKSURLs: []string{keys, more}}
	proven, inconclusive := error(nil), failover.ErrInconclusive
	for name, c := range map[string]struct {
		region issuer.Region
		site   site
		want   error
	}{
		"a usable key":          {listed, site{keys: oneKey}, proven},
		"no keys":               {listed, site{keys: `{"keys":[]}`, more: `{"keys":[]}`}, inconclusive},
		"an unusable key":       {listed, site{keys: `{"keys":[{"kty":"oct","k":"eA"}]}`}, inconclusive},
		"HTML":                  {listed, site{keys: "<html>"}, inconclusive},
		"too large":             {listed, site{keys: oneKey + strings.Repeat(" ", 1<<20)}, inconclusive},
		"the second URL":        {listed, site{keys: `{"keys":[]}`, more: oneKey}, proven},
		"the first URL hangs":   {listed, site{keys: "hang", more: oneKey}, proven},
		"discovery":             {discovered, site{oidc: meta, keys: oneKey}, proven},
		"RFC 8414":              {discovered, site{rfc: meta, keys: oneKey}, proven},
		"discovery, no keys":    {discovered, site{oidc: meta, keys: `{"keys":[]}`}, inconclusive},
		"discovery of nothing":  {discovered, site{oidc: `{"issuer":"x"}`}, inconclusive},
		"no metadata":           {discovered, site{}, inconclusive},
		"a discovery URL":       {issuer.Region{Issuers: []string{iss}, DiscoveryURL: more}, site{more: meta, keys: oneKey}, proven},
		"a discovery URL, lost": {issuer.Region{Issuers: []string{iss}, DiscoveryURL: more}, site{rfc: meta, keys: oneKey}, inconclusive},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			err := failover.BuiltInProbe(&http.Client{Transport: c.site})(ctx, c.region)
			require.ErrorIs(t, err, c.want, name)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		began := time.Now()
		err := failover.BuiltInProbe(&http.Client{Transport: site{keys: "hang", more: "hang"}})(ctx, listed)
		require.EqualError(t, err, "failover: probe: timeout")
		require.Equal(t, 2*time.Second, time.Since(began))
		// What the metadata names is not asked for on this machine or its link.
		local := site{oidc: `{"jwks_uri":"http://169.254.169.254/keys"}`, "http://169.254.169.254/keys": oneKey}
		require.Error(t, failover.BuiltInProbe(&http.Client{Transport: local})(ctx, discovered))
	})
}

// With ProbeInterval alone, Run probes with the provider's client.
func TestProbeIntervalTurnsOnTheBuiltInProbe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := providerOf(east, west)
		p.HTTPClient = &http.Client{Transport: site{"https://" + east + ".example.com/jwks": oneKey}}
		c := controllerOf(t, p, failover.Config{ProbeInterval: time.Minute})
		start(t, c)
		time.Sleep(10 * time.Minute)
		require.Equal(t, "healthy", c.Status().Regions[0].Health)
		require.Contains(t, c.Status().Regions[0].Reports[0], "probe: healthy")
		require.Equal(t, "unknown", c.Status().Regions[1].Health, "status 404 proves nothing")
	})
}
