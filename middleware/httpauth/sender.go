package httpauth

import (
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/dpop"
	"github.com/regionjwt/regionjwt/verifier"
)

// checkSender has the sender of a token that is bound to a key prove it. Where neither DPoP nor certificates are asked for,
// every token is a bearer token.
func (m *Middleware) checkSender(r *http.Request, c credential, t *verifier.Token) error {
	if m.config.DPoP == nil && m.config.Certificates == middleware.Off {
		return nil
	}
	var supported []string
	if m.config.DPoP != nil {
		supported = append(supported, middleware.JWKThumbprint)
	}
	if m.config.Certificates != middleware.Off {
		supported = append(supported, middleware.CertificateThumbprint)
	}
	if err := middleware.CheckConfirmation(t, supported...); err != nil {
		return err
	}
	if err := middleware.CheckCertificate(t, m.certificate(r), m.config.Certificates); err != nil {
		return err
	}
	if m.config.DPoP == nil {
		return nil
	}
	return m.checkProof(r, c, t)
}

func (m *Middleware) certificate(r *http.Request) *x509.Certificate {
	if m.config.Certificates == middleware.Off {
		return nil
	}
	if m.config.ClientCertificate != nil {
		return m.config.ClientCertificate(r)
	}
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil
	}
	return r.TLS.PeerCertificates[0]
}

// checkProof asks for a DPoP proof where the token is bound to a key, or was presented under the DPoP scheme: RFC 9449, sections
// 7.1 and 7.2.
func (m *Middleware) checkProof(r *http.Request, c credential, t *verifier.Token) error {
	jkt, err := t.Confirmation(middleware.JWKThumbprint)
	refuse := func(cause error) error {
		return &verifier.Error{Reason: verifier.ReasonUnproved, Provider: t.Provider(), Region: t.Region(), Err: cause}
	}
	switch {
	case err != nil:
		return refuse(err)
	case !c.dpop && jkt != "":
		return refuse(errors.New("a token that is bound by DPoP was presented as a bearer token"))
	case !c.dpop && m.config.DPoPMode == middleware.Required, c.dpop && jkt == "":
		return refuse(errors.New("the token is not bound by DPoP"))
	case !c.dpop:
		return nil
	}
	return m.config.DPoP.Check(r.Context(), dpop.Proof{
		Values: r.Header[http.CanonicalHeaderKey("DPoP")], Method: r.Method, URL: m.url(r), Token: c.token, Thumbprint: jkt,
	})
}

// url is that of the request as its client sees it. Its origin is configured: the client chooses what Host says. It is "", which
// fits no proof, if the request has no path.
func (m *Middleware) url(r *http.Request) string {
	if m.config.ExternalURL != nil {
		return m.config.ExternalURL(r)
	}
	asked := r.URL
	if u, err := url.ParseRequestURI(r.RequestURI); err == nil { // as it came, whatever http.StripPrefix has made of r.URL since
		asked = u
	}
	path := asked.EscapedPath()
	if !strings.HasPrefix(path, "/") {
		return ""
	}
	return m.origin + path
}

// algorithms lists those of proofs, for challenges.
func (m *Middleware) algorithms() []string { return slices.Clone(m.config.DPoP.Algorithms()) }
