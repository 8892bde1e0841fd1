package issuer_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/issuercheck"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
)

func valid() issuer.Provider {
	return issuer.Provider{ID: "tenant", Regions: []issuer.Region{
		{Name: "eu", Issuers: []string{"https://eu.idp.example/t"}, JWKSURLs: []string{"https://eu.idp.example/keys"}},
		{Name: "us", Issuers: []string{"https://us.idp.example/t"}},
	}}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	require.NoError(t, issuercheck.Validate(valid()))
	duende := valid()
	duende.Regions[0].JWKSURLs[0] = "https://demo.duendesoftware.com/.well-known/openid-configuration/jwks"
	require.NoError(t, issuercheck.Validate(duende), "its keys are below its metadata")
	for name, c := range map[string]struct {
		spoil func(*issuer.Provider)
		want  string
	}{
		"no ID":                      {func(a *issuer.Provider) { a.ID = "" }, "ID: required"},
		"ID with a newline":          {func(a *issuer.Provider) { a.ID = "a\nb" }, "control character"},
		"ID too long":                {func(a *issuer.Provider) { a.ID = strings.Repeat("x", 257) }, "longer than"},
		"ID not UTF-8":               {func(a *issuer.Provider) { a.ID = "a\xff" }, "invalid UTF-8"},
		"no regions":                 {func(a *issuer.Provider) { a.Regions = nil }, "no regions"},
		"too many regions":           {func(a *issuer.Provider) { a.Regions = make([]issuer.Region, 17) }, "more than 16 regions"},
		"no name":                    {func(a *issuer.Provider) { a.Regions[0].Name = "" }, "Regions[0].Name: required"},
		"name twice":                 {func(a *issuer.Provider) { a.Regions[1].Name = "eu" }, "listed twice"},
		"no issuers":                 {func(a *issuer.Provider) { a.Regions[0].Issuers = nil }, "no issuers"},
		"issuer twice":               {func(a *issuer.Provider) { r := &a.Regions[0]; r.Issuers = append(r.Issuers, r.Issuers[0]) }, "listed twice"},
		"empty issuer":               {func(a *issuer.Provider) { a.Regions[0].Issuers[0] = "" }, "empty"},
		"name issuer too long":       {func(a *issuer.Provider) { a.Regions[0].Issuers[0] = strings.Repeat("x", 2049) }, "longer than"},
		"name issuer not UTF-8":      {func(a *issuer.Provider) { a.Regions[0].Issuers[0] = "a\xff" }, "invalid UTF-8"},
		"name issuer with a newline": {func(a *issuer.Provider) { a.Regions[0].Issuers[0] = "a\nb" }, "control character"},
		"name issuer in spaces":      {func(a *issuer.Provider) { a.Regions[0].Issuers[0] = "a " }, "space"},
		"discovery URL as issuer": {
			func(a *issuer.Provider) { a.Regions[1].Issuers[0] += "/.well-known/openid-configuration" }, "set DiscoveryURL",
		},
		"discovery URL as named issuer": {
			func(a *issuer.Provider) { a.Regions[0].Issuers[0] += "/.well-known/openid-configuration" }, "set DiscoveryURL",
		},
		"RFC 8414 URL as issuer": {
			func(a *issuer.Provider) {
				a.Regions[1].Issuers[0] = "https://a.example/.well-known/oauth-authorization-server/t"
			}, "set DiscoveryURL",
		},
		"issuer no URL":     {func(a *issuer.Provider) { a.Regions[1].Issuers[0] = "idp.example" }, "not an https URL"},
		"issuer of a file":  {func(a *issuer.Provider) { a.Regions[1].Issuers[0] = "file:///etc/passwd" }, "not an https URL"},
		"issuer opaque":     {func(a *issuer.Provider) { a.Regions[1].Issuers[0] = "https:idp.example" }, "no host"},
		"issuer with user":  {func(a *issuer.Provider) { a.Regions[1].Issuers[0] = "https://u@idp.example" }, "credentials"},
		"issuer with query": {func(a *issuer.Provider) { a.Regions[1].Issuers[0] = "https://idp.example?x" }, "query"},
		"issuer bare query": {func(a *issuer.Provider) { a.Regions[1].Issuers[0] = "https://idp.example?" }, "query"},
		"issuer fragment":   {func(a *issuer.Provider) { a.Regions[1].Issuers[0] = "https://idp.example#" }, "fragment"},
		"issuer with space": {func(a *issuer.Provider) { a.Regions[1].Issuers[0] = "https://idp.example/a b" }, "character"},
		"issuer bad escape": {func(a *issuer.Provider) { a.Regions[1].Issuers[0] = "https://idp.example/%zz" }, "not a URL"},
		"issuer too long":   {func(a *issuer.Provider) { a.Regions[1].Issuers[0] += strings.Repeat("x", 2048) }, "longer than"},
		"too many issuers":  {func(a *issuer.Provider) { a.Regions[0].Issuers = manyURLs(17) }, "more than 16 issuers"},
		"JWKS no URL":       {func(a *issuer.Provider) { a.Regions[0].JWKSURLs[0] = "keys.json" }, "JWKS URL"},
		"JWKS port":         {func(a *issuer.Provider) { a.Regions[0].JWKSURLs[0] = "https://a.example:99999/keys" }, "port"},
		"JWKS port 0":       {func(a *issuer.Provider) { a.Regions[0].JWKSURLs[0] = "https://a.example:0/keys" }, "port"},
		"JWKS twice":        {func(a *issuer.Provider) { r := &a.Regions[0]; r.JWKSURLs = append(r.JWKSURLs, r.JWKSURLs[0]) }, "listed twice"},
		"token URL no URL":  {func(a *issuer.Provider) { a.Regions[0].TokenURL = "::" }, "token URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := valid()
			c.spoil(&a)
			require.ErrorContains(t, issuercheck.Validate(a), c.want)
		})
	}
}

