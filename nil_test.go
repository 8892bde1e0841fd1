package regionjwt_test

import (
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/internal/nils/nilstest"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

type nilStore struct{ store.Store }

func (*nilStore) Authentic() {}

type nilPolicy struct{ err error }

func (p *nilPolicy) Admit(string, []string, time.Time) error { return p.err }

type nilTransport struct{ http.RoundTripper }

func TestNilsAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*regionjwt.Config)
		want   []string
	}{
		"nil rules":       {func(c *regionjwt.Config) { c.Revocation = (*revocation.List)(nil) }, []string{"Revoked"}},
		"nil policy":      {func(c *regionjwt.Config) { c.Policies[0].Regions = (*nilPolicy)(nil) }, []string{"Regions"}},
		"nil Store":       {func(c *regionjwt.Config) { c.Keys.Snapshots = (*nilStore)(nil) }, []string{"jwks: Snapshots"}},
		"zero Logger":     {func(c *regionjwt.Config) { c.Logger = new(slog.Logger) }, []string{"regionjwt: Logger"}},
		"nil Handler":     {func(c *regionjwt.Config) { c.Logger = slog.New((*slog.TextHandler)(nil)) }, []string{"regionjwt: Logger"}},
		"nil Transport":   {func(c *regionjwt.Config) { c.Keys.HTTPClient = &http.Client{Transport: (*nilTransport)(nil)} }, []string{"Keys.HTTPClient"}},
		"nil *Transport":  {func(c *regionjwt.Config) { c.Keys.HTTPClient = &http.Client{Transport: (*http.Transport)(nil)} }, []string{"Keys.HTTPClient"}},
		"negative times":  {func(c *regionjwt.Config) { c.Keys.RefreshInterval, c.Keys.MaxStale = -1, -1 }, []string{"RefreshInterval", "MaxStale"}},
		"negative MaxAge": {func(c *regionjwt.Config) { c.Policies[0].MaxAge = -1 }, []string{"MaxAge is negative"}},
		"all of it": {func(c *regionjwt.Config) {
			c.Revocation, c.Keys.Snapshots, c.Logger = (*revocation.List)(nil), (*nilStore)(nil), new(slog.Logger)
		}, []string{"Revoked", "Snapshots", "Logger"}},
	} {
		config := regionjwt.Config{Policies: manyTrusts(1)}
		c.change(&config)
		_, err := regionjwt.New(config)
		for _, want := range c.want {
			require.ErrorContains(t, err, want, name)
		}
	}
}

// A Validator that New has not made accepts nothing, and does not panic.
func TestValidatorsThatNewHasNotMade(t *testing.T) {
	t.Parallel()
	nilstest.Methods(t, "New", nil, nil, (*regionjwt.Validator)(nil), new(regionjwt.Validator))
	for _, v := range []*regionjwt.Validator{nil, {}} {
		tok, err := v.Verify(t.Context(), "a.b.c")
		require.Nil(t, tok)
		require.ErrorIs(t, err, verifier.ErrUnavailable)
		require.Empty(t, v.Keys().Status())
		require.Error(t, v.Keys().Ready())
		require.Empty(t, v.Verifier().Status())
	}
}
