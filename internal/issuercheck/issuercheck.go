// Package issuercheck lets constructors check an issuer.Provider, without a method for it on the public type: descriptions of
// providers do not fail, constructors do.
package issuercheck

import (
	"fmt"
	"slices"
	"strings"
)

// Checks are the functions of package issuer. The parameter of each is an issuer.Provider: this package cannot name the type.
type Checks struct {
	Validate       func(provider any) error
	UnknownRegions func(provider any) []string
	Issuers        func(provider any) []string
}

var checks = Checks{
	Validate:       func(provider any) error { return fmt.Errorf("%T is not an issuer.Provider", provider) },
	UnknownRegions: func(any) []string { return nil },
	Issuers:        func(any) []string { return nil },
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

// Alike returns pairs of issuers of the providers that differ by upper and lower case, or by a slash at the end, only. Each is
// compared byte for byte, so one of them may be misspelled.
func Alike(providers []any) (pairs [][2]string) {
	seen := map[string][]string{}
	for _, p := range providers {
		for _, iss := range checks.Issuers(p) {
			folded := strings.ToLower(strings.TrimSuffix(iss, "/"))
			if slices.Contains(seen[folded], iss) {
				continue
			}
			for _, other := range seen[folded] {
				pairs = append(pairs, [2]string{other, iss})
			}
			seen[folded] = append(seen[folded], iss)
		}
	}
	return pairs
}
