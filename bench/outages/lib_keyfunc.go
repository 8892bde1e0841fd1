package main

import (
	"context"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

type keyfuncSubject struct {
	setup  setup
	keys   keyfunc.Keyfunc
	cancel context.CancelFunc
}

func keyfuncLibrary() library {
	return library{
		name:    "keyfunc",
		modules: []string{"github.com/MicahParks/keyfunc/v3", "github.com/MicahParks/jwkset", "github.com/golang-jwt/jwt/v5"},
		open:    openKeyfunc, several: true, refetches: true,
	}
}

func openKeyfunc(_ context.Context, s setup) (subject, error) {
	ctx, cancel := context.WithCancel(context.Background())
	keys, err := keyfunc.NewDefaultOverrideCtx(ctx, s.urls(), keyfunc.Override{
		RefreshInterval:         s.refresh,
		RefreshErrorHandlerFunc: func(string) func(context.Context, error) { return func(context.Context, error) {} },
	})
	if err != nil {
		cancel()
		return nil, err
	}
	return keyfuncSubject{s, keys, cancel}, nil
}

func (s keyfuncSubject) Verify(ctx context.Context, token string) error {
	options := []jwt.ParserOption{
		jwt.WithValidMethods([]string{"RS256"}), jwt.WithAudience(audience), jwt.WithExpirationRequired(),
	}
	if len(s.setup.issuers) == 1 {
		options = append(options, jwt.WithIssuer(s.setup.issuers[0].iss))
	}
	t, err := jwt.Parse(token, s.keys.KeyfuncCtx(ctx), options...)
	if err != nil {
		return err
	}
	iss, err := t.Claims.GetIssuer()
	if err != nil {
		return err
	}
	if !s.setup.lists(iss) {
		return errIssuer
	}
	return nil
}

func (s keyfuncSubject) Close() { s.cancel() }
