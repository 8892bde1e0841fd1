package sharedsignals

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"math"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/regionjwt/regionjwt/internal/outbound"
)

const (
	setType   = "application/secevent+jwt"
	formType  = "application/x-www-form-urlencoded"
	maxBody   = maxTokenBytes + 1<<10 // a form has a few bytes more than its token
	readTime  = 5 * time.Second       // for a body
	errorLang = "en"
)

// Handler returns the handler for what one transmitter sends: SETs by push (RFC 8935), and logout tokens (OpenID Connect
// Back-Channel Logout 1.0) in a form. It answers 202, or 200 to a logout token, when a store has the rule. It answers 400 with an
// error code to a token that is bad, and 503 or 429 with Retry-After if it cannot tell, or cannot write the rule. Bodies of more
// than 64 KiB, other content types and wrong Authorization are rejected before the token is looked at.
//
// If Config has no transmitter of that ID, Handler logs that, and the handler answers 503.
func (r *Receiver) Handler(transmitterID string) http.Handler {
	if r == nil || r.document == nil {
		return http.HandlerFunc(unavailable)
	}
	i := slices.IndexFunc(r.transmitters, func(t *transmitter) bool { return t.id == transmitterID })
	if i < 0 {
		r.log.Error("there is no such transmitter: its events are answered with 503", "transmitter", transmitterID)
		return http.HandlerFunc(unavailable)
	}
	t := r.transmitters[i]
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { r.serve(w, req, t) })
}

func unavailable(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusServiceUnavailable)
}

func (r *Receiver) serve(w http.ResponseWriter, req *http.Request, t *transmitter) {
	w.Header().Set("Cache-Control", "no-store")
	if req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	kind, _, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	logout := kind == formType
	switch {
	case req.ContentLength > maxBody:
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	case err != nil || kind != setType && !logout:
		w.WriteHeader(http.StatusUnsupportedMediaType)
		return
	case !t.authorized(req.Header.Values("Authorization")):
		r.tell(t, "", outcomeAuth, "")
		writeError(w, logout, answer{code: errAuthentication, description: "the Authorization header is not that of the stream"})
		return
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(readTime)) // of servers that can
	body, err := outbound.Body(req.Body, maxBody)
	_ = control.SetReadDeadline(time.Time{})
	if err != nil {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	raw := string(body)
	if logout {
		form, err := url.ParseQuery(raw)
		if tokens := form["logout_token"]; err == nil && len(tokens) == 1 {
			raw = tokens[0]
		} else {
			writeError(w, logout, answer{code: errInvalidRequest, description: "there is not one logout_token"})
			return
		}
	}
	switch a := r.receive(req.Context(), t, raw, "", logout); {
	case a.accepts() && logout:
		w.WriteHeader(http.StatusOK)
	case a.accepts():
		w.WriteHeader(http.StatusAccepted)
	default:
		writeError(w, logout, a)
	}
}

// authorized compares the Authorization of a push, in a time that does not depend on it.
func (t *transmitter) authorized(values []string) bool {
	if len(t.Authorization) == 0 {
		return true
	}
	if len(values) != 1 {
		return false
	}
	got, good := sha256.Sum256([]byte(values[0])), 0
	for _, wanted := range t.Authorization {
		sum := sha256.Sum256([]byte(wanted))
		good |= subtle.ConstantTimeCompare(got[:], sum[:])
	}
	return good == 1
}

// writeError writes an answer that does not accept a token: RFC 8935 section 2.3, Back-Channel Logout 1.0 section 2.8.
func writeError(w http.ResponseWriter, logout bool, a answer) {
	if a.code == "" {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(a.later.Seconds()))))
		status := http.StatusServiceUnavailable
		if a.limited {
			status = http.StatusTooManyRequests
		}
		w.WriteHeader(status)
		return
	}
	code, description := "err", "description"
	if logout {
		code, description = "error", "error_description"
	}
	body, _ := json.Marshal(map[string]string{code: a.code, description: a.description}) // cannot fail: texts
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Language", errorLang)
	w.WriteHeader(http.StatusBadRequest)
	_, _ = w.Write(body)
}
