package pseudonym_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/pseudonym"
)

// A pseudonym depends on the key and on each of the three texts, also if their concatenation is the same.
func TestPseudonymsDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, key := range []string{strings.Repeat("a", pseudonym.MinKeyBytes), strings.Repeat("b", pseudonym.MinKeyBytes)} {
		for _, parts := range [][3]string{
			{"subject", "x", "y"}, {"client_id", "x", "y"}, {"subject", "xy", ""}, {"subject", "", "xy"}, {"subjectx", "", "y"},
		} {
			p := pseudonym.Of([]byte(key), parts[0], parts[1], parts[2])
			require.True(t, strings.HasPrefix(p, pseudonym.Prefix))
			require.Len(t, p, len(pseudonym.Prefix)+43)
			require.False(t, seen[p], parts)
			seen[p] = true
			require.Equal(t, p, pseudonym.Of([]byte(key), parts[0], parts[1], parts[2]))
		}
	}
}

// Records that were written once can be found for ever: the format does not change.
func TestThePseudonymOfAValueIsFixed(t *testing.T) {
	t.Parallel()
	require.Equal(t, "hmac:eZ501HGorxujAf9_SrpjUPvevLI0t0aYYT-Vc4AgvQ0",
		pseudonym.Of([]byte("a secret of at least thirty-two bytes"), pseudonym.Subject, "test-provider", "alice"))
}
