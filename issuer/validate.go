package issuer

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/regionjwt/regionjwt/internal/control"
	"github.com/regionjwt/regionjwt/internal/issuercheck"
)

// Limits of a description.
const (
	maxName   = 256  // bytes of an ID or a region's name
	maxIssuer = 512  // bytes of an iss
	maxURL    = 2048 // bytes of a URL
	maxValues = 16   // regions of a provider, issuers or JWKS URLs of a region
)

var _ = issuercheck.Provide(issuercheck.Checks{
	Validate: func(provider any) error {
		p, ok := provider.(Provider)
		if !ok {
			return fmt.Errorf("%T is not an issuer.Provider", provider)
		}
		return p.validate()
	},
	UnknownRegions: func(provider any) []string {
		p, _ := provider.(Provider)
		return p.unknownRegions()
	},
	Issuers: func(provider any) (all []string) {
		p, _ := provider.(Provider)
		for _, r := range p.Regions {
			all = append(all, r.Issuers...)
		}
		return all
	},
})

// validate returns every problem with p as one joined error. Whether http is allowed for a JWKS URL, a discovery URL or an issuer
// is decided by package jwks.
func (p Provider) validate() error {
	if p.problem != nil && len(p.Regions) == 0 {
		return p.problem
	}
	errs := []error{p.problem}
	add := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("provider %q: "+format, append([]any{p.ID}, args...)...))
	}
	if err := checkName(p.ID); err != nil {
		add("ID: %w", err)
	}
	if len(p.Regions) == 0 {
		add("no regions")
	}
	if len(p.Regions) > maxValues {
		add("more than %d regions", maxValues)
	}
	seen := map[string]bool{}
	for i, r := range p.Regions {
		label := fmt.Sprintf("region %q", r.Name)
		if err := checkName(r.Name); err != nil {
			label = fmt.Sprintf("Regions[%d]", i)
			add("%s.Name: %w", label, err)
		}
		if seen[r.Name] {
			add("region %q is listed twice", r.Name)
		}
		seen[r.Name] = true
		for _, err := range r.validate() {
			add("%s: %w", label, err)
		}
	}
	return errors.Join(errs...)
}

func (r Region) validate() (errs []error) {
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(r.Issuers) == 0 {
		add("no issuers")
	}
	if len(r.Issuers) > maxValues || len(r.JWKSURLs) > maxValues {
		add("more than %d issuers or JWKS URLs", maxValues)
	}
	discovered := len(r.JWKSURLs) == 0 && r.DiscoveryURL == ""
	for i, iss := range r.Issuers {
		if err := checkIssuer(iss, discovered); err != nil {
			add("issuer %q: %w", iss, err)
		}
		if slices.Contains(r.Issuers[:i], iss) {
			add("issuer %q is listed twice", iss)
		}
	}
	for i, s := range r.JWKSURLs {
		if _, err := parseURL(s); err != nil {
			add("JWKS URL %q: %w", s, err)
		}
		if slices.Contains(r.JWKSURLs[:i], s) {
			add("JWKS URL %q is listed twice", s)
		}
	}
	for _, s := range r.OptionalJWKSURLs {
		if !slices.Contains(r.JWKSURLs, s) {
			add("optional JWKS URL %q is not one of JWKSURLs", s)
		}
	}
	if r.DiscoveryURL != "" {
		if u, err := parseURL(r.DiscoveryURL); err != nil {
			add("discovery URL %q: %w", r.DiscoveryURL, err)
		} else if len(r.JWKSURLs) > 0 {
			add("discovery URL %q: JWKSURLs is set, so it would not be used", u)
		} else if len(r.Issuers) > 1 {
			add("discovery URL %q: a document names one issuer, and the region lists %d", u, len(r.Issuers))
		}
	}
	if r.TokenURL != "" {
		if _, err := parseURL(r.TokenURL); err != nil {
			add("token URL %q: %w", r.TokenURL, err)
		}
	}
	return errs
}

// metadataPaths are the paths of metadata, by OpenID Connect Discovery, section 4, and RFC 8414, section 3.
var metadataPaths = []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"}

// checkIssuer checks an iss value. A discovered one is also the URL from which the URL of its metadata is built.
func checkIssuer(iss string, discovered bool) error {
	if slices.ContainsFunc(metadataPaths, func(path string) bool { return strings.Contains(iss, path) }) {
		return errors.New("this is a discovery URL: give the iss of the tokens, and set DiscoveryURL if it cannot be derived")
	}
	switch {
	case iss == "":
		return errors.New("empty")
	case len(iss) > maxIssuer:
		return fmt.Errorf("longer than %d bytes", maxIssuer)
	case discovered:
		u, err := parseURL(iss)
		if err == nil && (u.RawQuery != "" || u.ForceQuery) {
			err = errors.New("has a query")
		}
		return err
	case !utf8.ValidString(iss):
		return errors.New("contains invalid UTF-8")
	case strings.ContainsFunc(iss, control.Character):
		return errors.New("contains a control character, or one that changes the direction of writing")
	case strings.TrimSpace(iss) != iss:
		return errors.New("starts or ends with a space")
	}
	return nil
}

func checkName(s string) error {
	if s == "" {
		return errors.New("required")
	}
	if len(s) > maxName {
		return fmt.Errorf("longer than %d bytes", maxName)
	}
	for _, c := range s {
		if c <= ' ' || c == 0x7F || c == utf8.RuneError {
			return errors.New("contains a space, a control character or invalid UTF-8")
		}
	}
	return nil
}

// parseURL accepts absolute http and https URLs without user information and fragment.
func parseURL(s string) (*url.URL, error) {
	if s == "" {
		return nil, errors.New("empty")
	}
	if len(s) > maxURL {
		return nil, fmt.Errorf("longer than %d bytes", maxURL)
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7F || s[i] == '\\' {
			return nil, errors.New("contains a character that is not allowed in a URL")
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
		return nil, errors.New("contains credentials")
	case u.Port() != "" && !isPort(u.Port()):
		return nil, errors.New("has a port that is not from 1 to 65535")
	case u.Fragment != "" || strings.Contains(s, "#"):
		return nil, errors.New("has a fragment")
	}
	return u, nil
}

func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}
