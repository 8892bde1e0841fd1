// Package keymaker lets a source of keys outside of package jwks make a *jwks.Key, without an exported function for it.
package keymaker

import (
	"time"

	"github.com/regionjwt/regionjwt/internal/jose"
)

// Life says of a key whether it may still be used. It is safe for concurrent use.
type Life interface {
	// Valid reports whether the source would still return the key.
	Valid() bool
	// Age returns the time since a server last listed the key.
	Age() time.Duration
}

var maker = func(*jose.Key, Life) any { return nil }

// Provide sets the function of package jwks, which returns a *jwks.Key: this package cannot name the type. Package jwks calls
// Provide once, when it is initialized. It returns a value so that it can initialize a variable.
func Provide(f func(*jose.Key, Life) any) struct{} {
	maker = f
	return struct{}{}
}

// Make returns a *jwks.Key that may be of every region that lists the issuer.
func Make(k *jose.Key, l Life) any { return maker(k, l) }
