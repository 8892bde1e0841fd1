package regionjwt_test

import (
	"log/slog"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/internal/nils/nilstest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

type nilStore struct{ store.Trusted }

type nilTransport struct{ http.RoundTripper }

func TestNilsAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*regionjwt.Config)
		want   []string
	}{
		"nil rules":   {func(c *regionjwt.Config) { c.Tokens.Revocation = (*revocation.List)(nil) }, []string{"verifier: Revocation"}},
		"nil wrapper": {func(c *regionjwt.Config) { c.WrapKeys = func(jwks.Source) jwks.Source { return nil } }, []string{"WrapKeys"}},
		"nil wrapped": {func(c *regionjwt.Config) { c.WrapKeys = func(jwks.Source) jwks.Source { return (*jwks.Cache)(nil) } }, []string{"WrapKeys"}},
		"no provider": {func(c *regionjwt.Config) { c.Failover = map[string]failover.Config{"other": {}} }, []string{`provider "other" is not in Policies`}},
		"nil Store":   {func(c *regionjwt.Config) { c.Keys.Snapshots = (*nilStore)(nil) }, []string{"jwks: Snapshots"}},
		"nil rules store": {func(c *regionjwt.Config) {
			c.Revocation = &revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{(*nilStore)(nil)}}}
		}, []string{"revocation: Replica.Store"}},
		"zero Logger":     {func(c *regionjwt.Config) { c.Logger = new(slog.Logger) }, []string{"regionjwt: Logger"}},
		"nil Handler":     {func(c *regionjwt.Config) { c.Logger = slog.New((*slog.TextHandler)(nil)) }, []string{"regionjwt: Logger"}},
		"nil Transport":   {func(c *regionjwt.Config) { c.Keys.HTTPClient = &http.Client{Transport: (*nilTransport)(nil)} }, []string{"HTTPClient"}},
		"nil *Transport":  {func(c *regionjwt.Config) { c.Keys.HTTPClient = &http.Client{Transport: (*http.Transport)(nil)} }, []string{"HTTPClient"}},
		"negative times":  {func(c *regionjwt.Config) { c.Keys.RefreshInterval, c.Keys.MaxStale = -1, -1 }, []string{"RefreshInterval", "MaxStale"}},
		"negative MaxAge": {func(c *regionjwt.Config) { c.Policies[0].MaxAge = -1 }, []string{"MaxAge is negative"}},
		"all of it": {func(c *regionjwt.Config) {
			c.Tokens.Revocation, c.Keys.Snapshots, c.Logger = (*revocation.List)(nil), (*nilStore)(nil), new(slog.Logger)
		}, []string{"Revocation", "Snapshots", "Logger"}},
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
		require.Equal(t, regionjwt.Status{}, v.Status())
		require.Nil(t, v.Failover("a"))
		require.Nil(t, v.Revocation())
		v.Observe(regionjwt.Observer{})()
	}
}
