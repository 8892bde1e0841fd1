package httpauth

import (
	"net/http"
	"net/textproto"

	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/verifier"
)

// Source is where a request may carry its token. The zero Source is refused by New.
type Source struct {
	kind sourceKind
	name string
}

type sourceKind int

const (
	fromAuthorization sourceKind = iota + 1
	fromCookie
	fromHeader
)

// FromAuthorization is the Authorization header: RFC 6750, section 2.1, and with DPoP RFC 9449, section 7.1.
func FromAuthorization() Source { return Source{kind: fromAuthorization} }

// FromCookie is the cookie of that name. Browsers send it with every request, whoever made the page do so: handlers that change
// something need a defence against cross-site requests, such as http.CrossOriginProtection.
func FromCookie(name string) Source { return Source{fromCookie, name} }

// FromHeader is the header of that name, whose value is the token and nothing else, such as X-Amzn-Oidc-Accesstoken behind an
// Application Load Balancer.
func FromHeader(name string) Source {
	return Source{fromHeader, textproto.CanonicalMIMEHeaderKey(name)}
}

// credential is a token as it was presented, "" where there was none.
type credential struct {
	token string
	dpop  bool // under the DPoP scheme
}

// credentials finds the one token that a request carries.
func (m *Middleware) credentials(r *http.Request) (credential, error) {
	var found credential
	for _, s := range m.config.Sources {
		c, err := m.read(s, r)
		if err != nil {
			return credential{}, err
		}
		if c.token == "" {
			continue
		}
		if found.token != "" {
			return credential{}, &verifier.Error{Reason: verifier.ReasonBadRequest}
		}
		found = c
	}
	return found, nil
}

func (m *Middleware) read(s Source, r *http.Request) (credential, error) {
	switch s.kind {
	case fromAuthorization:
		return m.readAuthorization(r.Header["Authorization"])
	case fromHeader:
		return single(r.Header[s.name])
	default:
		var values []string
		for _, c := range r.CookiesNamed(s.name) {
			values = append(values, c.Value)
		}
		return single(values)
	}
}

func (m *Middleware) readAuthorization(values []string) (credential, error) {
	if len(values) == 0 {
		return credential{}, nil
	}
	for _, scheme := range m.schemes {
		token, err := middleware.Presented(values, scheme)
		if err == nil {
			return credential{token, scheme == "DPoP"}, nil
		}
		if o, _ := middleware.Classify(err); o != middleware.Missing {
			return credential{}, err
		}
	}
	return credential{}, &verifier.Error{Reason: verifier.ReasonTokenMissing} // of a scheme that is not ours
}

// single is a token that stands alone.
func single(values []string) (credential, error) {
	switch {
	case len(values) == 0:
		return credential{}, nil
	case len(values) == 1 && middleware.IsToken(values[0]):
		return credential{token: values[0]}, nil
	}
	return credential{}, &verifier.Error{Reason: verifier.ReasonBadRequest}
}
