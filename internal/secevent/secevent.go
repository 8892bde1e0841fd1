// Package secevent lets package sharedsignals check security event tokens (RFC 8417) and logout tokens (OpenID Connect
// Back-Channel Logout 1.0) with the parser and the signature check of package verifier. They have rules of their own: a policy of
// package verifier cannot accept them.
package secevent

import (
	"context"
	"time"

	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/jwks"
)

// LogoutEvent is the event of a logout token (OpenID Connect Back-Channel Logout 1.0 section 2.4).
const LogoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// Check says which tokens are accepted.
type Check struct {
	Transmitter string              // its ID, for errors
	Issuers     map[string][]string // the regions of each iss
	Keys        jwks.Source
	Audience    []string // one of them must be in aud
	MaxBytes    int
	Now         time.Time
	Leeway      time.Duration
	// Untyped accepts security event tokens without typ, or with the typ "JWT". They must not have an exp.
	Untyped bool
	// Expiring accepts security event tokens with an exp that has not passed.
	Expiring bool
}

// Token is a token that is authentic and for one of the audiences.
type Token struct {
	Issuer, ID string
	IssuedAt   time.Time
	Logout     bool   // a logout token; otherwise it is a security event token
	Subject    string // sub of a logout token
	Events     strictjson.Value
	Members    []strictjson.Member // of the payload
}

var verify func(ctx context.Context, raw string, c *Check) (Token, error)

// Provide sets the function of package verifier, which calls it once, when it is initialized. It returns a value so that it can
// initialize a variable.
func Provide(f func(context.Context, string, *Check) (Token, error)) struct{} {
	verify = f
	return struct{}{}
}

// Verify checks a token. Its error is a *verifier.Error.
func Verify(ctx context.Context, raw string, c *Check) (Token, error) { return verify(ctx, raw, c) }
