package peers

import (
	"context"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

type keyfuncSubject struct {
	setup  Setup
	keys   keyfunc.Keyfunc
	cancel context.CancelFunc
}

func keyfuncLibrary() Library {
	return Library{
		Name:    "keyfunc",
		Modules: []string{"github.com/MicahParks/keyfunc/v3", "github.com/MicahParks/jwkset", "github.com/golang-jwt/jwt/v5"},
		Open:    openKeyfunc, Several: true, Refetches: true,
	}
}

func openKeyfunc(_ context.Context, s Setup) (Subject, error) {
	ctx, cancel := context.WithCancel(context.Background())
	keys, err := keyfunc.NewDefaultOverrideCtx(ctx, s.urls(), keyfunc.Override{
		RefreshInterval:         s.Refresh,
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
		jwt.WithValidMethods(s.setup.Algorithms), jwt.WithAudience(s.setup.Audience), jwt.WithExpirationRequired(),
		jwt.WithLeeway(s.setup.Leeway),
	}
	if len(s.setup.Issuers) == 1 {
		options = append(options, jwt.WithIssuer(s.setup.Issuers[0].Iss))
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
