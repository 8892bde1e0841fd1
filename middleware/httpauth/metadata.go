package httpauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/outbound"
)

// Metadata describes a protected resource (RFC 9728), so that clients find out where to get a token. MCP clients need it.
// Resource and AuthorizationServers are required.
type Metadata struct {
	// Resource is the identifier of the resource: an https URL, or http on loopback, without query and fragment. Its origin is
	// also that of the htu of DPoP proofs, unless Config.ExternalURL is set.
	Resource string

	// AuthorizationServers returns the issuers of the authorization servers, the preferred one first. It is called for each
	// request for the document, so it can return the active region first: failover.Controller has such a function. If it returns
	// none, the document is answered with 500, as clients could not use it. It must be safe for concurrent use.
	AuthorizationServers func() []string

	// Scopes are scopes_supported: those that clients usually need, without offline_access, which is not for the resource.
	Scopes []string

	// Extra are other members of the document: resource_name, resource_documentation.
	Extra map[string]any
}

const wellKnown = "/.well-known/oauth-protected-resource"

// The members of the document that Extra may not set.
const (
	memberResource     = "resource"
	memberServers      = "authorization_servers"
	memberScopes       = "scopes_supported"
	memberMethods      = "bearer_methods_supported"
	memberCertificates = "tls_client_certificate_bound_access_tokens"
	memberAlgorithms   = "dpop_signing_alg_values_supported"
	memberBound        = "dpop_bound_access_tokens_required"
)

// resource is a Metadata that was checked. It is zero if there is none.
type resource struct {
	identifier string
	servers    func() []string
	scopes     []string
	extra      map[string]json.RawMessage
	origin     string // of the resource
	document   string // the URL of the document (RFC 9728 section 3.1)
	path       string // its path
}

// compile checks and copies d.
func (d *Metadata) compile() (resource, error) {
	var errs []error
	u, err := url.Parse(d.Resource)
	switch {
	case err != nil || u.Host == "" || u.User != nil || strings.ContainsAny(d.Resource, "?#") || !quotable(d.Resource):
		errs = append(errs, errors.New("httpauth: Metadata.Resource is not a URL without user, query and fragment"))
	case !outbound.Allowed(u, nil):
		errs = append(errs, errors.New("httpauth: Metadata.Resource: https is required"))
	}
	if d.AuthorizationServers == nil {
		errs = append(errs, errors.New("httpauth: Metadata.AuthorizationServers is nil"))
	}
	extra := map[string]json.RawMessage{}
	for _, name := range slices.Sorted(maps.Keys(d.Extra)) {
		switch name {
		case memberResource, memberServers, memberScopes, memberMethods, memberCertificates, memberAlgorithms, memberBound:
			errs = append(errs, fmt.Errorf("httpauth: Metadata.Extra may not set %q", name))
		}
		if extra[name], err = json.Marshal(d.Extra[name]); err != nil {
			errs = append(errs, fmt.Errorf("httpauth: Metadata.Extra[%q] cannot be written as JSON: %w", name, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return resource{}, err
	}
	origin := u.Scheme + "://" + u.Host
	path := wellKnown + strings.TrimSuffix(u.EscapedPath(), "/")
	return resource{
		identifier: d.Resource, servers: d.AuthorizationServers, scopes: slices.Clone(d.Scopes), extra: extra,
		origin: origin, document: origin + path, path: path,
	}, nil
}

// quotable reports whether s needs no escape in a quoted parameter (RFC 6750 section 3).
func quotable(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' })
}

// ResourceMetadata returns the pattern and the handler of the metadata document, as arguments for http.ServeMux.Handle (RFC 9728
// section 3). Everyone may read the document. Without Config.Metadata, the handler answers 404.
func (m *Middleware) ResourceMetadata() (pattern string, h http.Handler) {
	if m == nil || m.resource.path == "" {
		return wellKnown, http.NotFoundHandler()
	}
	return m.resource.path, http.HandlerFunc(m.serveMetadata)
}

func (m *Middleware) serveMetadata(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Access-Control-Allow-Origin", "*") // it is public, and clients in browsers read it
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		w.Header().Set("Access-Control-Allow-Methods", "GET, HEAD")
		w.Header().Set("Access-Control-Allow-Headers", "*")
		w.WriteHeader(http.StatusNoContent)
		return
	default:
		w.Header().Set("Allow", "GET, HEAD, OPTIONS")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	var servers []string
	err := guard.Call("Metadata.AuthorizationServers", func() { servers = m.resource.servers() })
	guard.Report(err)
	var body []byte
	if err == nil {
		body, err = json.Marshal(m.metadata(servers))
	}
	if err != nil || len(servers) == 0 {
		http.Error(w, "no metadata", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

// metadata returns the metadata document (RFC 9728 section 2).
func (m *Middleware) metadata(servers []string) map[string]any {
	methods := []string{}
	if m.readsAuthorization() {
		methods = append(methods, "header")
	}
	d := map[string]any{memberResource: m.resource.identifier, memberServers: servers, memberMethods: methods}
	add := func(applies bool, name string, value any) {
		if applies {
			d[name] = value
		}
	}
	add(len(m.resource.scopes) > 0, memberScopes, m.resource.scopes)
	add(m.config.RequireCertificate || m.config.ClientCertificate != nil, memberCertificates, true)
	add(m.config.DPoP != nil, memberAlgorithms, m.config.DPoP.Algorithms())
	add(m.config.RequireDPoP, memberBound, true)
	for name, value := range m.resource.extra {
		d[name] = value
	}
	return d
}
