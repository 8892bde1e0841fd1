package verifier_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// One huge token does not make the memory of all grow for good.
func TestHugeBuffersAreNotKept(t *testing.T) {
	t.Parallel()
	c := verifier.NewCache(8)
	huge := strings.Repeat("x", 1<<20)
	for range 200 { // a pool may drop anything, so one look proves little
		c.Digest(huge)
		require.LessOrEqual(t, c.BufferSize(), verifier.KeptBytes)
		for _, sizes := range [][2]int{{1 << 20, 1}, {1, 1 << 12}} {
			bytes, members := verifier.UseAttempt(sizes[0], sizes[1])
			require.LessOrEqual(t, bytes, verifier.KeptBytes)
			require.LessOrEqual(t, members, verifier.KeptMembers)
		}
	}
}

// A token that two callers verified at once is remembered once.
func TestATokenIsRememberedOnce(t *testing.T) {
	t.Parallel()
	now := time.Now()
	c := verifier.NewCache(8)
	for i := range 5 {
		c.Add("one", 100+i, now.Add(time.Hour), now)
		c.Add("two", 100, now.Add(time.Hour), now)
		counted, walked, bytes, walkedBytes := c.Entries()
		require.Equal(t, 2, counted)
		require.Equal(t, 2, walked)
		require.Equal(t, walkedBytes, bytes)
	}
}

// A key that has been published again for another algorithm is not the key that signed.
func TestRecheckLooksAtTheAlgorithmOfTheKey(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "RS256"})
	members := published(t, w, east)
	source := &fixed{}
	v, err := verifier.New([]verifier.Policy{{
		Provider: w.Provider(), Audience: verifier.Audience(fakeissuer.Audience), Algorithms: []string{"RS256", "PS256"},
	}}, source, verifier.Config{})
	require.NoError(t, err)
	for algorithm, want := range map[string]string{"RS256": "", "": "", "PS256": "unknown_key", "RS512": "unknown_key"} {
		source.keys = []*jwks.Key{keyWith(t, members, nil)}
		tok := mustVerify(t, v, w)
		change := map[string]any{"alg": algorithm}
		if algorithm == "" {
			change["alg"] = nil
		}
		source.keys = []*jwks.Key{keyWith(t, members, change)}
		require.Equal(t, want, reasonOf(t, v.Recheck(t.Context(), tok)), algorithm)
	}
}
