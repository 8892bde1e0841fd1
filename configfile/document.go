package configfile

import (
	"github.com/regionjwt/regionjwt/issuer"
)

// The types below are the members of the file. A tag need marks a member that must be there. schema.json says what each means; a
// test compares it with these types.

type document struct {
	Schema        string                   `json:"$schema"`
	Policies      []policy                 `json:"policies" need:"yes"`
	Keys          keys                     `json:"keys"`
	Tokens        tokens                   `json:"tokens"`
	Revocation    *rules                   `json:"revocation"`
	Failover      map[string]failOver      `json:"failover"`
	Stores        map[string]location      `json:"stores"`
	LoadBalancers map[string]loadBalancers `json:"loadBalancers"`
	At            place
}

type policy struct {
	Provider          provider `json:"provider" need:"yes"`
	Audience          audience `json:"audience" need:"yes"`
	Algorithms        []string `json:"algorithms"`
	Types             []string `json:"types"`
	RequiredClaims    []string `json:"requiredClaims"`
	ScopeClaims       []string `json:"scopeClaims"`
	ClientIDClaims    []string `json:"clientIDClaims"`
	GroupClaims       []string `json:"groupClaims"`
	AllowMissingKeyID bool     `json:"allowMissingKeyID"`
	MaxAge            duration `json:"maxAge"`
	MaxLifetime       duration `json:"maxLifetime"`
	At                place
}

type provider struct {
	ID           string      `json:"id"`
	Cognito      *cognito    `json:"cognito"`
	OIDC         string      `json:"oidc"`
	Kubernetes   *kubernetes `json:"kubernetes"`
	AWSRoles     *awsRoles   `json:"awsRoles"`
	Regions      []region    `json:"regions"`
	SeparateKeys bool        `json:"separateKeys"`
	CAFile       string      `json:"caFile"`
	At           place
}

type cognito struct {
	Pool     string             `json:"pool" need:"yes"`
	Replicas []string           `json:"replicas"`
	Mode     issuer.CognitoMode `json:"mode"`
	Domain   string             `json:"domain"`
}

type kubernetes struct {
	Issuer    string `json:"issuer" need:"yes"`
	Server    string `json:"server"`
	CAFile    string `json:"caFile"`
	TokenFile string `json:"tokenFile"`
}

type awsRoles struct {
	Issuer  string `json:"issuer" need:"yes"`
	Account string `json:"account" need:"yes"`
}

type region struct {
	Name             string   `json:"name" need:"yes"`
	Issuers          []string `json:"issuers" need:"yes"`
	JWKSURLs         []string `json:"jwksURLs"`
	OptionalJWKSURLs []string `json:"optionalJWKSURLs"`
	DiscoveryURL     string   `json:"discoveryURL"`
	TokenURL         string   `json:"tokenURL"`
}

// audience has one member.
type audience struct {
	Audience            []string   `json:"audience"`
	CognitoAccess       []string   `json:"cognitoAccess"`
	CognitoID           []string   `json:"cognitoID"`
	CognitoDerived      *derived   `json:"cognitoDerived"`
	IDToken             []string   `json:"idToken"`
	AnyOf               []audience `json:"anyOf"`
	AllOf               []audience `json:"allOf"`
	InsecureAnyAudience bool       `json:"insecureAnyAudience"`
	At                  place
}

type derived struct {
	Audience string   `json:"audience" need:"yes"`
	Clients  []string `json:"clients" need:"yes"`
}

type keys struct {
	RefreshInterval    duration `json:"refreshInterval"`
	MaxStale           duration `json:"maxStale"`
	UnknownKeyInterval duration `json:"unknownKeyInterval"`
	UnknownKeyWait     duration `json:"unknownKeyWait"`
	InsecureHTTPHosts  []string `json:"insecureHTTPHosts"`
	InsecureKnownKeys  []string `json:"insecureKnownKeys"`
	Snapshots          string   `json:"snapshots"`
	MaxKeySetBytes     int      `json:"maxKeySetBytes"`
	MaxKeys            int      `json:"maxKeys"`
	MaxRSABits         int      `json:"maxRSABits"`
	MaxRequests        int      `json:"maxRequests"`
	CAFile             string   `json:"caFile"`
	At                 place
}

type tokens struct {
	Leeway        duration `json:"leeway"`
	MaxTokenBytes int      `json:"maxTokenBytes"`
	CacheSize     int      `json:"cacheSize"`
}

type rules struct {
	Replica           replica   `json:"replica"`
	Signals           []signals `json:"signals"`
	AllowUnknownRules bool      `json:"allowUnknownRules"`
}

// signals are rules that a receiver of security events writes.
type signals struct {
	Replica     replica  `json:"replica" need:"yes"`
	Providers   []string `json:"providers" need:"yes"`
	MaxLifetime duration `json:"maxLifetime"`
}

type failOver struct {
	Automatic      bool     `json:"automatic"`
	Threshold      int      `json:"threshold"`
	HoldDown       duration `json:"holdDown"`
	ProbeInterval  duration `json:"probeInterval"`
	RejectInactive bool     `json:"rejectInactive"`
	DrainPeriod    duration `json:"drainPeriod"`
	Replica        replica  `json:"replica"`
}

// loadBalancers are those that authenticate the users of a provider.
type loadBalancers struct {
	ARNs     []string          `json:"arns" need:"yes"`
	Clients  []string          `json:"clients" need:"yes"`
	KeysURLs map[string]string `json:"keysURLs"`
	At       place
}

type replica struct {
	Stores       []string `json:"stores"`
	LocalCopy    string   `json:"localCopy"`
	Name         string   `json:"name"`
	PollInterval duration `json:"pollInterval"`
	MaxSilence   duration `json:"maxSilence"`
	MinEpoch     uint64   `json:"minEpoch"`
	At           place
}

// location is a store, and why it may be trusted.
type location struct {
	URL            string      `json:"url" need:"yes"`
	Prefix         string      `json:"prefix"`
	PasswordFile   string      `json:"passwordFile"`
	Fleet          string      `json:"fleet"`
	PublicKeys     []publicKey `json:"publicKeys"`
	PrivateKeyFile string      `json:"privateKeyFile"`
	SecretFile     string      `json:"secretFile"`
	InsecureTrust  bool        `json:"insecureTrust"`
	At             place
}

type publicKey struct {
	File      string   `json:"file" need:"yes"`
	Documents []string `json:"documents"`
}
