package revocation_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
)

// plain is a decorator of a user, for which nobody vouches.
type plain struct{ store.Trusted }

// Several writers at once lose nothing.
func TestWriters(t *testing.T) {
	t.Parallel()
	m := &memory{}
	var wg sync.WaitGroup
	for i := range 6 {
		l, err := revocation.New(revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{m}}})
		require.NoError(t, err)
		for j := range 5 {
			wg.Go(func() {
				_, err := l.Add(t.Context(), revocation.Rule{Provider: "*", Subject: fmt.Sprint(i, j)})
				if err != nil && !errors.Is(err, store.ErrConflict) {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	l, err := revocation.New(revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{m}}})
	require.NoError(t, err)
	_, err = l.Add(t.Context(), revocation.Rule{Provider: "*", Subject: "last"})
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(l.Rules()), 30)
	require.True(t, slices.IsSortedFunc(l.Rules(), func(a, b revocation.Rule) int { return a.Created.Compare(b.Created) }))
}
