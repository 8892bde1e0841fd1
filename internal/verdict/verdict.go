// Package verdict holds errors that package verifier and other packages share which it does not import, or which do not export
// them.
package verdict

import "errors"

// ErrUnavailable is verifier.ErrUnavailable.
var ErrUnavailable = errors.New("token cannot be verified now")

// ErrManyKeys is the error of an answer about a token without kid for which more keys fit than are tried. The answer is complete.
var ErrManyKeys = errors.New("more keys fit than are tried for a token without kid")

// MaxUnnamed is how many keys are tried for a token without kid, unless the issuer has more JWKS URLs.
const MaxUnnamed = 4
