// Package label holds the labels that several packages, logs, metrics, the status page and the CLI use for the same thing. They
// are stable: the documentation names them.
package label

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The failures of a request for a document or a token. One of an HTTP status is "status 503"; see Status.
const (
	DNS       = "dns"           // the host's name did not resolve
	TLS       = "tls"           // no trusted connection
	Timeout   = "timeout"       // no whole answer in time
	Canceled  = "canceled"      // the caller has given up
	Network   = "network"       // refused, reset, or any other failure of the connection
	HTML      = "html"          // a page for people
	TooLarge  = "too_large"     // the body is larger than the limit
	NoKey     = "no_usable_key" // a key set without a key that can be used
	Discovery = "discovery"     // the metadata name no JWKS URL that may be used
	HTTP      = "status"        // the class of "status 503"
)

// Malformed is an answer, or a document, that is not what was asked for.
const Malformed = "malformed"

// Status returns the failure of an HTTP status: "status 503".
func Status(code int) string { return HTTP + " " + strconv.Itoa(code) }

// StatusOf returns the HTTP status of a failure, or 0.
func StatusOf(failure string) int {
	code, _ := strconv.Atoi(strings.TrimPrefix(failure, HTTP+" "))
	return code
}

// Class returns a failure without its number or code.
func Class(failure string) string {
	class, _, _ := strings.Cut(failure, " ")
	return class
}

// Outage reports whether a failure shows that a region is unavailable: nothing answers, or it answers with a status of 5xx and
// does not ask to come back later.
func Outage(failure string, retryAfter time.Duration) bool {
	switch failure {
	case DNS, TLS, Network, Timeout:
		return true
	}
	return StatusOf(failure) >= http.StatusInternalServerError && retryAfter == 0
}

// The states of a JWKS URL, and of its keys. NotEnabled is also a failure: an optional URL says that it has no key set.
const (
	Empty      = "empty"
	Fresh      = "fresh"
	Stale      = "stale"
	Snapshot   = "snapshot"
	Expired    = "expired"
	NotEnabled = "not_enabled"
)

// States returns all states of a JWKS URL.
func States() []string { return []string{Empty, Fresh, Stale, Snapshot, Expired, NotEnabled} }

// Fetched is where a key was learned, if not from a Snapshot.
const Fetched = "fetched"

// The health of a region.
const (
	Unknown   = "unknown"
	Healthy   = "healthy"
	Unhealthy = "unhealthy"
)

// Healths returns all labels of health.
func Healths() []string { return []string{Unknown, Healthy, Unhealthy} }

// The origins of a replica. None means that nothing is known.
const (
	None      = "none"
	Store     = "store"
	LocalCopy = "local copy"
	Process   = "process"
)

// The problems of a replica with its store or its local copy, beside Malformed.
const (
	Unavailable  = "unavailable"
	Missing      = "missing"
	Lost         = "lost"
	RolledBack   = "rolled_back"
	NotAuthentic = "not_authentic"
)

// Problems returns all problems of a replica.
func Problems() []string {
	return []string{Unavailable, Missing, Lost, RolledBack, NotAuthentic, Malformed}
}
