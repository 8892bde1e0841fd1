package issuer_test

import (
	"bytes"
	"cmp"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/issuercheck"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
)

const (
	poolID = "us-east-1_AbCdEf123"
	oe     = "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_AbCdEf123"
	ow     = "https://cognito-idp.us-west-2.amazonaws.com/us-east-1_AbCdEf123"
	ue     = "https://issuer-cognito-idp.us-east-1.amazonaws.com/us-east-1_AbCdEf123"
	keys   = "/.well-known/jwks.json"
)

func TestCognitoMapping(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mode               issuer.CognitoMode
		primary, secondary issuer.Region
	}{
		{
			issuer.CognitoOriginal,
			issuer.Region{Issuers: []string{oe}, JWKSURLs: []string{oe + keys}},
			issuer.Region{Issuers: []string{ow, oe}, JWKSURLs: []string{ow + keys}, OptionalJWKSURLs: []string{ow + keys}},
		},
		{
			issuer.CognitoUpdated,
			issuer.Region{Issuers: []string{ue}, JWKSURLs: []string{ue + keys, oe + keys}, OptionalJWKSURLs: []string{ue + keys}},
			issuer.Region{Issuers: []string{ue}, JWKSURLs: []string{ow + keys, ue + keys}, OptionalJWKSURLs: []string{ow + keys, ue + keys}},
		},
		{
			issuer.CognitoAny,
			issuer.Region{Issuers: []string{oe, ue}, JWKSURLs: []string{ue + keys, oe + keys}, OptionalJWKSURLs: []string{ue + keys}},
			issuer.Region{
				Issuers: []string{ow, oe, ue}, JWKSURLs: []string{ow + keys, ue + keys}, OptionalJWKSURLs: []string{ow + keys, ue + keys},
			},
		},
	} {
		t.Run(cmp.Or(string(c.mode), "any"), func(t *testing.T) {
			t.Parallel()
			c.primary.Name, c.secondary.Name = "us-east-1", "us-west-2"
			got := issuer.UserPool{ID: poolID, Replicas: []string{"us-west-2"}, Mode: c.mode}.Provider()
			require.NoError(t, issuercheck.Validate(got))
			require.Equal(t, issuer.Provider{ID: poolID, Regions: []issuer.Region{c.primary, c.secondary}}, got)
			for _, r := range got.Regions {
				require.NotContains(t, strings.Join(append(r.Issuers, r.JWKSURLs...), " "), "issuer-cognito-idp.us-west-2")
			}
		})
	}
}

func TestCognitoPartitions(t *testing.T) {
	t.Parallel()
	for region, want := range map[string]string{
		"us-east-1": "amazonaws.com", "ap-southeast-2": "amazonaws.com", "mx-central-1": "amazonaws.com",
		"il-central-1": "amazonaws.com", "us-gov-west-1": "amazonaws.com", "cn-north-1": "amazonaws.com.cn",
		"eusc-de-east-1": "amazonaws.eu", "us-iso-east-1": "c2s.ic.gov", "us-isob-east-1": "sc2s.sgov.gov",
		"eu-isoe-west-1": "cloud.adc-e.uk", "us-isof-south-1": "csp.hci.ic.gov",
	} {
		t.Run(region, func(t *testing.T) {
			t.Parallel()
			id := region + "_Pool1"
			pool := issuer.Cognito(id)
			require.NoError(t, issuercheck.Validate(pool))
			require.Empty(t, issuercheck.UnknownRegions(pool))
			require.Equal(t, "https://cognito-idp."+region+"."+want+"/"+id, pool.Regions[0].Issuers[0])
			known := want == "amazonaws.com" && !strings.HasPrefix(region, "us-gov-")
			require.Equal(t, known, len(pool.Regions[0].Issuers) == 2, "nothing is guessed")
			err := issuercheck.Validate(issuer.UserPool{ID: id, Mode: issuer.CognitoUpdated}.Provider())
			if known {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, "use CognitoOriginal", "the host of CognitoUpdated is known in partition aws only")
			}
		})
	}
}

