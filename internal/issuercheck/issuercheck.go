// Package issuercheck lets constructors check an issuer.Provider, without a method for it on the public type: descriptions of
// providers do not fail, constructors do.
package issuercheck

import "fmt"

// Checks are the functions of package issuer. The parameter of each is an issuer.Provider: this package cannot name the type.
type Checks struct {
	Validate       func(provider any) error
	UnknownRegions func(provider any) []string
}

var checks = Checks{
	Validate:       func(provider any) error { return fmt.Errorf("%T is not an issuer.Provider", provider) },
	UnknownRegions: func(any) []string { return nil },
}

// Provide sets the checks. Package issuer calls it once, when it is initialized. It returns a value so that it can initialize
// a variable.
func Provide(c Checks) struct{} {
	checks = c
	return struct{}{}
}

// Validate returns every problem with an issuer.Provider as one joined error, or nil. It does no I/O.
func Validate(provider any) error { return checks.Validate(provider) }

// UnknownRegions returns the names of the Regions of a Cognito user pool that are not in the list of AWS Regions of this
// version. They may be misspelled, or newer than the list.
func UnknownRegions(provider any) []string { return checks.UnknownRegions(provider) }
