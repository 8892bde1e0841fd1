package serve

import (
	"errors"
	"strings"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/serve/routes"
)

// The dialects.
const (
	Nginx = "nginx"
	Caddy = "caddy"
	Envoy = "envoy"
)

// dialect says in which headers a proxy sends the method and the URI of the original request.
type dialect struct{ method, uri string }

var dialects = map[string]dialect{
	Nginx: {"X-Original-Method", "X-Original-Uri"},
	Caddy: {"X-Forwarded-Method", "X-Forwarded-Uri"},
	Envoy: {"", "x-envoy-original-path"}, // it is not read: Envoy sends method and path outside of the headers
}

// misleading lists the canonical names of headers in which some proxy sends an original method or URI, or with which some
// application replaces them. A request with one that is not of the dialect is rejected: two parties would see different requests.
var misleading = map[string]bool{
	"x-original-uri": true, "x-original-method": true, "x-original-url": true, "x-original-path": true,
	"x-forwarded-uri": true, "x-forwarded-method": true, "x-forwarded-path": true, "x-forwarded-url": true,
	"x-rewrite-url": true, "x-rewrite-uri": true, "x-replaced-path": true, "x-request-uri": true,
	"x-envoy-original-path": true, "x-envoy-original-method": true, "x-auth-request-redirect": true,
	"x-http-method": true, "x-http-method-override": true, "x-method-override": true,
}

var (
	errMisleading = errors.New("a header with an original method or URI that is not of the dialect")
	errAlias      = errors.New("a header with an underscore in the place of a dash of an identity header")
	errMissing    = errors.New("the method or the URI of the original request is missing, or there are several")
)

// misleads reports a header that cannot be let through: one of another dialect, or an alias of an identity header if the proxy
// cannot be told to remove it.
func (r *Rules) misleads(name string, own dialect, removable bool) error {
	underscore := strings.IndexByte(name, '_') >= 0
	if !underscore && !strings.HasPrefix(name, "x") && !strings.HasPrefix(name, "X") {
		return nil
	}
	c := routes.Canonical(name)
	if misleading[c] && name != own.method && name != own.uri {
		return errMisleading
	}
	if !removable && underscore && r.identity[c] {
		return errAlias
	}
	return nil
}
