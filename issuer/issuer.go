// Package issuer describes who issues tokens. A [Provider] is an identity provider that is deployed in one or more regions; each
// [Region] says which iss its tokens carry and where it publishes its keys.
//
// The types are plain values, and nothing in this package does I/O, except the HTTPClient of [Kubernetes] when it is used.
// Descriptions do not fail: the constructors that receive a Provider, such as jwks.New, verifier.New and failover.New, return
// every problem with it at once. [Cognito] and [UserPool.Provider] describe an Amazon Cognito user pool, [OIDC] an OpenID
// Connect provider with a single region, and [Kubernetes] a cluster.
package issuer

import "net/http"

// Provider is an identity provider that is deployed in one or more regions: a Cognito user pool, a Keycloak realm, an Auth0
// tenant. The zero value is not valid.
type Provider struct {
	// ID names the provider. It is required and must stay the same for as long as user records exist: the iss of a user's
	// tokens can change with the region that issues them, so store records by ID and sub. At most 256 bytes, without spaces and
	// control characters.
	ID string

	// Regions lists at least one region and at most 16; the first is the primary.
	Regions []Region

	// SeparateKeys says that each region signs only with keys that it lists itself. A token is then attributed to the regions
	// that list its key, even if another one has not answered yet.
	SeparateKeys bool

	// HTTPClient sends the requests for the keys of this provider: with a private CA, or with a bearer token. Nil means the
	// client of the part that sends them. Providers that share a client share their fetches.
	HTTPClient *http.Client `json:"-"`

	problem error // of the description that the Provider was made from
}

// Region is one deployment of a Provider.
type Region struct {
	// Name is required and unique in the provider: "us-east-1". At most 256 bytes, without spaces and control characters.
	Name string

	// Issuers lists the iss values that tokens of this region may carry, at least one and at most 16. They are compared byte for
	// byte with the decoded claim. Several regions may list the same value. If JWKSURLs and DiscoveryURL are empty, each must be
	// an absolute URL without query and fragment (OpenID Connect Core, section 2; RFC 8414, section 2). Otherwise any text is
	// allowed (StringOrURI, RFC 7519, section 2): at most 512 bytes, without control characters, characters that change the
	// direction of writing, and space around it.
	Issuers []string

	// JWKSURLs lists the URLs that publish the keys of this region, at most 16. All return the same key set; the preferred one is
	// first. They must be https URLs, except for the hosts that jwks.Config.InsecureHTTPHosts lists and loopback hosts. Empty
	// means discovery, on first use.
	JWKSURLs []string

	// OptionalJWKSURLs lists those of JWKSURLs that may not be enabled yet, and then answer 403 or 404. Until such a URL has had
	// a good answer, 403 and 404 mean that it has no keys, as long as another URL works.
	OptionalJWKSURLs []string

	// DiscoveryURL is where the metadata is read if JWKSURLs is empty; optional. "" means the well-known URLs of OpenID Connect
	// Discovery and then of RFC 8414 for each of Issuers.
	DiscoveryURL string

	// TokenURL is the token endpoint for machine clients; optional. Package clientcredentials demands https, except for
	// loopback hosts and its InsecureHTTPHosts.
	TokenURL string
}

// OIDC returns a Provider with a single region named "default" whose keys are discovered from issuerURL (OpenID Connect
// Discovery, section 4, or RFC 8414). The ID of the Provider is issuerURL; change it if the URL may change while user records
// exist. OIDC does not fail: the constructor that receives the Provider reports an invalid URL.
func OIDC(issuerURL string) Provider {
	return Provider{ID: issuerURL, Regions: []Region{{Name: "default", Issuers: []string{issuerURL}}}}
}
