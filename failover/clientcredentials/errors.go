package clientcredentials

import (
	"errors"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/label"
)

// The categories of the errors of Token. Each is exactly one of them, that of its context, or one that names New.
var (
	// ErrUnavailable says that no region could be asked, or gave an answer. Asking again later may help.
	ErrUnavailable = errors.New("no access token can be had now")
	// ErrRejected says that the provider rejects this client, or what it asks for. Its configuration has to be corrected.
	ErrRejected = errors.New("the provider rejects the request for an access token")
)

// Labels of failures, beside those of package label. All but rejected are ErrUnavailable. label.HTTP is a status that is an
// outage or not one of OAuth, redirects included; label.Malformed is an answer with neither a bearer token nor an OAuth
// error.
const (
	noCredentials = "no_credentials" // CredentialsFunc failed, or the key did not sign
	panicked      = "panicked"       // the HTTP client panicked
	noRegion      = "no_region"      // none of the regions could be asked, or gave an answer
	rejected      = "rejected"       // an OAuth error, or status 400 or 401
)

// tokenError says why there is no token. It has what was configured, HTTP status codes and OAuth error codes, and nothing else
// that a server said.
type tokenError struct {
	failure    string
	region     string        // whose answer it is, several with one token URL joined by commas; "" for noRegion
	status     int           // of HTTP, for label.HTTP and rejected
	code       string        // for rejected: a code of RFC 6749, section 5.2, or RFC 8707, section 2, or "other"
	retryAfter time.Duration // what the region has asked for
	cause      error         // if it is known, as for noCredentials and panicked; not in the text
	regions    []*tokenError // for noRegion: the last outage of each
}

// Failure returns a stable label: with the HTTP status ("status 503") or the OAuth code ("rejected invalid_client") if there is
// one.
func (e *tokenError) Failure() string {
	switch e.failure {
	case label.HTTP:
		return label.Status(e.status)
	case rejected:
		return rejected + " " + e.code
	}
	return e.failure
}

// Error returns the region and the failure; for noRegion, those of each region.
func (e *tokenError) Error() string { return "clientcredentials: " + e.text() }

func (e *tokenError) text() string {
	if e.failure != noRegion {
		return "region " + e.region + ": " + e.Failure()
	}
	parts := []string{"no region answers"}
	for _, r := range e.regions {
		parts = append(parts, r.text())
	}
	return strings.Join(parts, "; ")
}

// Unwrap returns the causes.
func (e *tokenError) Unwrap() []error {
	var all []error
	if e.cause != nil {
		all = append(all, e.cause)
	}
	for _, r := range e.regions {
		all = append(all, r)
	}
	return all
}

// Is reports whether target is the category of e.
func (e *tokenError) Is(target error) bool {
	if e.failure == rejected {
		return target == ErrRejected
	}
	return target == ErrUnavailable
}

// codes has the errors of RFC 6749, section 5.2, RFC 8707, section 2, and RFC 9449, section 5.
var codes = map[string]bool{
	"invalid_request": true, "invalid_client": true, "invalid_grant": true, "unauthorized_client": true,
	"unsupported_grant_type": true, "invalid_scope": true, "invalid_target": true, needsNonce: true, "invalid_dpop_proof": true,
}

// needsNonce is the code of RFC 9449, section 8, for a proof without the nonce of the server.
const needsNonce = "use_dpop_nonce"

// outages has codes that say nothing about the client, which some providers send with status 400 (RFC 6749, section 4.1.2.1, has
// them for another endpoint).
var outages = map[string]bool{"server_error": true, "temporarily_unavailable": true}
