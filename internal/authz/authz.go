// Package authz holds what the adapters for HTTP and gRPC share and users do not need: how a presented token is read and
// verified, what a requirement demands, and whether a token is bound to a key of its sender.
package authz

import (
	"context"
	"errors"
	"strings"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/verifier"
)

// Verifier is the part of middleware.Verifier that Verify needs.
type Verifier interface {
	Verify(ctx context.Context, token string) (*verifier.Token, error)
}

// Verify lets v verify a token that Presented has returned. If the text cannot be a token at all, and v therefore calls it
// malformed, the error is a *verifier.Error with ReasonBadRequest (RFC 6750 section 3.1). If v returns neither a token nor an
// error, Verify returns an error that middleware.Classify maps to 503, and also if v panics.
func Verify(ctx context.Context, v Verifier, presented string) (*verifier.Token, error) {
	if v == nil {
		return nil, ErrNoVerifier
	}
	var token *verifier.Token
	var err error
	if p := guard.Call("Verifier.Verify", func() { token, err = v.Verify(ctx, presented) }); p != nil {
		return nil, p
	}
	if err != nil {
		err = Sound("the error of Verifier.Verify", err)
		if e := AsError(err); e != nil && e.Reason == verifier.ReasonMalformed && !IsToken(unpadded.Replace(presented)) {
			return nil, &verifier.Error{Reason: verifier.ReasonBadRequest}
		}
		return nil, err
	}
	if token == nil {
		return nil, errNoToken
	}
	return token, nil
}

// unpadded removes the padding of segments, which the tokens of load balancers have.
var unpadded = strings.NewReplacer("==.", ".", "=.", ".")

// ErrNoVerifier says that there is nothing to verify tokens with.
var ErrNoVerifier = errors.New("middleware: the Verifier is nil")

var errNoToken = errors.New("middleware: the Verifier returned neither a token nor an error")

// Sound returns err, or an error that can be inspected without a panic if err cannot. what names the origin of err.
func Sound(what string, err error) error {
	if _, ours := err.(*verifier.Error); ours { //nolint:errorlint // its methods do not panic
		return err
	}
	return guard.Sound(what, err)
}

// AsError returns the *verifier.Error in err, or nil.
func AsError(err error) *verifier.Error {
	var e *verifier.Error
	_ = errors.As(err, &e)
	return e
}
