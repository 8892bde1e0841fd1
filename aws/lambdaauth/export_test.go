package lambdaauth

import (
	"github.com/regionjwt/regionjwt/internal/clock"
	"github.com/regionjwt/regionjwt/middleware"
)

// NewOf returns an Authorizer of any Verifier.
func NewOf(v middleware.Verifier, c Config) *Authorizer {
	return &Authorizer{verifier: v, config: c, clock: clock.System()}
}
