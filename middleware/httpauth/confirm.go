package httpauth

import (
	"crypto/x509"
	"net/http"
	"net/url"
	"strings"

	"github.com/regionjwt/regionjwt/internal/authz"
	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/verifier"
)

// confirm checks that the sender of a token has the keys that it is bound to.
func (m *Middleware) confirm(r *http.Request, c credentials, t *verifier.Token) error {
	if m.config.InsecureIgnoreConfirmation {
		return nil
	}
	bound, err := authz.ConfirmationOf(t)
	if err != nil {
		return err
	}
	certificate := func() (*x509.Certificate, error) { return m.certificate(r) }
	err = authz.CheckCertificate(t, bound, m.config.RequireCertificate, certificate)
	if err != nil {
		return err
	}
	switch {
	case bound.JWK == "" && !c.dpop:
		return nil
	case m.config.DPoP == nil:
		return authz.Unproven(t, authz.ErrDPoP)
	}
	url, err := m.url(r)
	if err != nil {
		return err
	}
	return m.config.DPoP.Check(r, url, t)
}

// certificate returns the certificate of the client, or nil.
func (m *Middleware) certificate(r *http.Request) (certificate *x509.Certificate, err error) {
	if m.config.ClientCertificate != nil {
		err = guard.Call("Config.ClientCertificate", func() { certificate = m.config.ClientCertificate(r) })
		return certificate, err
	}
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, nil //nolint:nilnil // the client has none
	}
	return r.TLS.PeerCertificates[0], nil
}

// url returns the URL of the request as its client sees it. The origin is configured, as the client chooses Host. It is "", which
// no proof is for, if the request has no path.
func (m *Middleware) url(r *http.Request) (external string, err error) {
	if m.config.ExternalURL != nil {
		err = guard.Call("Config.ExternalURL", func() { external = m.config.ExternalURL(r) })
		return external, err
	}
	asked := r.URL
	if u, err := url.ParseRequestURI(r.RequestURI); err == nil { // as it arrived: http.StripPrefix changes r.URL
		asked = u
	}
	path := asked.EscapedPath()
	if !strings.HasPrefix(path, "/") {
		return "", nil
	}
	return m.resource.origin + path, nil
}
