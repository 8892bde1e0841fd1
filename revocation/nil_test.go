package revocation_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/nils/nilstest"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// nilStore is a trusted store whose methods need a receiver.
type nilStore struct{ store.Trusted }

func TestNilsAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config revocation.Config
		want   []string
	}{
		"nil Store":         {revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{(*nilStore)(nil)}}}, []string{"revocation: Replica.Stores[0]"}},
		"nil LocalCopy":     {revocation.Config{Replica: store.ReplicaConfig{LocalCopy: (*nilStore)(nil)}}, []string{"revocation: Replica.LocalCopy"}},
		"zero Logger":       {revocation.Config{Logger: new(slog.Logger)}, []string{"revocation: Logger"}},
		"nil Handler":       {revocation.Config{Logger: slog.New((*slog.JSONHandler)(nil))}, []string{"revocation: Logger"}},
		"negative interval": {revocation.Config{Replica: store.ReplicaConfig{PollInterval: -time.Nanosecond}}, []string{"PollInterval is negative"}},
		"dead MinEpoch":     {revocation.Config{Replica: store.ReplicaConfig{MinEpoch: 1}}, []string{"MinEpoch is set, but neither Stores nor LocalCopy"}},
		"dead Allow":        {revocation.Config{AllowUnknownRules: true}, []string{"AllowUnknownRules without a Replica"}},
		"all of it": {
			revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{(*nilStore)(nil)}, LocalCopy: (*nilStore)(nil), PollInterval: -1}, Logger: new(slog.Logger)},
			[]string{"Store", "LocalCopy", "Logger", "PollInterval"},
		},
	} {
		_, err := revocation.New(c.config)
		for _, want := range c.want {
			require.ErrorContains(t, err, want, name)
		}
		require.Len(t, strings.Split(err.Error(), "\n"), len(c.want), "%s: each problem is named once", name)
	}
}

// A List that New has not made knows no rules, so no token is accepted by it, and nothing panics.
func TestListsThatNewHasNotMade(t *testing.T) {
	t.Parallel()
	nilstest.Methods(t, "New", nil, []any{"x"}, (*revocation.List)(nil), new(revocation.List))
	for _, l := range []*revocation.List{nil, {}} {
		id, err := l.Revoked(new(verifier.Token))
		require.Empty(t, id)
		require.ErrorIs(t, err, revocation.ErrUnknown)
		_, err = l.Add(t.Context(), revocation.Rule{Provider: "*", Subject: "s"})
		require.ErrorContains(t, err, "New")
		require.Nil(t, l.Changed(), "nothing will ever change")
		require.False(t, known(l))
	}
	nilstest.Methods(t, "", []string{"Rule.Validate"}, nil, revocation.Rule{})
}
