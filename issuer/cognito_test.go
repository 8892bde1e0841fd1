package issuer_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
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
		mode               issuer.IssuerType
		primary, secondary issuer.Region
	}{
		{
			issuer.Original,
			issuer.Region{Issuers: []string{oe}, JWKSURLs: []string{oe + keys}},
			issuer.Region{Issuers: []string{ow, oe}, JWKSURLs: []string{ow + keys}, OptionalJWKSURLs: []string{ow + keys}},
		},
		{
			issuer.Updated,
			issuer.Region{Issuers: []string{ue}, JWKSURLs: []string{ue + keys, oe + keys}, OptionalJWKSURLs: []string{ue + keys}},
			issuer.Region{Issuers: []string{ue}, JWKSURLs: []string{ow + keys, ue + keys}, OptionalJWKSURLs: []string{ow + keys, ue + keys}},
		},
		{
			issuer.AnyIssuer,
			issuer.Region{Issuers: []string{oe, ue}, JWKSURLs: []string{ue + keys, oe + keys}, OptionalJWKSURLs: []string{ue + keys}},
			issuer.Region{
				Issuers: []string{ow, oe, ue}, JWKSURLs: []string{ow + keys, ue + keys}, OptionalJWKSURLs: []string{ow + keys, ue + keys},
			},
		},
	} {
		t.Run(c.mode.String(), func(t *testing.T) {
			t.Parallel()
			c.primary.Name, c.secondary.Name = "us-east-1", "us-west-2"
			got, err := issuer.Cognito(issuer.UserPool{ID: poolID, Replicas: []string{"us-west-2"}, Issuer: c.mode})
			require.NoError(t, err)
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
			a, err := issuer.Cognito(issuer.UserPool{ID: id})
			require.NoError(t, err)
			require.Equal(t, "https://cognito-idp."+region+"."+want+"/"+id, a.Regions[0].Issuers[0])
			_, err = issuer.Cognito(issuer.UserPool{ID: id, Issuer: issuer.Updated})
			known := want == "amazonaws.com" && !strings.HasPrefix(region, "us-gov-")
			require.Equal(t, known, err == nil, "the host of updated issuers is known in partition aws only")
			require.Equal(t, known, len(a.Regions[0].Issuers) == 2, "nothing is guessed")
			a, err = issuer.Cognito(issuer.UserPool{ID: id, Issuer: issuer.Updated, DNSSuffix: "example.org"})
			require.NoError(t, err)
			require.Equal(t, []string{"https://issuer-cognito-idp." + region + ".example.org/" + id}, a.Regions[0].Issuers)
		})
	}
}

func TestCognitoRefuses(t *testing.T) {
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
		"replica with a host":      {issuer.UserPool{ID: poolID, Replicas: []string{"evil.example/"}}, "not a region"},
		"replica with credentials": {issuer.UserPool{ID: poolID, Replicas: []string{"x@evil"}}, "not a region"},
		"empty replica":            {issuer.UserPool{ID: poolID, Replicas: []string{""}}, "not a region"},
		"replica is the primary":   {issuer.UserPool{ID: poolID, Replicas: []string{"us-east-1"}}, "primary"},
		"replica twice":            {issuer.UserPool{ID: poolID, Replicas: []string{"us-west-2", "us-west-2"}}, "twice"},
		"replica elsewhere":        {issuer.UserPool{ID: poolID, Replicas: []string{"cn-north-1"}}, "partition"},
		"replica in us-gov":        {issuer.UserPool{ID: poolID, Replicas: []string{"us-gov-west-1"}}, "partition"},
		"unknown partition":        {issuer.UserPool{ID: "us-isox-east-1_a"}, "not known"},
		"unknown mode":             {issuer.UserPool{ID: poolID, Issuer: 7}, "unknown issuer type"},
		"suffix with a path":       {issuer.UserPool{ID: poolID, DNSSuffix: "example.org/x"}, "DNSSuffix"},
		"domain with a path":       {issuer.UserPool{ID: poolID, Domain: "a/b"}, "domain"},
		"base that is no URL": {issuer.UserPool{ID: poolID, BaseURL: func(string, issuer.IssuerType) string {
			return "vpce-1"
		}}, "JWKS URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := issuer.Cognito(c.pool)
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err := issuer.Cognito(issuer.UserPool{ID: poolID, Replicas: []string{"us-east-1", "x y"}, Issuer: -1, Domain: "a b"})
	for _, want := range []string{"primary", "not a region", "unknown issuer type", "domain"} {
		require.ErrorContains(t, err, want, "every problem is named")
	}
}

func TestCognitoBaseURL(t *testing.T) {
	t.Parallel()
	a, err := issuer.Cognito(issuer.UserPool{
		ID: poolID, Replicas: []string{"us-west-2"},
		BaseURL: func(region string, mode issuer.IssuerType) string {
			if region == "us-east-1" && mode == issuer.Original {
				return "https://cognito-idp-fips.us-east-1.amazonaws.com/"
			}
			return ""
		},
	})
	require.NoError(t, err)
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
		a, err := issuer.Cognito(issuer.UserPool{ID: poolID, Replicas: []string{"us-west-2"}, Domain: domain})
		require.NoError(t, err)
		require.Equal(t, want, [2]string{a.Regions[0].TokenURL, a.Regions[1].TokenURL}, domain)
	}
}
