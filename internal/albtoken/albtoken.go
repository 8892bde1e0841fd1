// Package albtoken lets package aws/albauth verify the tokens of Application Load Balancers with a Verifier, without a method
// for it on a public type.
package albtoken

// Terms say which tokens of load balancers are accepted.
type Terms struct {
	Signers map[string]string // the region of each load balancer, by its ARN
	Issuers []string          // the iss of the provider
	Clients []string          // nil means any
}

var maker = func(any, Terms) any { return nil }

// Provide sets the function of package verifier, whose parameter and result are a verifier.Policy: this package cannot name the
// type. Package verifier calls Provide once, when it is initialized. It returns a value so that it can initialize a variable.
func Provide(f func(policy any, t Terms) any) struct{} {
	maker = f
	return struct{}{}
}

// Policy returns a copy of a verifier.Policy for tokens of load balancers, which is the only Policy of its Verifier. The key
// source is asked with the ARN of the load balancer instead of an issuer.
func Policy(policy any, t Terms) any { return maker(policy, t) }