func manyURLs(n int) (urls []string) {
	for i := range n {
		urls = append(urls, fmt.Sprintf("https://idp.example/%d", i))
	}
	return urls
}

func TestValidateNamesEveryProblem(t *testing.T) {
	t.Parallel()
	err := issuercheck.Validate(issuer.Provider{Regions: []issuer.Region{
		{Issuers: []string{"http://idp.example"}, JWKSURLs: []string{"ftp://idp.example"}}, {Name: "us"},
	}})
	for _, want := range []string{"ID: required", "Name: required", "ftp://idp.example", `"us": no issuers`} {
		require.ErrorContains(t, err, want)
	}
}

// Plain http is for package jwks to decide, by host, where something is fetched. An iss alone is only a name.
func TestHTTPIssuers(t *testing.T) {
	t.Parallel()
	p := valid()
	p.Regions[1].Issuers[0] = "http://idp.cluster.local/t"
	require.NoError(t, issuercheck.Validate(p))
	_, err := jwks.New([]issuer.Provider{p}, jwks.Config{})
	require.ErrorContains(t, err, `issuer "http://idp.cluster.local/t": https is required`)
	_, err = jwks.New([]issuer.Provider{p}, jwks.Config{InsecureHTTPHosts: []string{"idp.cluster.local"}})
	require.NoError(t, err)
	p.Regions[1].DiscoveryURL = "http://other.cluster.local/metadata"
	_, err = jwks.New([]issuer.Provider{p}, jwks.Config{InsecureHTTPHosts: []string{"idp.cluster.local"}})
	require.ErrorContains(t, err, `discovery URL "http://other.cluster.local/metadata": https is required`)
	p.Regions[1].DiscoveryURL, p.Regions[1].JWKSURLs = "", []string{"https://us.idp.example/keys"}
	_, err = jwks.New([]issuer.Provider{p}, jwks.Config{})
	require.NoError(t, err)
}

// With a URL for the keys, an iss is any string: StringOrURI, RFC 7519, section 2.
func TestIssuersThatAreNoURLs(t *testing.T) {
	t.Parallel()
	for _, iss := range []string{
		"kubernetes/serviceaccount", "accounts.google.com", "urn:example:idp", "a b", "https://idp.example?x",
		"http://adfs.example/adfs/services/trust", "ma.accounts400.example", "1234-compute@developer.gserviceaccount.com", "ümläut",
		strings.Repeat("x", 512),
	} {
		p := valid()
		p.Regions[0].Issuers = []string{iss}
		require.NoError(t, issuercheck.Validate(p), iss)
		p.Regions[0].JWKSURLs, p.Regions[0].DiscoveryURL = nil, "https://eu.idp.example/metadata"
		require.NoError(t, issuercheck.Validate(p), iss)
		if p.Regions[0].DiscoveryURL = ""; !strings.HasPrefix(iss, "http://") { // of which package jwks decides
			require.Error(t, issuercheck.Validate(p), iss)
		}
	}
}

func TestOIDC(t *testing.T) {
	t.Parallel()
	p := issuer.OIDC("https://idp.example/t")
	require.NoError(t, issuercheck.Validate(p))
	require.Equal(t, issuer.Provider{ID: "https://idp.example/t", Regions: []issuer.Region{
		{Name: "default", Issuers: []string{"https://idp.example/t"}},
	}}, p)
	require.ErrorContains(t, issuercheck.Validate(issuer.OIDC("")), "empty")
	require.ErrorContains(t, issuercheck.Validate(issuer.OIDC("https://idp.example/t/.well-known/openid-configuration")), "set DiscoveryURL")
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	a := valid()
	a.Regions[0].Issuers[0] = "http://127.0.0.1:8080/t"
	a.Regions[1].Issuers[0] = "http://[::1]:8080/t"
	a.Regions[1].TokenURL = "http://localhost:8080/token"
	require.NoError(t, issuercheck.Validate(a))
}

// No token of a provider can have these, or they would look like others.
func TestIssuersThatAreNotAllowed(t *testing.T) {
	t.Parallel()
	for iss, want := range map[string]string{
		"":                       "empty",
		strings.Repeat("x", 513): "longer than 512 bytes",
		"a\nb":                   "control character",
		"a\u0085b":               "control character",
		"a\u2028b":               "control character",
		"a\u202eb":               "direction of writing",
		"a\u2066b":               "direction of writing",
		" a":                     "space",
		"a ":                     "space",
		"a\u00a0":                "space",
		"a\xff":                  "UTF-8",
	} {
		p := valid()
		p.Regions[0].Issuers = []string{iss}
		require.ErrorContains(t, issuercheck.Validate(p), want, "%q", iss)
	}
}

// Issuers that look the same are warned of: they are compared byte for byte.
func TestIssuersThatLookAlikeAreWarnedOf(t *testing.T) {
	t.Parallel()
	a, b := issuer.OIDC("https://idp.example/T"), issuer.OIDC("https://idp.example/t/")
	require.Equal(t, [][2]string{{"https://idp.example/T", "https://idp.example/t/"}}, issuercheck.Alike([]any{a, b, issuer.OIDC("https://idp.example/u")}))
	require.Empty(t, issuercheck.Alike([]any{a, a}))
	var log bytes.Buffer
	_, err := jwks.New([]issuer.Provider{a, b}, jwks.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, err)
	require.Contains(t, log.String(), "check the spelling")
	require.Contains(t, log.String(), "https://idp.example/t/")
}
