package inspect

import (
	"cmp"
	"io"
	"os"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/config"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/provider"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/rules"
	"github.com/regionjwt/regionjwt/internal/limit"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/verifier"
)

// flags say what a service demands of a token, and where keys and rules are.
type flags struct {
	provider provider.Options
	config   config.Flags
	rules    rules.Flags

	kind                                   string
	audiences, clients, algorithms, types  cli.List
	required, scopes, clientClaims, groups cli.List
	maxAge, maxLifetime                    time.Duration
	fetch, missingKeyID                    bool
}

func (f *flags) define(c *cli.Call) {
	f.provider.Define(c, "`REGION=URL` of a region's keys, a URL of the keys of all regions, or a file that holds a key set: "+
		"a file is used without --fetch")
	f.config.Define(c)
	f.rules.Define(c)
	c.Choice(&f.kind, "audience-kind", "`kind` of audience policy: "+strings.Join(kinds, ", ")+
		" (cognito-access with --user-pool, else audience)", kinds...)
	c.List(&f.audiences, "audience", "`aud` that tokens are accepted for; "+
		"for cognito-access if a token has an aud; one for cognito-derived")
	c.List(&f.clients, "client-id", "client `ID` that tokens are accepted of")
	c.List(&f.algorithms, "algorithm", "`alg` that is accepted "+
		"(RS256 for Cognito, else RS256, PS256, ES256 and Ed25519, also called EdDSA)")
	c.List(&f.types, "type", "`typ` of the header that is accepted, or none if it may be absent (none, JWT and at+jwt)")
	c.List(&f.required, "required-claim", "`name` of a claim that must be there, or a JSON Pointer such as /realm_access/roles")
	c.List(&f.scopes, "scope-claim", "`name` or JSON Pointer of a claim that holds scopes (scope, or else scp)")
	c.List(&f.clientClaims, "client-id-claim", "`name` or JSON Pointer of a claim that may hold the client (client_id)")
	c.List(&f.groups, "group-claim",
		"`name` or JSON Pointer of a claim that holds groups (cognito:groups for Cognito, else groups)")
	c.Bool(&f.missingKeyID, "allow-missing-kid", "accept tokens and keys without kid")
	c.Duration(&f.maxAge, "max-age", 0, "`time` since a token was issued after which it is rejected (no bound)")
	c.Duration(&f.maxLifetime, "max-lifetime", 0, "longest `time` from iat to exp of a token (no bound)")
	c.Bool(&f.fetch, "fetch", "fetch the keys of every region, and check the signature")
}

// The kinds of audience policies.
const (
	kindAudience       = "audience"
	kindIDToken        = "id-token"
	kindCognitoAccess  = "cognito-access"
	kindCognitoDerived = "cognito-derived"
	kindCognitoID      = "cognito-id"
	kindAny            = "insecure-any"
	kindFile           = "" // as a configuration file says
)

var kinds = []string{
	kindAudience, kindIDToken, kindCognitoAccess, kindCognitoDerived, kindCognitoID, kindAny,
}

// cognito reports whether the audience policy is one of Cognito.
func (f *flags) cognito() bool { return strings.HasPrefix(f.kind, "cognito-") }

// open reads the configuration file, or returns nil if there is none.
func (f *flags) open(c *cli.Call) (*config.Config, error) {
	if !f.config.Given() {
		return nil, nil //nolint:nilnil // there is none
	}
	described := f.provider.Given() || f.provider.ID != "" || f.kind != "" || f.missingKeyID ||
		f.maxAge != 0 || f.maxLifetime != 0
	for _, list := range []cli.List{
		f.audiences, f.clients, f.algorithms, f.types, f.required, f.scopes, f.clientClaims, f.groups,
	} {
		described = described || len(list) > 0
	}
	for _, value := range f.provider.JWKS {
		described = described || value != f.keyFile()
	}
	if described || len(f.rules.Stores) > 0 {
		return nil, cli.Fail(cli.ExitUsage, "give --config, or flags that describe a provider, a policy and stores, not both")
	}
	return f.config.Open(c)
}

// policy returns what the flags say, or nil if they describe no provider. It is the only function that makes a verifier.Policy.
func (f *flags) policy() (*verifier.Policy, error) {
	usage := func(format string, args ...any) (*verifier.Policy, error) {
		return nil, cli.Fail(cli.ExitUsage, format, args...)
	}
	if !f.provider.Given() {
		if f.fetch {
			return usage("--fetch needs to know whose keys: give --user-pool and --client-id, or --issuer and --audience")
		}
		return nil, nil
	}
	if f.provider.Pool == "" && f.provider.ID == "" && f.fetch && len(f.rules.Stores) > 0 {
		return usage("rules name the provider: give --provider, as the services have it")
	}
	urls, err := f.jwksURLs()
	if err != nil {
		return nil, err
	}
	p, err := f.provider.Provider("inspected", urls)
	if err != nil {
		return nil, err
	}
	f.kind = cmp.Or(f.kind, map[bool]string{true: kindCognitoAccess, false: kindAudience}[f.provider.Pool != ""])
	audience, err := f.audience()
	if err != nil {
		return nil, err
	}
	types := make([]string, 0, len(f.types))
	for _, name := range f.types {
		types = append(types, strings.TrimPrefix(name, "none"))
	}
	return &verifier.Policy{
		Provider: p, Audience: audience, Algorithms: f.algorithms, Types: types, RequiredClaims: f.required, MaxAge: f.maxAge,
		MaxLifetime: f.maxLifetime, ScopeClaims: f.scopes, ClientIDClaims: f.clientClaims, GroupClaims: f.groups,
		AllowMissingKeyID: f.missingKeyID,
	}, nil
}

