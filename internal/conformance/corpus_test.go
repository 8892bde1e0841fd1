package conformance_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/conformance"
)

// Every token of the corpus can be built.
func TestEveryTokenIsBuilt(t *testing.T) {
	t.Parallel()
	c, err := conformance.Load("../../conformance")
	require.NoError(t, err)
	for _, k := range c.Cases {
		_, err := c.Build(&k.Token, time.Now())
		require.NoError(t, err, k.ID)
	}
	for _, s := range c.Stories {
		for _, step := range s.Steps {
			if step.Present != nil {
				_, err := c.Tokens(s, step.Present, time.Now())
				require.NoError(t, err, s.ID)
			}
		}
	}
}
