// Package middleware holds what the adapters for HTTP and other transports share, so that they answer alike: the
// extraction of a bearer token, the requirements of a route, the classification of errors, and the watch over a token
// whose stream outlives it.
package middleware

import (
	"context"
	"log/slog"

	"github.com/regionjwt/regionjwt/verifier"
)

// Verifier verifies tokens: a *verifier.Verifier or a *regionjwt.Validator.
type Verifier interface {
	Verify(ctx context.Context, raw string) (*verifier.Token, error)
}

// Rechecker is implemented by Verifiers that can judge a token again: *verifier.Verifier and *regionjwt.Validator.
type Rechecker interface {
	Recheck(ctx context.Context, t *verifier.Token) error
	Changed() <-chan struct{}
}

// LogAttr describes the judgement of a token for a request log: a group "token" with its authority and region, and the reason
// where it was refused. It holds nothing that a refused token said. t may be nil, and so may err.
func LogAttr(t *verifier.Token, err error) slog.Attr {
	authority, region, reason := "", "", ""
	if t != nil {
		authority, region = t.Provider(), t.Region()
	}
	if err != nil {
		o, _ := Classify(err)
		reason = o.String()
		if e := asError(err); e != nil {
			authority, region, reason = e.Provider, e.Region, e.Reason.String()
		}
	}
	attrs := make([]slog.Attr, 0, 3)
	add := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	add("authority", authority)
	add("region", region)
	add("reason", reason)
	return slog.Attr{Key: "token", Value: slog.GroupValue(attrs...)}
}
