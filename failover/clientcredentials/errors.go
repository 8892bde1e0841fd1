package clientcredentials

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The categories of errors. Every *Error is exactly one of them, by errors.Is.
var (
	// ErrUnavailable: no region could be asked, or gave an answer. Asking again later may help.
	ErrUnavailable = errors.New("no access token can be had now")
	// ErrRefused: the issuer refuses this client, or what it asks for. Somebody has to put that right.
	ErrRefused = errors.New("the issuer refuses an access token")
)

// Reason is why there is no token. Its text is a stable label, fit for logs and metrics.
type Reason string

// The reasons. All but Refused are ErrUnavailable.
const (
	DNS           Reason = "dns"            // the host's name did not resolve
	TLS           Reason = "tls"            // no trusted connection
	Network       Reason = "network"        // refused, reset, or any other failure of the connection
	Timeout       Reason = "timeout"        // no whole answer in time
	Status        Reason = "status"         // an HTTP status that is an outage or not one of OAuth, redirects included
	Malformed     Reason = "malformed"      // an answer with neither a bearer token nor an OAuth error
	NoCredentials Reason = "no_credentials" // CredentialsFunc failed, or the key did not sign
	Panicked      Reason = "panicked"       // the Client panicked
	NoRegion      Reason = "no_region"      // none of the regions could be asked, or gave an answer
	Refused       Reason = "refused"        // an OAuth error, or status 400 or 401
	Closed        Reason = "closed"         // the Source was closed
)

// Error says why there is no token. It holds what was configured, HTTP status codes and OAuth error codes, and nothing else
// that a server said.
type Error struct {
	Reason     Reason
	Region     string        // whose answer it is, several with one token URL joined by commas; "" for NoRegion and Closed
	Status     int           // of HTTP, for Status and Refused
	Code       string        // for Refused: a code of RFC 6749, section 5.2, or RFC 8707, section 2, or "other"
	RetryAfter time.Duration // when asking again may help; 0 where that is not known
	Err        error         // for NoCredentials, Panicked: the cause, not in the text; for NoRegion: the errors of the regions

	began time.Time // when the request began
}

// Began returns when the request began; the zero Time for NoRegion and Closed, and for a refusal that was remembered.
func (e *Error) Began() time.Time { return e.began }

// Class returns a stable label: the reason, with the HTTP status if there is one ("status 503").
func (e *Error) Class() string {
	if e.Reason == Status {
		return string(e.Reason) + " " + strconv.Itoa(e.Status)
	}
	return string(e.Reason)
}

// lost reports whether e shows that its region is down: nothing answers, or status 5xx without Retry-After.
func (e *Error) lost() bool {
	switch e.Reason {
	case DNS, TLS, Network, Timeout:
		return true
	case Status:
		return e.Status >= http.StatusInternalServerError && e.RetryAfter == 0
	default:
		return false
	}
}

// Error returns the reason, the region, and the code or status; for NoRegion, that of each region.
func (e *Error) Error() string { return "clientcredentials: " + e.text() }

func (e *Error) text() string {
	s := string(e.Reason)
	if e.Region != "" {
		s = "region " + e.Region + ": " + s
	}
	switch {
	case e.Reason == Refused:
		s += ": " + e.Code
	case e.Status != 0:
		s += " " + strconv.Itoa(e.Status)
	}
	parts := []string{s}
	if regions, ok := e.Err.(interface{ Unwrap() []error }); ok && e.Reason == NoRegion {
		for _, err := range regions.Unwrap() {
			if r, ok := err.(*Error); ok { //nolint:errorlint // this package has put it there
				parts = append(parts, r.text())
			}
		}
	}
	return strings.Join(parts, "; ")
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is the category of e.
func (e *Error) Is(target error) bool {
	if e.Reason == Refused {
		return target == ErrRefused
	}
	return target == ErrUnavailable
}

// codes holds the errors of RFC 6749, section 5.2, and RFC 8707, section 2.
var codes = map[string]bool{
	"invalid_request": true, "invalid_client": true, "invalid_grant": true, "unauthorized_client": true,
	"unsupported_grant_type": true, "invalid_scope": true, "invalid_target": true,
}

// outages holds codes that say nothing of the client, which some issuers send with status 400 (RFC 6749, section 4.1.2.1, has
// them for another endpoint).
var outages = map[string]bool{"server_error": true, "temporarily_unavailable": true}
