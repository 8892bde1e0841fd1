// Package clients lets package revocation see every client that a token names, without a method for it on the public type: to
// grant something, only Token.ClientID is used.
package clients

import "iter"

// of has no default: an empty list would let a revoked client pass, and without package verifier there is no token to ask about.
var of func(any) iter.Seq[string]

// Provide sets the function of package verifier, whose parameter is a *verifier.Token: this package cannot name the type. Package
// verifier calls Provide once, when it is initialized. It returns a value so that it can initialize a variable.
func Provide(f func(token any) iter.Seq[string]) struct{} {
	of = f
	return struct{}{}
}

// Of yields every client that a *verifier.Token names.
func Of(token any) iter.Seq[string] { return of(token) }
