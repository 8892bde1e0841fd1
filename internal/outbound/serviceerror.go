package outbound

// ServiceError is the error of an http.RoundTripper that speaks the protocol of a service by itself: what the service has
// answered in place of what was asked for. Code or Label says it; if both are empty, Status does.
type ServiceError struct {
	Code   string // a rejection, which is final: a code from a closed list
	Label  string // a failure of package label, or one that the RoundTripper documents
	Status int    // of HTTP
	Err    error  // the cause, which may have words of the service
}

// Error implements error.
func (e *ServiceError) Error() string {
	return "outbound: the service has not given what was asked for"
}

// Unwrap returns the cause.
func (e *ServiceError) Unwrap() error { return e.Err }
