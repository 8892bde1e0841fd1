package httpauth

import (
	"net/http"
	"net/textproto"
	"reflect"
	"slices"
	"strings"

	"github.com/regionjwt/regionjwt/internal/authz"
	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/verifier"
)

// FromAuthorization returns the token of the Authorization header, with the scheme Bearer (RFC 6750 section 2.1) or DPoP (RFC
// 9449 section 7.1), or "" if there is no such header. The error is a *verifier.Error: ReasonTokenMissing for another scheme,
// ReasonBadRequest for several headers or if what follows the scheme is not one word. A Middleware without DPoP rejects the
// scheme DPoP.
func FromAuthorization(r *http.Request) (string, error) {
	values := r.Header["Authorization"]
	if len(values) == 0 {
		return "", nil
	}
	token, _, err := authz.Presented(values, authz.Bearer, authz.DPoP)
	return token, err
}

// isFromAuthorization reports whether f is FromAuthorization itself.
func isFromAuthorization(f func(*http.Request) (string, error)) bool {
	return reflect.ValueOf(f).Pointer() == reflect.ValueOf(FromAuthorization).Pointer()
}

func (m *Middleware) readsAuthorization() bool {
	return slices.ContainsFunc(m.config.Extractors, isFromAuthorization)
}

// FromCookie returns an extractor for a cookie. A request with two cookies of that name, or with one that is not a token, is
// a bad request, not one without a token. Browsers send cookies with requests that other sites cause, so handlers that change
// something need a defense against cross-site requests, such as http.CrossOriginProtection. FromCookie panics if name is not
// a cookie name.
func FromCookie(name string) func(*http.Request) (string, error) {
	if !isName(name) {
		misuse("FromCookie: the name is empty or has a character that is not allowed")
	}
	return func(r *http.Request) (string, error) {
		value, n := "", 0
		for _, line := range r.Header["Cookie"] {
			for pair := range strings.SplitSeq(line, ";") {
				if got, v, _ := strings.Cut(pair, "="); textproto.TrimString(got) == name {
					value = v
					n++
				}
			}
		}
		switch {
		case n == 0:
			return "", nil
		case n > 1:
			return "", errBadRequest()
		}
		return lone(unquoted(textproto.TrimString(value)))
	}
}

// unquoted returns the value of a cookie without its quotation marks (RFC 6265 section 4.1.1). Methods of http.Request are not
// used: they leave out cookies that are not allowed, and all of them if there are too many.
func unquoted(value string) string {
	if len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"' {
		return value[1 : len(value)-1]
	}
	return value
}

// FromHeader returns an extractor for a header that contains a token, with or without the prefix "Bearer ", such as
// X-Amzn-Oidc-Accesstoken behind an Application Load Balancer. Make sure that only a trusted proxy can set it, if clients should
// not. FromHeader panics if name is not a header name.
func FromHeader(name string) func(*http.Request) (string, error) {
	if !isName(name) {
		misuse("FromHeader: the name is empty or has a character that is not allowed")
	}
	name = textproto.CanonicalMIMEHeaderKey(name)
	return func(r *http.Request) (string, error) {
		values := r.Header[name]
		switch {
		case len(values) == 0:
			return "", nil
		case len(values) > 1:
			return "", errBadRequest()
		}
		value := values[0]
		if scheme, token, found := strings.Cut(value, " "); found && strings.EqualFold(scheme, authz.Bearer) {
			value = strings.TrimLeft(token, " ")
		}
		return lone(value)
	}
}

// isName reports whether s is a token of RFC 9110 section 5.6.2, as names of headers and cookies are.
func isName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return c <= ' ' || c > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c)
	})
}

// lone returns a value that is a token.
func lone(value string) (string, error) {
	if !authz.IsToken(value) {
		return "", errBadRequest()
	}
	return value, nil
}

func errBadRequest() error { return &verifier.Error{Reason: verifier.ReasonBadRequest} }

// credentials are what a request presents; token is "" if it presents nothing.
type credentials struct {
	token string
	dpop  bool // with the scheme DPoP
}

// credentials returns the one token of a request.
func (m *Middleware) credentials(r *http.Request) (credentials, error) {
	var c credentials
	for _, extract := range m.config.Extractors {
		token, err := "", error(nil)
		if p := guard.Call("an extractor", func() { token, err = extract(r) }); p != nil {
			return credentials{}, p
		}
		switch {
		case err != nil:
			return credentials{}, authz.Sound("the error of an extractor", err)
		case token != "" && c.token != "":
			return credentials{}, errBadRequest()
		case token != "":
			c.token = token
		}
	}
	c.dpop = c.token != "" && isDPoP(r.Header["Authorization"], c.token)
	if c.token != "" && !slices.Contains(m.schemes, c.scheme()) {
		return credentials{}, &verifier.Error{Reason: verifier.ReasonTokenMissing} // of a scheme that is not accepted
	}
	return c, nil
}

func (c credentials) scheme() string {
	if c.dpop {
		return authz.DPoP
	}
	return authz.Bearer
}

// isDPoP reports whether the Authorization values present token with the scheme DPoP.
func isDPoP(values []string, token string) bool {
	if len(values) != 1 || values[0] == "" || values[0][0]|0x20 != 'd' { // most are Bearer
		return false
	}
	scheme, got, _ := strings.Cut(values[0], " ")
	return strings.EqualFold(scheme, authz.DPoP) && strings.TrimLeft(got, " ") == token
}
