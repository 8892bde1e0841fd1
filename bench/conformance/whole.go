package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/bench/internal/peers"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/verifier"
)

// whole is regionjwt with every part of a policy of the corpus.
type whole struct {
	validator *regionjwt.Validator
	scopes    []string
	cancel    context.CancelFunc
}

// revoked revokes by jti.
type revoked []string

// Revoked implements verifier.Revocation.
func (r revoked) Revoked(t *verifier.Token) (string, error) {
	if slices.Contains(r, t.ID()) {
		return "rule", nil
	}
	return "", nil
}

// Changed implements verifier.Revocation.
func (revoked) Changed() <-chan struct{} { return nil }

// openWhole makes one provider for each issuer.
func openWhole(_ context.Context, c *configuration) (peers.Subject, error) {
	leeway := time.Duration(c.Leeway) * time.Second
	if leeway == 0 {
		leeway = -1 // 0 is the default
	}
	config := regionjwt.Config{
		Keys:   jwks.Config{RefreshInterval: time.Duration(c.Refresh) * time.Second},
		Tokens: verifier.Config{Leeway: leeway},
	}
	if c.Revoked != nil {
		config.Tokens.Revocation = revoked(c.Revoked)
	}
	for i, e := range c.Issuers {
		audience := e.Audience
		if audience == nil {
			audience = c.Audience
		}
		p := verifier.Policy{
			Provider: issuer.Provider{ID: fmt.Sprintf("provider-%d", i+1), Regions: []issuer.Region{
				{Name: "region", Issuers: []string{e.Issuer}, JWKSURLs: []string{e.JWKSURI}},
			}},
			Algorithms: c.Algorithms, Types: c.Types, Audience: verifier.Audience(audience...),
		}
		switch {
		case strings.HasPrefix(c.Profile, "cognito-access"):
			p.Audience = verifier.CognitoAccess(audience...)
		case strings.HasPrefix(c.Profile, "cognito-id"):
			p.Audience = verifier.CognitoID(audience...)
		case c.Profile == "id-token":
			p.Audience = verifier.IDToken(audience...)
		}
		config.Policies = append(config.Policies, p)
	}
	v, err := regionjwt.New(config)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { _ = v.Run(ctx) }()
	return whole{v, c.Scopes, cancel}, nil
}

// Verify implements peers.Subject.
func (w whole) Verify(ctx context.Context, token string) error {
	t, err := w.validator.Verify(ctx, token)
	if err != nil || len(w.scopes) == 0 {
		return err
	}
	return middleware.Check(t, middleware.Scopes(w.scopes...))
}

// Close implements peers.Subject.
func (w whole) Close() { w.cancel() }
