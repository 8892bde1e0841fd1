package issuer_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
)

func valid() issuer.Provider {
	return issuer.Provider{ID: "tenant", Regions: []issuer.Region{
		{Name: "eu", Issuers: []string{"https://eu.idp.example/t"}, JWKSURLs: []string{"https://eu.idp.example/keys"}},
		{Name: "us", Issuers: []string{"https://us.idp.example/t"}},
	}}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	require.NoError(t, valid().Validate())
	for name, c := range map[string]struct {
		spoil func(*issuer.Provider)
		want  string
	}{
		"no ID":             {func(a *issuer.Provider) { a.ID = "" }, "ID: required"},
		"ID with a newline": {func(a *issuer.Provider) { a.ID = "a\nb" }, "control character"},
		"ID too long":       {func(a *issuer.Provider) { a.ID = strings.Repeat("x", 257) }, "longer than"},
		"ID not UTF-8":      {func(a *issuer.Provider) { a.ID = "a\xff" }, "invalid UTF-8"},
		"no regions":        {func(a *issuer.Provider) { a.Regions = nil }, "no regions"},
		"too many regions":  {func(a *issuer.Provider) { a.Regions = make([]issuer.Region, 17) }, "more than 16 regions"},
		"no name":           {func(a *issuer.Provider) { a.Regions[0].Name = "" }, "name: required"},
		"name twice":        {func(a *issuer.Provider) { a.Regions[1].Name = "eu" }, "listed twice"},
		"no issuers":        {func(a *issuer.Provider) { a.Regions[0].Issuers = nil }, "no issuers"},
		"issuer twice":      {func(a *issuer.Provider) { r := &a.Regions[0]; r.Issuers = append(r.Issuers, r.Issuers[0]) }, "listed twice"},
		"empty issuer":      {func(a *issuer.Provider) { a.Regions[0].Issuers[0] = "" }, "empty"},
		"http issuer":       {func(a *issuer.Provider) { a.Regions[0].Issuers[0] = "http://idp.example/t" }, "https is required"},
		"issuer no URL":     {func(a *issuer.Provider) { a.Regions[0].Issuers[0] = "idp.example" }, "not an https URL"},
		"issuer of a file":  {func(a *issuer.Provider) { a.Regions[0].Issuers[0] = "file:///etc/passwd" }, "not an https URL"},
		"issuer opaque":     {func(a *issuer.Provider) { a.Regions[0].Issuers[0] = "https:idp.example" }, "no host"},
		"issuer with user":  {func(a *issuer.Provider) { a.Regions[0].Issuers[0] = "https://u@idp.example" }, "credentials"},
		"issuer with query": {func(a *issuer.Provider) { a.Regions[0].Issuers[0] = "https://idp.example?x" }, "query"},
		"issuer bare query": {func(a *issuer.Provider) { a.Regions[0].Issuers[0] = "https://idp.example?" }, "query"},
		"issuer fragment":   {func(a *issuer.Provider) { a.Regions[0].Issuers[0] = "https://idp.example#" }, "fragment"},
		"issuer with space": {func(a *issuer.Provider) { a.Regions[0].Issuers[0] = "https://idp.example/a b" }, "character"},
		"issuer bad escape": {func(a *issuer.Provider) { a.Regions[0].Issuers[0] = "https://idp.example/%zz" }, "not a URL"},
		"issuer too long":   {func(a *issuer.Provider) { a.Regions[0].Issuers[0] += strings.Repeat("x", 2048) }, "longer than"},
		"too many issuers":  {func(a *issuer.Provider) { a.Regions[0].Issuers = manyURLs(17) }, "more than 16 issuers"},
		"JWKS no URL":       {func(a *issuer.Provider) { a.Regions[0].JWKSURLs[0] = "keys.json" }, "JWKS URL"},
		"JWKS twice":        {func(a *issuer.Provider) { r := &a.Regions[0]; r.JWKSURLs = append(r.JWKSURLs, r.JWKSURLs[0]) }, "listed twice"},
		"token URL no URL":  {func(a *issuer.Provider) { a.Regions[0].TokenURL = "::" }, "token URL"},
		"token URL over http": {
			func(a *issuer.Provider) { a.Regions[0].TokenURL = "http://idp.example/token" }, "https is required",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := valid()
			c.spoil(&a)
			require.ErrorContains(t, a.Validate(), c.want)
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
	err := issuer.Provider{Regions: []issuer.Region{
		{Issuers: []string{"http://idp.example"}, JWKSURLs: []string{"ftp://idp.example"}}, {Name: "us"},
	}}.Validate()
	for _, want := range []string{"ID: required", "name: required", "https is required", "ftp://idp.example", `"us": no issuers`} {
		require.ErrorContains(t, err, want)
	}
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	a := valid()
	a.Regions[0].Issuers[0] = "http://127.0.0.1:8080/t"
	a.Regions[1].Issuers[0] = "http://[::1]:8080/t"
	a.Regions[1].TokenURL = "http://localhost:8080/token"
	require.NoError(t, a.Validate())
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST": true, "127.9.9.9": true, "::1": true,
		"localhost.evil.example": false, "128.0.0.1": false, "": false, "127.0.0.1.evil.example": false,
	} {
		require.Equal(t, want, issuer.IsLoopback(host), host)
	}
}
