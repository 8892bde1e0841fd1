package provider

import "github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"

// JWKSUsage is the text of --jwks where it can only be a URL.
const JWKSUsage = "`REGION=URL` of a region's keys, if services list it; JWKS URLs in their order"

// Options are the flags of commands that look at the keys of a provider: which provider it is, how its hosts are reached, and
// which JWKS URLs it has.
type Options struct {
	Flags
	Reach
	JWKS cli.List
}

// Define adds the flags. jwks is the text of --jwks.
func (o *Options) Define(c *cli.Call, jwks string) {
	o.define(c, "; its keys are found by OpenID discovery, unless --jwks says where")
	o.Reach.Define(c)
	c.List(&o.JWKS, "jwks", jwks)
}

// DefineStrict adds --strict.
func DefineStrict(c *cli.Call, strict *bool) {
	c.Bool(strict, "strict", "warnings count, too: exit with 1 if there is one")
}
