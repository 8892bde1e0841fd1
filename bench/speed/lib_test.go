package speed_test

import (
	"context"
	"errors"
	"testing"
)

// verify checks a token as an application would that has set the library up.
type verify func(ctx context.Context, token string) error

// library is what is measured.
type library struct {
	name string

	// audience says that the library refuses tokens without aud, so that its tokens carry one.
	audience bool

	// noEdDSA says that the library knows RSA and ECDSA only.
	noEdDSA bool

	// open sets it up for one issuer. Every verify checks signature, alg, iss, exp, client_id and token_use, and ends in the
	// claims being decoded.
	open func(tb testing.TB, s *site) verify
}

func libraries() []library {
	return []library{
		{name: "regionjwt", open: openRegionjwt},
		{name: "golang-jwt", open: openGolangJWT},
		{name: "golang-jwt.map", open: openGolangJWTMap},
		{name: "go-jose", open: openGoJose},
		{name: "go-oidc", open: openGoOIDC},
		{name: "zitadel", open: openZitadel},
		{name: "auth0", audience: true, open: openAuth0},
		{name: "cap", open: openCap},
		{name: "toolhive", noEdDSA: true, open: openToolhive},
		{name: "jwx.v2", open: openJWX2},
		{name: "jwx.v3", open: openJWX3},
	}
}

// changes is what the tokens of the library say in addition.
func (l library) changes() map[string]any {
	if l.audience {
		return map[string]any{"aud": audience}
	}
	return nil
}

// accessClaims is what a Cognito access token says beside the registered claims.
type accessClaims struct {
	Use       string   `json:"token_use"`
	ClientID  string   `json:"client_id"`
	Username  string   `json:"username"`
	Groups    []string `json:"cognito:groups"`
	Scope     string   `json:"scope"`
	Version   int      `json:"version"`
	AuthTime  int64    `json:"auth_time"`
	OriginJTI string   `json:"origin_jti"`
	EventID   string   `json:"event_id"`
}

var (
	errUse    = errors.New("wrong token_use")
	errClient = errors.New("wrong client_id")
	errExpiry = errors.New("no exp")
)

// check makes the checks that libraries leave to their users.
func (c *accessClaims) check() error { return checkAccess(c.Use, c.ClientID) }

func checkAccess(use, client any) error {
	if use != "access" {
		return errUse
	}
	if client != clientID {
		return errClient
	}
	return nil
}
