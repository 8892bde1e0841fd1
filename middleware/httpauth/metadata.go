package httpauth

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/middleware"
)

// Metadata describes a protected resource to its clients, which find out from it where to get a token: RFC 9728. MCP clients
// depend on it. Resource and AuthorizationServers are required.
type Metadata struct {
	// Resource is the identifier of the resource: an https URL (or http on loopback) without query and fragment. Its origin is
	// also that of the htu of DPoP proofs, unless Config.ExternalURL is set.
	Resource string

	// AuthorizationServers returns the issuer identifiers of the authorization servers, the preferred one first. It is called
	// for each request, so that it can list the active region first, and must be safe for concurrent use.
	AuthorizationServers func() []string

	Scopes        []string // scopes_supported; optional
	Name          string   // resource_name, for people; optional
	Documentation string   // resource_documentation, a URL for developers; optional
}

const wellKnown = "/.well-known/oauth-protected-resource"

// compile returns a copy of d, the URL of its document (RFC 9728, section 3.1), and the origin of the resource.
func (d *Metadata) compile() (m *Metadata, document, origin string, err error) {
	c := *d
	c.Scopes = slices.Clone(d.Scopes)
	u, err := url.Parse(d.Resource)
	switch {
	case err != nil || u.Host == "" || u.User != nil || strings.ContainsAny(d.Resource, "?#") || !quotable(d.Resource):
		err = errors.New("httpauth: Metadata.Resource is not a URL without query and fragment")
	case u.Scheme != "https" && (u.Scheme != "http" || !issuer.IsLoopback(u.Hostname())):
		err = errors.New("httpauth: Metadata.Resource: https is required")
	}
	if d.AuthorizationServers == nil {
		err = errors.Join(err, errors.New("httpauth: Metadata.AuthorizationServers is not set"))
	}
	if err != nil {
		return nil, "", "", err
	}
	origin = u.Scheme + "://" + u.Host
	return &c, origin + wellKnown + strings.TrimSuffix(u.EscapedPath(), "/"), origin, nil
}

// MetadataPath is the path at which the metadata document of the resource is expected; "" without Config.Metadata.
func (m *Middleware) MetadataPath() string {
	if m == nil || m.metadata == "" {
		return ""
	}
	u, err := url.Parse(m.metadata)
	if err != nil {
		return ""
	}
	return u.EscapedPath()
}

// MetadataHandler serves the metadata document of the resource, to whoever asks: RFC 9728, section 3.2. Without Config.Metadata
// there is none, and the answer is 404.
func (m *Middleware) MetadataHandler() http.Handler {
	m = m.orNone()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := m.config.Metadata
		if d == nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Access-Control-Allow-Origin", "*") // it is public, and read by clients in browsers
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
		body, err := json.Marshal(m.document(d))
		if err != nil {
			http.Error(w, "no metadata", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	})
}

// document is the metadata document: RFC 9728, section 2.
func (m *Middleware) document(d *Metadata) any {
	var document struct {
		Resource      string   `json:"resource"`
		Servers       []string `json:"authorization_servers,omitempty"`
		Scopes        []string `json:"scopes_supported,omitempty"`
		Methods       []string `json:"bearer_methods_supported"`
		Name          string   `json:"resource_name,omitempty"`
		Documentation string   `json:"resource_documentation,omitempty"`
		Certificates  bool     `json:"tls_client_certificate_bound_access_tokens,omitempty"`
		Algorithms    []string `json:"dpop_signing_alg_values_supported,omitempty"`
		Bound         bool     `json:"dpop_bound_access_tokens_required,omitempty"`
	}
	document.Resource, document.Servers, document.Scopes = d.Resource, d.AuthorizationServers(), d.Scopes
	document.Name, document.Documentation = d.Name, d.Documentation
	document.Methods = []string{}
	if slices.Contains(m.config.Sources, FromAuthorization()) {
		document.Methods = []string{"header"}
	}
	document.Certificates = m.config.Certificates != middleware.Off
	if m.config.DPoP != nil {
		document.Algorithms = m.algorithms()
		document.Bound = m.config.DPoPMode == middleware.Required
	}
	return document
}
