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

// nilStore is an Authentic whose methods need a receiver.
type nilStore struct{ store.Store }

func (*nilStore) Authentic() {}

func TestNilsAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config revocation.Config
		want   []string
	}{
		"nil Store":     {revocation.Config{Store: (*nilStore)(nil)}, []string{"revocation: Store"}},
		"nil LocalCopy": {revocation.Config{LocalCopy: (*nilStore)(nil)}, []string{"revocation: LocalCopy"}},
		"zero Logger":   {revocation.Config{Logger: new(slog.Logger)}, []string{"revocation: Logger"}},
		"nil Handler":   {revocation.Config{Logger: slog.New((*slog.JSONHandler)(nil))}, []string{"revocation: Logger"}},
		"negative Poll": {revocation.Config{Poll: -time.Nanosecond}, []string{"Poll is negative"}},
		"all of it": {
			revocation.Config{Store: (*nilStore)(nil), LocalCopy: (*nilStore)(nil), Logger: new(slog.Logger), Poll: -1},
			[]string{"Store", "LocalCopy", "Logger", "Poll"},
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
		_, err = l.Add(t.Context(), revocation.Rule{AllAuthorities: true, Subject: "s"})
		require.ErrorContains(t, err, "New")
		l.OnChange(func() {})()
		require.False(t, l.Status().Known)
	}
	nilstest.Methods(t, "", []string{"Rule.Validate"}, nil, revocation.Rule{})
}
