package grpccreds_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/failover/clientcredentials/grpccreds"
)

// tokenless is a Source that returns nothing.
type tokenless struct{}

func (*tokenless) Token(context.Context) (*clientcredentials.Token, error) { return nil, nil } //nolint:nilnil // that is the test

// A Source that is none, or that New has not made, is refused at once; one that returns nothing is an error.
func TestSourcesThatCannotWork(t *testing.T) {
	t.Parallel()
	_, err := grpccreds.New(grpccreds.Config{})
	require.ErrorContains(t, err, "clientcredentials.New")
	_, err = grpccreds.New(grpccreds.Config{Source: (*tokenless)(nil)})
	require.ErrorContains(t, err, "clientcredentials.New")
	for _, s := range []*clientcredentials.Source{nil, {}} {
		_, err = grpccreds.New(grpccreds.Config{Source: s})
		require.ErrorContains(t, err, "clientcredentials.New")
	}
	creds, err := grpccreds.New(grpccreds.Config{Source: &tokenless{}, InsecureTransport: true})
	require.NoError(t, err)
	_, err = creds.GetRequestMetadata(t.Context())
	require.Equal(t, codes.Unavailable, status.Code(err))
}
