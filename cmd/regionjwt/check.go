package main

import (
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/issuer"
)

func checkCommand() command {
	return command{
		name: "check", short: "failover drill: what would break if a region were lost",
		long: `
Asks every key URL and every discovery document of every region, compares what they say, lists what a verifier would accept,
and then loses each region in turn: would a service that starts in that hour, and one that is running, still have every key
that tokens may carry? The answers come from the library itself, which is given what was fetched, less the lost region's hosts.
It changes nothing, and sends nothing but GET requests. docs/drill.md says how to read what it finds.

  regionjwt check -user-pool us-east-1_AbCdEf123 -replica us-west-2 -issuer-type updated
  regionjwt check -issuer eu=https://eu.example/shop -issuer us=https://us.example/shop -snapshots -quiet
  regionjwt check -issuer eu=https://idp.example -jwks eu=https://eu.example/keys \
                  -issuer us=https://idp.example -jwks us=https://us.example/keys

It exits with 0 where nothing would break, with 1 where something would, and with 3 where no URL could be reached at all: then
it is likelier that this machine is cut off. Progress goes to standard error, where that is a terminal.`,
		prepare: func(c *call) action {
			var f drillFlags
			f.define(c)
			return func(ctx context.Context, arguments []string) error {
				if err := c.none(arguments); err != nil {
					return err
				}
				return c.drill(ctx, &f)
			}
		},
	}
}

// drillFlags say whose regions are drilled, how they are reached, and what counts.
type drillFlags struct {
	trust             trustFlags // for whom tokens are does not matter here
	jwks, resolve     list
	ca                string
	plainHosts        list
	timeout           time.Duration
	days              int
	snapshots, strict bool
	quiet             bool
}

func (f *drillFlags) define(c *call) {
	f.trust.defineRegions(c)
	c.text(&f.trust.issuerType, "issuer-type", "REGIONJWT_ISSUER_TYPE", "`mode` of the pool: original, updated or any (any)")
	c.list(&f.jwks, "jwks", "REGIONJWT_JWKS", "`REGION=URL` of a region's keys, where services list it; mirrors in their order")
	c.text(&f.ca, "ca", "REGIONJWT_CA", "`file` of certificates in PEM that are trusted besides those of the system")
	c.list(&f.resolve, "resolve", "",
		"`HOST:PORT=ADDR` dials another address for a host, without a proxy: to try a region before DNS is moved")
	c.list(&f.plainHosts, "insecure-http-host", "",
		"`host` whose keys the services fetch over plain http: who is on the path can make them trust any key")
	c.flags.DurationVar(&f.timeout, "timeout", defaultTimeout, "`time` that one answer may take (5s)")
	c.flags.IntVar(&f.days, "certificate-days", 14, "warn of certificates that have fewer `days` left (14)")
	c.flags.BoolVar(&f.snapshots, "snapshots", false,
		"the services keep snapshots of keys (jwks.Config.Snapshots): one that starts in an outage has them")
	c.flags.BoolVar(&f.strict, "strict", false, "warnings count, too: exit with 1 where there is one")
	c.flags.BoolVar(&f.quiet, "quiet", false, "no progress")
}

// authority is what the flags describe.
func (f *drillFlags) authority() (a issuer.Provider, err error) {
	switch {
	case f.timeout <= 0:
		return a, fail(exitUsage, "-timeout must be more than nothing")
	case f.trust.pool != "" && len(f.trust.issuers) > 0:
		return a, fail(exitUsage, "give -user-pool or -issuer, not both")
	case f.trust.pool != "" && len(f.jwks) > 0:
		return a, fail(exitUsage, "-jwks goes with -issuer: the URLs of a user pool are known")
	case f.trust.pool != "":
		f.trust.clients = list{"any"} // for whom the tokens are is not asked
		t, err := f.trust.poolTrust()
		if err != nil {
			return a, err
		}
		return t.Provider, nil
	case len(f.trust.issuers) > 0:
		return f.issuerAuthority()
	}
	return a, fail(exitUsage, "whose regions? Give -user-pool and -replica, or -issuer REGION=iss for each region")
}

func (f *drillFlags) issuerAuthority() (issuer.Provider, error) {
	a := issuer.Provider{ID: f.trust.authority}
	if a.ID == "" {
		a.ID = "checked"
	}
	if err := f.trust.regions(&a); err != nil {
		return a, err
	}
	for _, value := range f.jwks {
		name, rawURL, ok := strings.Cut(value, "=")
		i := slices.IndexFunc(a.Regions, func(r issuer.Region) bool { return r.Name == name })
		if !ok || i < 0 {
			return a, fail(exitUsage, "-jwks is REGION=URL, with the name of a region that -issuer has")
		}
		a.Regions[i].JWKSURLs = append(a.Regions[i].JWKSURLs, rawURL)
	}
	if err := a.Validate(); err != nil {
		return a, fail(exitUsage, "%w", err)
	}
	return a, nil
}

// drill makes the drill, and writes what it has found.
func (c *call) drill(ctx context.Context, f *drillFlags) error {
	authority, err := f.authority()
	if err != nil {
		return err
	}
	client, err := f.client()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	d := &drill{
		authority: authority, plainHosts: f.plainHosts, client: client, timeout: f.timeout, days: f.days, snapshots: f.snapshots,
		progress: func(string, ...any) {},
	}
	if err := d.checkConfig(); err != nil {
		return fail(exitUsage, "%w", err)
	}
	if c.wantsProgress(f) {
		d.progress = c.notef
	}
	d.fetchAll(ctx)
	r := d.report(ctx)
	if ctx.Err() != nil {
		return fail(exitStore, "it was interrupted")
	}
	r.decide(f.strict)
	if c.json {
		if err := c.writeJSON(r); err != nil {
			return err
		}
	} else {
		c.writeDrill(r)
	}
	switch r.Verdict {
	case drillNotReady:
		return told(exitNo)
	case drillCannotTell:
		return told(exitStore)
	}
	return nil
}

// wantsProgress reports whether anybody looks at standard error. A file or a pipe has nobody; other writers may have.
func (c *call) wantsProgress(f *drillFlags) bool {
	if c.json || f.quiet {
		return false
	}
	if file, ok := c.stderr.(*os.File); ok {
		info, err := file.Stat()
		return err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return true
}
