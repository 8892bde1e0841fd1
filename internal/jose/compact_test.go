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

// Padding is read where it belongs: in every segment that needs it, or in none. The signature is over what was received.
func TestDecodePadded(t *testing.T) {
	t.Parallel()
	var b jose.Buffer
	for raw, want := range map[string][]string{
		"YQ==.YWI=.YWJj":     {"a", "ab", "abc"},
		"YQ.YWI.YWJj":        {"a", "ab", "abc"},
		"YWJj.YWJj.YWJj":     {"abc", "abc", "abc"},
		"YQ==.YWI.YWJj":      nil,
		"YQ.YWI=.YWJj":       nil,
		"YQ==.YWI=.YQ":       nil,
		"YQ=.YWI=.YWJj":      nil,
		"YQ===.YWI=.YWJj":    nil,
		"YQ==.YWI==.YWJj":    nil,
		"YQ==.YWI=.YWJj=":    nil,
		"YQ==.YWI=.YWJj====": nil,
		"YQ==.Y=I=.YWJj":     nil,
		"=YQ=.YWI=.YWJj":     nil,
		"YR==.YWI=.YWJj":     nil,
		"YQ==.YWJ=.YWJj":     nil,
		"A===.YWI=.YWJj":     nil,
		"====.YWI=.YWJj":     nil,
		"=.=.=":              nil,
	} {
		c, ok := jose.Split(raw)
		require.True(t, ok)
		j, ok := b.DecodePadded(c)
		require.Equal(t, want != nil, ok, raw)
		if ok {
			require.Equal(t, want, []string{j.Header, j.Payload, string(j.Signature)})
			require.Equal(t, raw[:strings.LastIndexByte(raw, '.')], string(j.Input))
			_, bare := b.Decode(c)
			require.Equal(t, !strings.Contains(raw, "="), bare, "padding is for this kind of token only")
		}
	}
}
