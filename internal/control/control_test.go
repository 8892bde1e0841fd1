package control_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/control"
)

func TestCharacter(t *testing.T) {
	t.Parallel()
	for _, c := range "\x00\t\n\x1b\x7f\u0085\u009b\u200e\u2028\u2029\u202e\u2066" {
		require.True(t, control.Character(c), "%q", c)
	}
	for _, c := range " ~aZ0/\u00a0\u00e9\u65e5\u00ad\ufffd\U0001F600" {
		require.False(t, control.Character(c), "%q", c)
	}
}
