package verifier_test

import (
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// parts are the arguments of verifier.New.
type parts struct {
	verifier.Config
	Policies []verifier.Policy
	Keys     jwks.Source
}

func (p parts) New() (*verifier.Verifier, error) { return verifier.New(p.Policies, p.Keys, p.Config) }
