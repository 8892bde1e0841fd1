// Package handover lets package regionjwt give a failover.Controller the provider that an Update has put in the place of the old
// one, without a method for it on the public type: a Controller on its own keeps its provider.
package handover

import "errors"

var prepare = func(_, _ any) (func(), error) { return nil, errors.New("failover: not part of the program") }

// Provide sets the function of package failover, whose parameters are a *failover.Controller and an issuer.Provider: this package
// cannot name the types. Package failover calls Provide once, when it is initialized. It returns a value so that it can
// initialize a variable.
func Provide(f func(controller, provider any) (apply func(), err error)) struct{} {
	prepare = f
	return struct{}{}
}

// Prepare returns a function that gives a *failover.Controller another issuer.Provider, whose regions have the same names. The
// error says why the Controller cannot work with it.
func Prepare(controller, provider any) (apply func(), err error) {
	return prepare(controller, provider)
}
