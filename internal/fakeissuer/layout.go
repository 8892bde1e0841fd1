package fakeissuer

import (
	"cmp"

	"github.com/regionjwt/regionjwt/issuer"
)

// Layout describes how a provider is deployed.
type Layout int

// The layouts.
const (
	// Cognito is a user pool and its replicas; all regions publish the same keys.
	Cognito Layout = iota
	// IssuerPerRegion gives each region an iss and keys of its own.
	IssuerPerRegion
	// OneIssuer makes all regions issue the same iss, each with keys of its own at a URL of its own.
	OneIssuer
	// OneIssuerSharedKeys makes all regions issue the same iss and publish the same keys; each lists the JWKS URLs of all.
	OneIssuerSharedKeys
)

const (
	tenant   = "/tenant"
	keysPath = "/.well-known/jwks.json"
	metaPath = "/.well-known/openid-configuration"
)

func (c Config) withDefaults() Config {
	if len(c.Regions) == 0 {
		c.Regions = []string{"us-east-1", "us-west-2"}
	}
	id := "test-provider"
	if c.Layout == Cognito {
		id = c.Regions[0] + "_Testing01"
	}
	c.ID = cmp.Or(c.ID, id)
	c.Algorithm = cmp.Or(c.Algorithm, Algorithm)
	c.ClientID, c.Audience = cmp.Or(c.ClientID, ClientID), cmp.Or(c.Audience, Audience)
	return c
}

// moves reports whether the provider's URLs are those of its listeners after Serve, its issuers included.
func (c Config) moves() bool { return c.Provider == nil && c.Layout != Cognito }

// describe returns the Provider. bases are those of the regions' hosts; nil means names under idp.example.
func (c Config) describe(bases map[string]string) issuer.Provider {
	if c.Provider != nil {
		return *c.Provider
	}
	if c.Layout == Cognito {
		return issuer.UserPool{ID: c.ID, Replicas: c.Regions[1:], Mode: c.Mode}.Provider()
	}
	base := func(region string) string { return cmp.Or(bases[region], "https://"+region+".idp.example") + tenant }
	p := issuer.Provider{ID: c.ID}
	for _, name := range c.Regions {
		r := issuer.Region{Name: name, Issuers: []string{"https://idp.example" + tenant}, TokenURL: base(name) + "/token"}
		if c.Layout == IssuerPerRegion {
			r.Issuers = []string{base(name)}
		}
		if !c.Discovery {
			r.JWKSURLs = []string{base(name) + keysPath}
		}
		for _, other := range c.Regions {
			if c.Layout == OneIssuerSharedKeys && other != name {
				r.JWKSURLs = append(r.JWKSURLs, base(other)+keysPath)
			}
		}
		p.Regions = append(p.Regions, r)
	}
	return p
}
