// Package tokenkinds lets package regionjwt log which policies cannot tell access tokens from ID tokens, and which ones reject
// most tokens, without a method for it on a public type.
package tokenkinds

// Kinds are the functions of package verifier. Their parameter is a verifier.Policy: this package cannot name the type.
type Kinds struct {
	Unclear func(policy any) []string
	Unmet   func(policy any) string
}

var kinds = Kinds{Unclear: func(any) []string { return nil }, Unmet: func(any) string { return "" }}

// Provide sets the functions. Package verifier calls it once, when it is initialized. It returns a value so that it can
// initialize a variable.
func Provide(k Kinds) struct{} {
	kinds = k
	return struct{}{}
}

// Unclear says how a token of one kind may pass for one of the other under a verifier.Policy, and what helps.
func Unclear(policy any) []string { return kinds.Unclear(policy) }

// Unmet says why a verifier.Policy rejects most tokens of its provider, and what helps, or "".
func Unmet(policy any) string { return kinds.Unmet(policy) }
