package configfile

import (
	"crypto/ed25519"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/failover/monitor"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// kept is what one reading of the file leaves to the next, so that nothing is opened or fetched again that stays.
type kept struct {
	clients   map[string]*http.Client    // by file and content
	providers map[string]issuer.Provider // by description
	policies  digests                    // of the files that policies name
	files     digests                    // of the others, which only a restart uses
}

func newKept() kept {
	return kept{map[string]*http.Client{}, map[string]issuer.Provider{}, digests{}, digests{}}
}

// builder makes a Config of a document, and collects every problem.
type builder struct {
	kept

	before   kept
	dir      string
	openers  map[string]func(Location) (store.Store, error)
	open     bool // open the stores, instead of making some that are never used
	names    []string
	stores   map[string]store.Trusted // those that have no problem, by name
	inner    map[string]store.Store   // what those hold, and those that nothing protects: for documents that prove themselves
	problems []error
}

func (b *builder) add(at place, format string, args ...any) {
	b.problems = append(b.problems, at.problem(format, args...))
}

func (b *builder) config(d *document) regionjwt.Config {
	b.names = slices.Collect(maps.Keys(d.Stores))
	b.buildStores(d)
	c := regionjwt.Config{
		Keys: b.keys(&d.Keys),
		Tokens: verifier.Config{
			Leeway: time.Duration(d.Tokens.Leeway), MaxTokenBytes: d.Tokens.MaxTokenBytes, CacheSize: d.Tokens.CacheSize,
		},
	}
	for i := range d.Policies {
		c.Policies = append(c.Policies, b.policy(&d.Policies[i]))
	}
	if r := d.Revocation; r != nil {
		c.Revocation = &revocation.Config{Replica: b.replica(&r.Replica), AllowUnknownRules: r.AllowUnknownRules}
		for i := range r.Signals {
			s := &r.Signals[i]
			c.Revocation.Signals = append(c.Revocation.Signals, revocation.Signals{
				Replica: b.replica(&s.Replica), Providers: s.Providers, MaxLifetime: time.Duration(s.MaxLifetime),
			})
		}
	}
	if len(d.Failover) > 0 {
		c.Failover = map[string]failover.Config{}
	}
	for id, f := range d.Failover {
		c.Failover[id] = failover.Config{
			Automatic: f.Automatic, Threshold: f.Threshold, HoldDown: time.Duration(f.HoldDown),
			ProbeInterval: time.Duration(f.ProbeInterval), RejectInactive: f.RejectInactive,
			DrainPeriod: time.Duration(f.DrainPeriod), Replica: b.replica(&f.Replica),
		}
	}
	if d.Monitors != nil {
		c.Monitors = b.monitors(d.Monitors)
	}
	return c
}

// monitors reads the keys of monitors. Verdicts are signed, so a store of them need not be trusted.
func (b *builder) monitors(m *monitors) *monitor.Config {
	c := &monitor.Config{
		Fleet: m.Fleet, Keys: map[string]ed25519.PublicKey{}, PollInterval: time.Duration(m.PollInterval),
	}
	for _, name := range slices.Sorted(maps.Keys(m.Keys)) {
		key, err := b.publicKey(m.Keys[name])
		if err != nil {
			b.add(m.At, "keys.%s: %w", name, err)
			continue
		}
		c.Keys[name] = key.Key
	}
	for i, name := range m.Stores {
		if s, ok := b.inner[name]; ok {
			c.Stores = append(c.Stores, s)
		} else {
			b.noStore(m.At, "stores["+strconv.Itoa(i)+"]", name)
		}
	}
	return c
}

func (b *builder) keys(k *keys) jwks.Config {
	c := jwks.Config{
		RefreshInterval: time.Duration(k.RefreshInterval), MaxStale: time.Duration(k.MaxStale),
		UnknownKeyInterval: time.Duration(k.UnknownKeyInterval), UnknownKeyWait: time.Duration(k.UnknownKeyWait),
		InsecureHTTPHosts: k.InsecureHTTPHosts, InsecureKnownKeys: k.InsecureKnownKeys,
		MaxKeySetBytes: k.MaxKeySetBytes, MaxKeys: k.MaxKeys, MaxRSABits: k.MaxRSABits, MaxRequests: k.MaxRequests,
	}
	if k.Snapshots != "" {
		c.Snapshots = b.storeNamed(k.At, "snapshots", k.Snapshots)
	}
	if k.CAFile != "" {
		c.HTTPClient = b.clientOf(k.At, k.CAFile, b.files)
	}
	return c
}

func (b *builder) clientOf(at place, file string, noted digests) *http.Client {
	client, err := b.client(file, noted)
	if err != nil {
		b.add(at, "caFile: %w", err)
	}
	return client
}

func (b *builder) replica(r *replica) store.ReplicaConfig {
	c := store.ReplicaConfig{
		Name: r.Name, PollInterval: time.Duration(r.PollInterval), MaxSilence: time.Duration(r.MaxSilence), MinEpoch: r.MinEpoch,
	}
	for i, name := range r.Stores {
		if s := b.storeNamed(r.At, "stores["+strconv.Itoa(i)+"]", name); s != nil {
			c.Stores = append(c.Stores, s)
		}
	}
	if r.LocalCopy != "" {
		c.LocalCopy = b.storeNamed(r.At, "localCopy", r.LocalCopy)
	}
	return c
}

func (b *builder) policy(p *policy) verifier.Policy {
	made := b.provider(&p.Provider)
	made.Audience = b.audience(&p.Audience)
	made.Types, made.RequiredClaims, made.ScopeClaims = p.Types, p.RequiredClaims, p.ScopeClaims
	made.ClientIDClaims, made.GroupClaims, made.AllowMissingKeyID = p.ClientIDClaims, p.GroupClaims, p.AllowMissingKeyID
	made.MaxLifetime = time.Duration(p.MaxLifetime)
	if len(p.Algorithms) > 0 {
		made.Algorithms = p.Algorithms
	}
	if p.At.node.find("maxAge") != nil {
		made.MaxAge = time.Duration(p.MaxAge)
	}
	return made
}

// provider returns a policy that has a provider, and nothing else but what the kind of provider demands.
func (b *builder) provider(p *provider) (made verifier.Policy) {
	kinds := 0
	for _, name := range []string{"cognito", "oidc", "kubernetes", "awsRoles", "regions"} {
		if p.At.node.find(name) != nil {
			kinds++
		}
	}
	if kinds != 1 {
		b.add(p.At, "exactly one of cognito, oidc, kubernetes, awsRoles and regions is wanted, and %d were found", kinds)
		return made
	}
	if p.Kubernetes != nil && p.CAFile != "" {
		b.add(p.At, "caFile: that of a cluster is a member of kubernetes")
		return made
	}
	var client *http.Client
	id := p.At.node.description() + b.dir
	if p.CAFile != "" {
		if client = b.clientOf(p.At, p.CAFile, b.policies); client == nil {
			return made
		}
	}
	if p.AWSRoles != nil {
		made = verifier.AWS(p.AWSRoles.Issuer, p.AWSRoles.Account)
	} else {
		made.Provider = b.described(p, id)
	}
	if p.ID != "" {
		if p.Cognito != nil {
			b.add(p.At, "id: the ID of a Cognito user pool is that of the pool")
		}
		made.Provider.ID = p.ID
	}
	made.Provider.SeparateKeys = made.Provider.SeparateKeys || p.SeparateKeys
	if client != nil {
		made.Provider.HTTPClient = client
	}
	b.providers[id] = made.Provider
	return made
}

// described returns the provider with a description; one that is kept has the same HTTP client as before, and so its keys.
func (b *builder) described(p *provider, id string) issuer.Provider {
	if same, ok := b.before.providers[id]; ok {
		return same
	}
	switch {
	case p.Cognito != nil:
		return issuer.UserPool{
			ID: p.Cognito.Pool, Replicas: p.Cognito.Replicas, Mode: p.Cognito.Mode, Domain: p.Cognito.Domain,
		}.Provider()
	case p.Kubernetes != nil:
		k := p.Kubernetes
		absolute := func(name string) string {
			path, err := filepath.Abs(b.path(name))
			if name == "" || err != nil {
				return name // issuer.Kubernetes reports what is not absolute
			}
			return path
		}
		return issuer.Kubernetes(k.Issuer, k.Server, absolute(k.CAFile), absolute(k.TokenFile))
	case p.Regions != nil:
		made := issuer.Provider{ID: p.ID}
		for _, r := range p.Regions {
			made.Regions = append(made.Regions, issuer.Region(r))
		}
		return made
	}
	return issuer.OIDC(p.OIDC)
}

func (b *builder) audience(a *audience) verifier.AudiencePolicy {
	if n := len(a.At.node.members); n != 1 {
		b.add(a.At, "exactly one member is wanted, and %d were found", n)
		return verifier.AudiencePolicy{}
	}
	all := func(parts []audience) (policies []verifier.AudiencePolicy) {
		for i := range parts {
			policies = append(policies, b.audience(&parts[i]))
		}
		return policies
	}
	switch a.At.node.members[0].name {
	case "audience":
		return verifier.Audience(a.Audience...)
	case "cognitoAccess":
		return verifier.CognitoAccess(a.CognitoAccess...)
	case "cognitoID":
		return verifier.CognitoID(a.CognitoID...)
	case "cognitoDerived":
		return verifier.CognitoDerived(a.CognitoDerived.Audience, a.CognitoDerived.Clients...)
	case "idToken":
		return verifier.IDToken(a.IDToken...)
	case "anyOf":
		return verifier.AnyOf(all(a.AnyOf)...)
	case "allOf":
		return verifier.AllOf(all(a.AllOf)...)
	}
	if !a.InsecureAnyAudience {
		b.add(a.At, "insecureAnyAudience is false: say for whom tokens must have been issued")
		return verifier.AudiencePolicy{}
	}
	return verifier.InsecureAnyAudience()
}
