package httpauth

import (
	"context"
	"net/http"
	"time"

	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/verifier"
)

// Token returns the token of a request that passed a Handler; nil where it was anonymous.
func Token(r *http.Request) *verifier.Token {
	t, _ := verifier.FromContext(r.Context())
	return t
}

// Claims decodes the claims of a request's token into a T, as verifier.Token.Claims does. The error is a *verifier.Error with
// TokenMissing where there is no token.
func Claims[T any](r *http.Request) (claims T, err error) {
	t := Token(r)
	if t == nil {
		return claims, &verifier.Error{Reason: verifier.ReasonTokenMissing}
	}
	err = t.Claims(&claims)
	return claims, err
}

// Watch is for responses that may outlive their token: server-sent events, long polls, WebSockets. It returns a copy of the
// request's context that is cancelled once the token is not valid any more: grace after its time is up, and at once when it is
// revoked or its key withdrawn; see middleware.Watch. context.Cause is then the *verifier.Error. An anonymous request has
// nothing that could end. stop has to be called.
func (m *Middleware) Watch(r *http.Request, grace time.Duration) (ctx context.Context, stop context.CancelFunc) {
	t := Token(r)
	if t == nil {
		return context.WithCancel(r.Context())
	}
	return middleware.Watch(r.Context(), m.orNone().config.Verifier, t, grace)
}
