// Package verdict holds the error that says "it cannot be found out", for packages that package verifier does not import and
// that do not import it.
package verdict

import "errors"

// ErrUnavailable is verifier.ErrUnavailable.
var ErrUnavailable = errors.New("token cannot be verified now")
