package httpauth

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/authz"
	"github.com/regionjwt/regionjwt/middleware"
)

// route is what a handler requires, with what challenges say about it.
type route struct {
	requirements                []middleware.Requirement
	optional                    bool
	scopes, classes, sinceLogin string // parameters of challenges, or ""
}

func newRoute(reqs []middleware.Requirement) *route {
	c := authz.ChallengeOf(reqs)
	t := &route{requirements: slices.Clone(reqs), scopes: strings.Join(c.Scopes, " "), classes: strings.Join(c.ACR, " ")}
	if c.MaxAge > 0 {
		t.sinceLogin = strconv.FormatInt(int64(c.MaxAge/time.Second), 10)
	}
	return t
}

// reject sets the headers of RFC 6750 section 3, RFC 9449 section 7.1, RFC 6585 section 4 and RFC 9110 section 10.2.3, and writes
// the answer.
func (m *Middleware) reject(w http.ResponseWriter, r *http.Request, err error, t *route) {
	status, code, retryAfter := middleware.Classify(err)
	h := w.Header()
	for _, name := range []string{"Content-Length", "Content-Encoding", "ETag", "Last-Modified", "WWW-Authenticate"} {
		h.Del(name) // of the response that is not sent
	}
	if retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(retryAfter.Seconds()))))
	} else {
		for _, scheme := range m.schemes {
			h.Add("WWW-Authenticate", m.challenge(scheme, status, code, t))
		}
	}
	h.Set("Cache-Control", "no-store")
	write := m.config.WriteError
	if write == nil {
		write = writeError
	}
	write(w, r, status, err)
}

// setNonce gives the client the nonce for its next proof (RFC 9449 section 8.2).
func (m *Middleware) setNonce(h http.Header) {
	if m.config.DPoP == nil {
		return
	}
	if nonce := m.config.DPoP.Nonce(); nonce != "" {
		h.Set("DPoP-Nonce", nonce)
		h.Set("Cache-Control", "no-store") // a cache would give it to another client
	}
}

// challenge returns a value of the WWW-Authenticate header. An error of a DPoP proof is named with the scheme DPoP only.
func (m *Middleware) challenge(scheme string, status int, code string, t *route) string {
	var parameters []string
	add := func(name, value string) {
		if value != "" {
			parameters = append(parameters, name+`="`+value+`"`)
		}
	}
	ofProof := code == "invalid_dpop_proof" || code == "use_dpop_nonce"
	if code != "token_missing" && (!ofProof || scheme == authz.DPoP) {
		add("error", code)
	}
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		add("scope", t.scopes)
	}
	if code == "insufficient_user_authentication" {
		add("acr_values", t.classes)
		add("max_age", t.sinceLogin)
	}
	if scheme == authz.DPoP {
		add("algs", strings.Join(m.config.DPoP.Algorithms(), " "))
	}
	add("resource_metadata", m.resource.document)
	if len(parameters) == 0 {
		return scheme
	}
	return scheme + " " + strings.Join(parameters, ", ")
}

// writeError writes the error code as JSON, and nothing else.
func writeError(w http.ResponseWriter, _ *http.Request, status int, err error) {
	_, code, _ := middleware.Classify(err)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(`{"error":"` + code + `"}` + "\n")) //nolint:gosec // one of a closed list
}
