// Package tokenkinds lets package regionjwt log which policies cannot tell access tokens from ID tokens, without a method for
// it on a public type.
package tokenkinds

var unclear = func(any) []string { return nil }

// Provide sets the function of package verifier, whose parameter is a verifier.Policy: this package cannot name the type. Package
// verifier calls Provide once, when it is initialized. It returns a value so that it can initialize a variable.
func Provide(f func(policy any) []string) struct{} {
	unclear = f
	return struct{}{}
}

// Unclear says how a token of one kind may pass for one of the other under a verifier.Policy, and what helps.
func Unclear(policy any) []string { return unclear(policy) }