// audience makes the audience policy.
func (f *flags) audience() (a verifier.AudiencePolicy, err error) {
	byClients := map[string]func(...string) verifier.AudiencePolicy{
		kindIDToken: verifier.IDToken, kindCognitoAccess: verifier.CognitoAccess, kindCognitoID: verifier.CognitoID,
		kindCognitoDerived: func(ids ...string) verifier.AudiencePolicy {
			return verifier.CognitoDerived(f.audiences[0], ids...)
		},
	}
	switch {
	case f.kind == kindAny:
		return verifier.InsecureAnyAudience(), nil
	case byClients[f.kind] != nil && len(f.clients) == 0:
		return a, cli.Fail(cli.ExitUsage, "say which clients the service accepts: --client-id ID")
	case f.kind == kindCognitoDerived && len(f.audiences) != 1:
		return a, cli.Fail(cli.ExitUsage, "say for which API tokens were derived: one --audience AUD")
	case f.kind == kindCognitoAccess && len(f.audiences) > 0:
		clients := verifier.CognitoAccess(f.clients...)
		return verifier.AnyOf(clients, verifier.AllOf(clients, verifier.Audience(f.audiences...))), nil
	case byClients[f.kind] != nil:
		return byClients[f.kind](f.clients...), nil
	case f.kind != kindAudience:
		return a, cli.Fail(cli.ExitUsage, "--audience-kind is one of %s", strings.Join(kinds, ", "))
	case len(f.audiences) == 0:
		return a, cli.Fail(cli.ExitUsage, "say for whom tokens must have been issued: --audience AUD")
	}
	return verifier.Audience(f.audiences...), nil
}

// jwksURLs returns the values of --jwks that are URLs, each with its region: one without a region is of all regions.
func (f *flags) jwksURLs() (urls cli.List, err error) {
	for _, value := range f.provider.JWKS {
		before, _, isURL := strings.Cut(value, "://")
		switch {
		case !isURL:
		case strings.Contains(before, "="):
			urls = append(urls, value)
		default:
			for _, region := range f.regionNames() {
				urls = append(urls, region+"="+value)
			}
		}
	}
	if len(urls) > 0 && len(urls) < len(f.provider.JWKS) && f.keyFile() != "" {
		return nil, cli.Fail(cli.ExitUsage, "--jwks is URLs, or one file")
	}
	return urls, nil
}

func (f *flags) regionNames() (names []string) {
	for _, value := range f.provider.Issuers {
		name, _, _ := strings.Cut(value, "=")
		if len(names) == 0 || names[len(names)-1] != name {
			names = append(names, name)
		}
	}
	return names
}

// keyFile is the value of --jwks that is a file, or "".
func (f *flags) keyFile() string {
	for _, value := range f.provider.JWKS {
		if !strings.Contains(value, "://") {
			return value
		}
	}
	return ""
}

// maxKeySet is how many bytes of a file with a key set are read. A verifier reads no more.
const maxKeySet = limit.KeySetBytes

// readKeySet reads the file of --jwks, for each issuer of the provider.
func (f *flags) readKeySet(p issuer.Provider) (map[string][]byte, error) {
	if len(f.provider.JWKS) > 1 {
		return nil, cli.Fail(cli.ExitUsage, "--jwks is URLs, or one file")
	}
	file, err := os.Open(f.keyFile())
	if err != nil {
		return nil, cli.Fail(cli.ExitUsage, "--jwks is neither a URL nor a file: %w", err)
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, cli.Fail(cli.ExitUsage, "--jwks: %s is not a regular file", f.keyFile())
	}
	document, err := io.ReadAll(io.LimitReader(file, maxKeySet+1))
	if err != nil {
		return nil, cli.Fail(cli.ExitUsage, "--jwks: %w", err)
	}
	if len(document) > maxKeySet {
		return nil, cli.Fail(cli.ExitUsage, "--jwks: %s is longer than 256 KiB", f.keyFile())
	}
	sets := map[string][]byte{}
	for _, r := range p.Regions {
		for _, iss := range r.Issuers {
			sets[iss] = document
		}
	}
	return sets, nil
}
