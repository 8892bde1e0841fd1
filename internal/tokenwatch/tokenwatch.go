// Package tokenwatch lets package otel see what a clientcredentials.TokenSource does, without methods for it on the public type.
package tokenwatch

import "time"

// Request is a request to a token endpoint that has ended.
type Request struct {
	Region   string // several with one token URL are joined by commas
	Failure  string // that of clientcredentials.Config.OnRequest; "" for a token
	Duration time.Duration
}

// Status is the state of a TokenSource.
type Status struct {
	Provider string    // "" for a TokenSource that is nil or zero
	Regional bool      // it has several token endpoints
	Region   string    // of the token in memory
	Expires  time.Time // of the token in memory; zero if there is none
}

// Functions are those of package clientcredentials. The parameter of each is a *TokenSource: this package cannot name the type.
type Functions struct {
	Watch  func(source any, f func(Request)) (stop func())
	Status func(source any) Status
}

var functions = Functions{
	Watch:  func(any, func(Request)) (stop func()) { return func() {} },
	Status: func(any) Status { return Status{} },
}

// Provide sets the functions. Package clientcredentials calls it once, when it is initialized. It returns a value so that it can
// initialize a variable.
func Provide(f Functions) struct{} {
	functions = f
	return struct{}{}
}

// Watch has f called after each request of a TokenSource and of its exchanges, until stop is called. f must be safe for
// concurrent use. Its panics are recovered.
func Watch(source any, f func(Request)) (stop func()) { return functions.Watch(source, f) }

// StatusOf returns the state of a TokenSource.
func StatusOf(source any) Status { return functions.Status(source) }
