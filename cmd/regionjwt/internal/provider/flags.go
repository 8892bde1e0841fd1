// Package provider describes an identity provider and how it is reached, as flags say.
package provider

import (
	"slices"
	"strings"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/internal/issuercheck"
	"github.com/regionjwt/regionjwt/issuer"
)

// Flags describe a provider.
type Flags struct {
	Pool, Mode, ID    string
	Replicas, Issuers cli.List
}

// The modes of a user pool.
const (
	modeAny      = "any"
	modeOriginal = "original"
	modeUpdated  = "updated"
)

// Define defines the flags.
func (f *Flags) Define(c *cli.Call) { f.define(c, "") }

func (f *Flags) define(c *cli.Call, keys string) {
	c.Text(&f.Pool, "user-pool", "`ID` of a Cognito user pool, such as us-east-1_AbCdEf123")
	c.List(&f.Replicas, "replica", "`region` that the pool is replicated to")
	c.Choice(&f.Mode, "cognito-mode", "`mode` of the pool's issuers: original, updated or any (any)",
		modeOriginal, modeUpdated, modeAny)
	c.List(&f.Issuers, "issuer", "`REGION=iss` of another provider, for each region in the order of the services"+keys)
	c.Text(&f.ID, "provider", "`ID` that the services give the provider, if it is not a user pool: rules and pins name it")
}

// Given reports whether the flags describe a provider.
func (f *Flags) Given() bool { return f.Pool != "" || len(f.Issuers) > 0 }

// Regions lists the regions that the flags name, for completion, which may read a flag twice.
func (f *Flags) Regions() (names []string) {
	if home, _, ok := strings.Cut(f.Pool, "_"); ok {
		names = append(names, home)
	}
	names = append(names, f.Replicas...)
	for _, value := range f.Issuers {
		name, _, _ := strings.Cut(value, "=")
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Named returns what the flags describe, for a document that names the provider, as why says.
func (f *Flags) Named(why string) (issuer.Provider, error) {
	if len(f.Issuers) > 0 && f.ID == "" {
		return issuer.Provider{}, cli.Fail(cli.ExitUsage, "%s: give --provider, as the services have it", why)
	}
	return f.Provider("", nil)
}

// CheckRegion rejects a region that a provider does not have, and lists those that it has.
func CheckRegion(p issuer.Provider, region string) error {
	if regionOf(p, region) >= 0 {
		return nil
	}
	names := make([]string, 0, len(p.Regions))
	for _, r := range p.Regions {
		names = append(names, r.Name)
	}
	return cli.Fail(cli.ExitUsage, "provider %s has no region %s: the flags that describe it give it %s",
		cli.Clip(p.ID), cli.Clip(region), strings.Join(names, ", "))
}

// Provider returns what the flags describe. A provider that is not a user pool, and has no ID, gets anonymous.
func (f *Flags) Provider(anonymous string, jwksURLs cli.List) (issuer.Provider, error) {
	switch {
	case f.Pool != "" && len(f.Issuers) > 0:
		return issuer.Provider{}, cli.Fail(cli.ExitUsage, "give --user-pool or --issuer, not both")
	case f.Pool != "" && len(jwksURLs) > 0:
		return issuer.Provider{}, cli.Fail(cli.ExitUsage, "--jwks goes with --issuer: the URLs of a user pool are known")
	case f.Pool != "":
		return f.userPool()
	case len(f.Issuers) > 0:
		return f.other(anonymous, jwksURLs)
	}
	return issuer.Provider{}, cli.Fail(cli.ExitUsage,
		"whose regions? Give --user-pool and --replica, or --issuer REGION=iss for each region")
}

func (f *Flags) userPool() (issuer.Provider, error) {
	modes := map[string]issuer.CognitoMode{
		"": issuer.CognitoAny, modeAny: issuer.CognitoAny,
		modeOriginal: issuer.CognitoOriginal, modeUpdated: issuer.CognitoUpdated,
	}
	mode, ok := modes[f.Mode]
	if !ok {
		return issuer.Provider{}, cli.Fail(cli.ExitUsage, "--cognito-mode is original, updated or any")
	}
	return checked(issuer.UserPool{ID: f.Pool, Replicas: f.Replicas, Mode: mode}.Provider())
}

func (f *Flags) other(anonymous string, jwksURLs cli.List) (issuer.Provider, error) {
	p := issuer.Provider{ID: f.ID}
	if p.ID == "" {
		p.ID = anonymous
	}
	for _, value := range f.Issuers {
		name, iss, ok := strings.Cut(value, "=")
		if !ok || name == "" || iss == "" || strings.Contains(name, "/") {
			return p, cli.Fail(cli.ExitUsage, "--issuer is REGION=iss, such as eu=https://eu.example/shop")
		}
		i := regionOf(p, name)
		if i < 0 {
			i = len(p.Regions)
			p.Regions = append(p.Regions, issuer.Region{Name: name})
		}
		p.Regions[i].Issuers = append(p.Regions[i].Issuers, iss)
	}
	for _, value := range jwksURLs {
		name, rawURL, ok := strings.Cut(value, "=")
		i := regionOf(p, name)
		if !ok || i < 0 || rawURL == "" {
			return p, cli.Fail(cli.ExitUsage, "--jwks is REGION=URL, with the name of a region that --issuer has")
		}
		p.Regions[i].JWKSURLs = append(p.Regions[i].JWKSURLs, rawURL)
	}
	return checked(p)
}

// checked returns p, or every problem with it.
func checked(p issuer.Provider) (issuer.Provider, error) {
	if err := issuercheck.Validate(p); err != nil {
		return p, cli.Fail(cli.ExitUsage, "%w", err)
	}
	return p, nil
}

func regionOf(p issuer.Provider, name string) int {
	return slices.IndexFunc(p.Regions, func(r issuer.Region) bool { return r.Name == name })
}
