package jose_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/jose"
)

func TestSplitTakesThreeSegments(t *testing.T) {
	t.Parallel()
	c, ok := jose.Split("aa.bb.cc")
	require.True(t, ok)
	require.Equal(t, jose.Compact{Header: "aa", Payload: "bb", Signature: "cc", Input: "aa.bb"}, c)
	for _, raw := range []string{"", ".", "..", "a", "a.b", "a.b.", ".b.c", "a..c", "a.b.c.", "a.b.c.d", "a.b.c.d.e", "a.b..d"} {
		_, ok := jose.Split(raw)
		require.False(t, ok, raw)
	}
}

// One Buffer decodes one JWS after the other; the strings of the first stay as they are.
func TestABufferDecodesOneAfterTheOther(t *testing.T) {
	t.Parallel()
	b64 := base64.RawURLEncoding.EncodeToString
	compact := func(h, p, s string) jose.Compact {
		c, ok := jose.Split(b64([]byte(h)) + "." + b64([]byte(p)) + "." + b64([]byte(s)))
		require.True(t, ok)
		return c
	}
	buffer := jose.NewBuffer(64)
	first := compact("header", "payload", "signature")
	one, ok := buffer.Decode(first)
	require.True(t, ok)
	require.Equal(t, "signature", string(one.Signature))
	require.Equal(t, first.Input, string(one.Input))
	second := compact("HEADER", "PAYLOAD", "SIGNATURE")
	two, ok := buffer.Decode(second)
	require.True(t, ok)
	require.Equal(t, []string{"header", "payload", "headerpayload"}, []string{one.Header, one.Payload, one.Text})
	require.Equal(t, []string{"HEADER", "PAYLOAD", "SIGNATURE"}, []string{two.Header, two.Payload, string(two.Signature)})
	require.Equal(t, second.Input, string(two.Input))
}

func TestEverySegmentIsCanonicalBase64url(t *testing.T) {
	t.Parallel()
	var buffer jose.Buffer
	for i := range 3 {
		for _, bad := range []string{"A", "AB", "AA=", "A+A", "A\nA"} {
			segments := []string{"AA", "AA", "AA"}
			segments[i] = bad
			c, ok := jose.Split(strings.Join(segments, "."))
			require.True(t, ok)
			_, ok = buffer.Decode(c)
			require.False(t, ok, segments)
		}
	}
}
