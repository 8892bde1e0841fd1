package oauth2source_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/failover/clientcredentials/oauth2source"
)

// tokenless is a Source that returns nothing.
type tokenless struct{}

func (*tokenless) Token(context.Context) (*clientcredentials.Token, error) { return nil, nil } //nolint:nilnil // that is the test

// A Source that is none, or that New has not made, is refused at once; one that returns nothing is an error.
func TestSourcesThatCannotWork(t *testing.T) {
	t.Parallel()
	_, err := oauth2source.New(oauth2source.Config{})
	require.ErrorContains(t, err, "clientcredentials.New")
	_, err = oauth2source.New(oauth2source.Config{Source: (*tokenless)(nil)})
	require.ErrorContains(t, err, "clientcredentials.New")
	for _, s := range []*clientcredentials.Source{nil, {}} {
		_, err = oauth2source.New(oauth2source.Config{Source: s})
		require.ErrorContains(t, err, "clientcredentials.New")
	}
	ts, err := oauth2source.New(oauth2source.Config{Source: &tokenless{}})
	require.NoError(t, err)
	_, err = ts.Token()
	require.Error(t, err)
}
