package outbound

// ServiceError is the error of an http.RoundTripper that speaks the protocol of a service by itself: what the service has answered in
// place of what was asked for. Exactly one of Code, Label and Status says it.
type ServiceError struct {
	Code   string // a rejection, which is final: a code from a closed list
	Label  string // a failure of package label, or one that the RoundTripper documents
	Status int    // any other answer: a status of HTTP
	Err    error  // the cause, which may have words of the service
}

// Error implements error.
func (r *ServiceError) Error() string { return "outbound: the service has not given what was asked for" }

// Unwrap returns the cause.
func (r *ServiceError) Unwrap() error { return r.Err }
