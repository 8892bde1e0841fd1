// Package issuer describes who mints tokens: an [Provider], one identity provider deployed in one or more regions, and
// what each [Region] of it may write into a token and where it publishes its keys.
//
// The types are plain values without behaviour; nothing in this package does I/O. [Cognito] fills a Provider for an
// Amazon Cognito user pool.
package issuer

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Provider is one identity provider, deployed in one or more regions: a Cognito user pool, a Keycloak realm, an Auth0
// tenant. The zero value is not valid.
type Provider struct {
	// ID names the authority. It is required, and has to stay the same for as long as user records live: the iss of a
	// user's tokens may change with the region that mints them, so records are keyed by ID and sub.
	ID string

	// Regions holds at least one region; the first is the primary.
	Regions []Region

	// SeparateKeys states that no region signs with a key that it does not list. A token is then attributed to the regions that
	// list its key, even if another one has not answered yet.
	SeparateKeys bool

	// HTTPClient sends the requests for the keys of this provider: with a private CA, or with a bearer token. Nil means the
	// client of the part that sends them. Providers that share a client share their fetches.
	HTTPClient *http.Client `json:"-"`
}

// Region is one deployment of a Provider.
type Region struct {
	// Name is required and unique in the authority: "us-east-1".
	Name string

	// Issuers holds the exact iss values that tokens of this region may carry, at least one. They are compared octet
	// for octet with the decoded claim. Several regions may list the same value.
	Issuers []string

	// JWKSURLs holds the URLs that publish the keys of this region, all the same document, the preferred one first. Empty
	// means OpenID discovery from each of Issuers, on first use.
	JWKSURLs []string

	// OptionalJWKSURLs lists those of JWKSURLs that may not be enabled. While such a URL has never answered well, 403 and 404
	// mean that it has no keys, as long as another URL works.
	OptionalJWKSURLs []string

	// DiscoveryURL is where the metadata is read if JWKSURLs is empty; optional. "" means the well-known URLs of OpenID Connect
	// Discovery and then of RFC 8414 for each of Issuers.
	DiscoveryURL string

	// TokenURL is the token endpoint for machine clients; optional.
	TokenURL string
}

// Bounds on what a configuration may hold.
const (
	maxName   = 256  // octets of an ID or a region's name
	maxURL    = 2048 // octets of an iss or a URL
	maxValues = 16   // regions of an authority, issuers or JWKS URLs of a region
)

// Validate reports everything that is wrong with a, as one joined error, without I/O. An iss is an absolute https URL
// without query and fragment (OpenID Connect Core, section 2; RFC 8414, section 2); http is legal for loopback hosts
// only. A JWKS URL may be http here; package jwks decides for which hosts.
func (a Provider) Validate() error {
	var errs []error
	add := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("authority %q: "+format, append([]any{a.ID}, args...)...))
	}
	if err := checkName(a.ID); err != nil {
		add("ID: %w", err)
	}
	if len(a.Regions) == 0 {
		add("no regions")
	}
	if len(a.Regions) > maxValues {
		add("more than %d regions", maxValues)
	}
	seen := map[string]bool{}
	for i, r := range a.Regions {
		if err := checkName(r.Name); err != nil {
			add("region %d: name: %w", i, err)
		}
		if seen[r.Name] {
			add("region %q is listed twice", r.Name)
		}
		seen[r.Name] = true
		for _, err := range r.validate() {
			add("region %q: %w", r.Name, err)
		}
	}
	return errors.Join(errs...)
}

func (r Region) validate() (errs []error) {
	if len(r.Issuers) == 0 {
		errs = append(errs, errors.New("no issuers"))
	}
	if len(r.Issuers) > maxValues || len(r.JWKSURLs) > maxValues {
		errs = append(errs, fmt.Errorf("more than %d issuers or JWKS URLs", maxValues))
	}
	seen := map[string]bool{}
	for _, iss := range r.Issuers {
		u, err := parseURL(iss)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("issuer %q: %w", iss, err))
		case u.RawQuery != "" || u.ForceQuery:
			errs = append(errs, fmt.Errorf("issuer %q: has a query", iss))
		case u.Scheme == "http" && !IsLoopback(u.Hostname()):
			errs = append(errs, fmt.Errorf("issuer %q: http is refused, https is required", iss))
		}
		if seen[iss] {
			errs = append(errs, fmt.Errorf("issuer %q is listed twice", iss))
		}
		seen[iss] = true
	}
	clear(seen)
	for _, s := range r.JWKSURLs {
		if _, err := parseURL(s); err != nil {
			errs = append(errs, fmt.Errorf("JWKS URL %q: %w", s, err))
		}
		if seen[s] {
			errs = append(errs, fmt.Errorf("JWKS URL %q is listed twice", s))
		}
		seen[s] = true
	}
	for _, s := range r.OptionalJWKSURLs {
		if !slices.Contains(r.JWKSURLs, s) {
			errs = append(errs, fmt.Errorf("optional JWKS URL %q is not among JWKSURLs", s))
		}
	}
	if r.DiscoveryURL != "" {
		if u, err := parseURL(r.DiscoveryURL); err != nil {
			errs = append(errs, fmt.Errorf("discovery URL %q: %w", r.DiscoveryURL, err))
		} else if len(r.JWKSURLs) > 0 {
			errs = append(errs, fmt.Errorf("discovery URL %q: JWKSURLs are given, so it would not be used", u))
		} else if len(r.Issuers) > 1 {
			const text = "discovery URL %q: a document names one issuer, and the region lists %d"
			errs = append(errs, fmt.Errorf(text, u, len(r.Issuers)))
		}
	}
	if r.TokenURL != "" {
		if u, err := parseURL(r.TokenURL); err != nil {
			errs = append(errs, fmt.Errorf("token URL %q: %w", r.TokenURL, err))
		} else if u.Scheme == "http" && !IsLoopback(u.Hostname()) {
			errs = append(errs, fmt.Errorf("token URL %q: http is refused, https is required", r.TokenURL))
		}
	}
	return errs
}

// IsLoopback reports whether host, without a port, names this machine: localhost, or an address in 127.0.0.0/8 or ::1.
func IsLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

func checkName(s string) error {
	if s == "" {
		return errors.New("required")
	}
	if len(s) > maxName {
		return fmt.Errorf("longer than %d octets", maxName)
	}
	for _, c := range s {
		if c <= ' ' || c == 0x7F || c == '�' {
			return errors.New("holds a space, a control character or invalid UTF-8")
		}
	}
	return nil
}

// parseURL accepts absolute http and https URLs without user, fragment or anything that a URL cannot hold as it is.
func parseURL(s string) (*url.URL, error) {
	if s == "" {
		return nil, errors.New("empty")
	}
	if len(s) > maxURL {
		return nil, fmt.Errorf("longer than %d octets", maxURL)
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7F || s[i] == '\\' {
			return nil, errors.New("holds a character that a URL cannot")
		}
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("not an https URL")
	case u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("has no host")
	case u.User != nil:
		return nil, errors.New("holds credentials")
	case u.Fragment != "" || strings.Contains(s, "#"):
		return nil, errors.New("has a fragment")
	}
	return u, nil
}
