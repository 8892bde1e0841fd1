package httpauth

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/regionjwt/regionjwt/middleware"
)

func newRoute(requirements []middleware.Requirement) *route {
	return &route{
		requirements: slices.Clone(requirements),
		scopes:       strings.Join(middleware.ScopesOf(requirements), " "),
		stepUp:       middleware.StepUpOf(requirements),
	}
}

// statuses lists the status of each outcome.
var statuses = map[middleware.Outcome]int{
	middleware.Unavailable: http.StatusServiceUnavailable,
	middleware.Missing:     http.StatusUnauthorized,
	middleware.BadRequest:  http.StatusBadRequest,
	middleware.Invalid:     http.StatusUnauthorized,
	middleware.Forbidden:   http.StatusForbidden,
	middleware.NeedStepUp:  http.StatusUnauthorized,
	middleware.BadProof:    http.StatusUnauthorized,
	middleware.NeedNonce:   http.StatusUnauthorized,
	middleware.RateLimited: http.StatusTooManyRequests,
}

// refuse sets the status and the headers that RFC 6750, section 3, RFC 9449, section 7.1, RFC 6585, section 4,
// and RFC 9110, section 10.2.3, ask for.
func (m *Middleware) refuse(w http.ResponseWriter, r *http.Request, err error, t *route) {
	outcome, retryAfter := middleware.Classify(err)
	h := w.Header()
	for _, name := range []string{"Content-Length", "Content-Encoding", "ETag", "Last-Modified", "WWW-Authenticate"} {
		h.Del(name) // of an answer that is not given
	}
	if outcome == middleware.Unavailable || outcome == middleware.RateLimited {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(retryAfter.Seconds()))))
	} else {
		for _, scheme := range m.schemes {
			h.Add("WWW-Authenticate", m.challenge(scheme, outcome, t))
		}
	}
	h.Set("Cache-Control", "no-store")
	write := m.config.WriteError
	if write == nil {
		write = writeError
	}
	write(w, r, statuses[outcome], err)
}

// giveNonce hands the client the nonce of its next proof: RFC 9449, section 8.2.
func (m *Middleware) giveNonce(h http.Header) {
	if m.config.DPoP == nil {
		return
	}
	if nonce := m.config.DPoP.Nonce(); nonce != "" {
		h.Set("DPoP-Nonce", nonce)
		h.Set("Cache-Control", "no-store") // or another client would get it
	}
}

// challenge makes the value of a WWW-Authenticate header. One about DPoP proofs says what is wrong under the DPoP scheme only.
func (m *Middleware) challenge(scheme string, o middleware.Outcome, t *route) string {
	var parameters []string
	add := func(name, value string) {
		if value != "" && quotable(value) {
			parameters = append(parameters, name+`="`+value+`"`)
		}
	}
	add("realm", m.config.Realm)
	ofProof := o == middleware.BadProof || o == middleware.NeedNonce
	if o != middleware.Missing && (!ofProof || scheme == "DPoP") {
		add("error", o.String())
		switch o {
		case middleware.Forbidden:
			add("scope", t.scopes)
		case middleware.NeedStepUp:
			add("acr_values", strings.Join(t.stepUp.ACR, " "))
			if t.stepUp.MaxAge > 0 {
				add("max_age", strconv.FormatInt(int64(t.stepUp.MaxAge.Seconds()), 10))
			}
		default:
		}
	}
	if scheme == "DPoP" {
		add("algs", strings.Join(m.algorithms(), " "))
	}
	add("resource_metadata", m.metadata)
	if len(parameters) == 0 {
		return scheme
	}
	return scheme + " " + strings.Join(parameters, ", ")
}

// quotable reports whether s holds only what a quoted parameter may: RFC 6750, section 3.
func quotable(s string) bool {
	for _, c := range s {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// writeError writes the public reason as JSON, and nothing else.
func writeError(w http.ResponseWriter, _ *http.Request, status int, err error) {
	outcome, _ := middleware.Classify(err)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(`{"error":"` + outcome.String() + `"}` + "\n")) //nolint:gosec // one of a closed list
}