func TestConstructorsReportProblemsOfUserPools(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pool issuer.UserPool
		want string
	}{
		"no ID":                    {issuer.UserPool{}, "ID"},
		"ID without a region":      {issuer.UserPool{ID: "AbCdEf123"}, "ID"},
		"ID that leaves the path":  {issuer.UserPool{ID: "us-east-1_../evil"}, "ID"},
		"ID with a slash":          {issuer.UserPool{ID: "us-east-1_a/b"}, "ID"},
		"ID with a host":           {issuer.UserPool{ID: "evil.example/us-east-1_a"}, "ID"},
		"ID with a query":          {issuer.UserPool{ID: "us-east-1_a?x=y"}, "ID"},
		"ID with a newline":        {issuer.UserPool{ID: "us-east-1_a\n"}, "ID"},
		"ID in upper case":         {issuer.UserPool{ID: "US-EAST-1_a"}, "ID"},
		"ID too long":              {issuer.UserPool{ID: "us-east-1_" + strings.Repeat("a", 46)}, "ID"},
		"replica with a host":      {issuer.UserPool{ID: poolID, Replicas: []string{"evil.example/"}}, "not an AWS Region"},
		"replica with credentials": {issuer.UserPool{ID: poolID, Replicas: []string{"x@evil"}}, "not an AWS Region"},
		"empty replica":            {issuer.UserPool{ID: poolID, Replicas: []string{""}}, "not an AWS Region"},
		"replica is the primary":   {issuer.UserPool{ID: poolID, Replicas: []string{"us-east-1"}}, "primary"},
		"replica twice":            {issuer.UserPool{ID: poolID, Replicas: []string{"us-west-2", "us-west-2"}}, "twice"},
		"replica elsewhere":        {issuer.UserPool{ID: poolID, Replicas: []string{"cn-north-1"}}, "partition"},
		"replica in us-gov":        {issuer.UserPool{ID: poolID, Replicas: []string{"us-gov-west-1"}}, "partition"},
		"unknown partition":        {issuer.UserPool{ID: "us-isox-east-1_a"}, "list the regions with their URLs"},
		"unknown mode":             {issuer.UserPool{ID: poolID, Mode: "original"}, "use CognitoAny, CognitoOriginal or CognitoUpdated"},
		"domain with a path":       {issuer.UserPool{ID: poolID, Domain: "a/b"}, "Domain"},
		"endpoint is no URL": {issuer.UserPool{ID: poolID, Endpoint: func(string, issuer.CognitoMode) string {
			return "vpce-1"
		}}, "JWKS URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			provider := c.pool.Provider()
			require.ErrorContains(t, issuercheck.Validate(provider), c.want)
			_, err := jwks.New([]issuer.Provider{provider}, jwks.Config{})
			require.ErrorContains(t, err, c.want)
		})
	}
	err := issuercheck.Validate(issuer.UserPool{ID: "pool", Replicas: []string{"x y"}, Mode: "x", Domain: "a b"}.Provider())
	for _, want := range []string{"ID", "not an AWS Region", "Mode", "Domain"} {
		require.ErrorContains(t, err, want, "every problem is named")
	}
}

func TestEndpointChangesWhereKeysAreFetched(t *testing.T) {
	t.Parallel()
	a := issuer.UserPool{
		ID: poolID, Replicas: []string{"us-west-2"},
		Endpoint: func(region string, mode issuer.CognitoMode) string {
			if region == "us-east-1" && mode == issuer.CognitoOriginal {
				return "https://cognito-idp-fips.us-east-1.amazonaws.com/"
			}
			return ""
		},
	}.Provider()
	require.NoError(t, issuercheck.Validate(a))
	require.Equal(t, []string{oe, ue}, a.Regions[0].Issuers, "the iss stays")
	require.Equal(t, []string{
		ue + keys, "https://cognito-idp-fips.us-east-1.amazonaws.com/" + poolID + keys,
	}, a.Regions[0].JWKSURLs)
}

func TestCognitoTokenURL(t *testing.T) {
	t.Parallel()
	for domain, want := range map[string][2]string{
		"":                 {"", ""},
		"shop":             {"https://shop.auth.us-east-1.amazoncognito.com/oauth2/token", "https://shop.auth.us-east-1.amazoncognito.com/oauth2/token"},
		"auth.example.com": {"https://auth.example.com/oauth2/token", "https://auth.example.com/oauth2/token"},
	} {
		a := issuer.UserPool{ID: poolID, Replicas: []string{"us-west-2"}, Domain: domain}.Provider()
		require.NoError(t, issuercheck.Validate(a))
		require.Equal(t, want, [2]string{a.Regions[0].TokenURL, a.Regions[1].TokenURL}, domain)
	}
}

func TestUnknownRegionsOfAUserPoolAreWarnedOf(t *testing.T) {
	t.Parallel()
	pool := issuer.Cognito("us-east-1_Pool1", "us-east-9")
	require.NoError(t, issuercheck.Validate(pool))
	require.Equal(t, []string{"us-east-9"}, issuercheck.UnknownRegions(pool))
	var log bytes.Buffer
	_, err := jwks.New([]issuer.Provider{pool}, jwks.Config{Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	require.NoError(t, err)
	require.Contains(t, log.String(), `"regions":["us-east-9"]`)
	require.Empty(t, issuercheck.UnknownRegions(valid()), "only Cognito names regions by a list")
	require.ErrorContains(t, issuercheck.Validate("x"), "not an issuer.Provider")
}
