package strictjson_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/conformance"
	"github.com/regionjwt/regionjwt/internal/strictjson"
)

var refused = []struct {
	name, doc string
	want      error
}{
	{"nothing", "", strictjson.ErrNotObject},
	{"white space", " \t\r\n", strictjson.ErrNotObject},
	{"array", "[]", strictjson.ErrNotObject},
	{"string", `"a"`, strictjson.ErrNotObject},
	{"null", "null", strictjson.ErrNotObject},
	{"byte order mark", "\xef\xbb\xbf{}", strictjson.ErrEncoding},
	{"UTF-16", "{\x00}\x00", strictjson.ErrSyntax},
	{"two objects", "{}{}", strictjson.ErrSyntax},
	{"trailing NUL", "{}\x00", strictjson.ErrSyntax},
	{"trailing brace", "{}}", strictjson.ErrSyntax},
	{"unclosed", `{"a":1`, strictjson.ErrSyntax},
	{"unclosed name", `{"a`, strictjson.ErrSyntax},
	{"unclosed array", `{"a":[1`, strictjson.ErrSyntax},
	{"no colon", `{"a" 1}`, strictjson.ErrSyntax},
	{"no value", `{"a":}`, strictjson.ErrSyntax},
	{"no comma", `{"a":1 "b":2}`, strictjson.ErrSyntax},
	{"no comma in an array", `{"a":[1 2]}`, strictjson.ErrSyntax},
	{"last comma", `{"a":1,}`, strictjson.ErrSyntax},
	{"last comma in an array", `{"a":[1,]}`, strictjson.ErrSyntax},
	{"first comma", `{,"a":1}`, strictjson.ErrSyntax},
	{"comment", `{/**/"a":1}`, strictjson.ErrSyntax},
	{"single quotes", `{'a':1}`, strictjson.ErrSyntax},
	{"bare name", `{a:1}`, strictjson.ErrSyntax},
	{"number as name", `{1:1}`, strictjson.ErrSyntax},
	{"NaN", `{"a":NaN}`, strictjson.ErrSyntax},
	{"Infinity", `{"a":-Infinity}`, strictjson.ErrSyntax},
	{"hexadecimal", `{"a":0x1}`, strictjson.ErrSyntax},
	{"plus", `{"a":+1}`, strictjson.ErrSyntax},
	{"leading zero", `{"a":01}`, strictjson.ErrSyntax},
	{"leading point", `{"a":.5}`, strictjson.ErrSyntax},
	{"trailing point", `{"a":1.}`, strictjson.ErrSyntax},
	{"bare exponent", `{"a":1e}`, strictjson.ErrSyntax},
	{"signed bare exponent", `{"a":1e+}`, strictjson.ErrSyntax},
	{"bare minus", `{"a":-}`, strictjson.ErrSyntax},
	{"True", `{"a":True}`, strictjson.ErrSyntax},
	{"nul", `{"a":nul}`, strictjson.ErrSyntax},
	{"fals", `{"a":fals}`, strictjson.ErrSyntax},
	{"truex", `{"a":truex}`, strictjson.ErrSyntax},
	{"form feed", "{\f}", strictjson.ErrSyntax},
	{"no-break space", "{\u00a0}", strictjson.ErrSyntax},
	{"control character", "{\"a\":\"\x1f\"}", strictjson.ErrSyntax},
	{"raw newline", "{\"a\":\"\n\"}", strictjson.ErrSyntax},
	{"unknown escape", `{"a":"\x41"}`, strictjson.ErrSyntax},
	{"short escape", `{"a":"\u12"}`, strictjson.ErrSyntax},
	{"escape at the end", `{"a":"\`, strictjson.ErrSyntax},
	{"escape without hex", `{"a":"\u12g4"}`, strictjson.ErrSyntax},
	{"cut escape", `{"a":"\u`, strictjson.ErrSyntax},
	{"byte FF in a value", "{\"a\":\"\xff\"}", strictjson.ErrEncoding},
	{"byte FF in a name", "{\"\xff\":1}", strictjson.ErrEncoding},
	{"overlong", "{\"a\":\"\xc0\xaf\"}", strictjson.ErrEncoding},
	{"surrogate as UTF-8", "{\"a\":\"\xed\xa0\x80\"}", strictjson.ErrEncoding},
	{"beyond Unicode", "{\"a\":\"\xf4\x90\x80\x80\"}", strictjson.ErrEncoding},
	{"lone high surrogate", `{"a":"\ud800"}`, strictjson.ErrEncoding},
	{"lone low surrogate", `{"a":"\udc00"}`, strictjson.ErrEncoding},
	{"two low surrogates", `{"a":"\udc00\udc00"}`, strictjson.ErrEncoding},
	{"two high surrogates", `{"a":"\ud800\ud800"}`, strictjson.ErrEncoding},
	{"high surrogate, then text", `{"a":"\ud800abcdef"}`, strictjson.ErrEncoding},
	{"high surrogate, bad escape", `{"a":"\ud800\uZZZZ"}`, strictjson.ErrSyntax},
	{"name twice", `{"a":1,"a":1}`, strictjson.ErrDuplicate},
	{"name twice, escaped", `{"a":1,"\u0061":1}`, strictjson.ErrDuplicate},
	{"name twice, inner", `{"x":{"a":1,"b":2,"a":3}}`, strictjson.ErrDuplicate},
	{"name twice, in an array", `{"x":[[{"a":1,"a":2}]]}`, strictjson.ErrDuplicate},
	{"empty name twice", `{"":1,"":2}`, strictjson.ErrDuplicate},
	{"name twice among many", many(100, `"n7":1`), strictjson.ErrDuplicate},
	{"33 levels of objects", nested(33, `{"a":`, "1", "}"), strictjson.ErrDepth},
	{"33 levels with arrays", `{"a":` + nested(32, "[", "", "]") + "}", strictjson.ErrDepth},
}

func many(n int, last string) string {
	var b strings.Builder
	b.WriteByte('{')
	for i := range n {
		fmt.Fprintf(&b, `"n%d":%d,`, i, i)
	}
	return b.String() + last + "}"
}

func nested(n int, open, inner, shut string) string {
	return strings.Repeat(open, n) + inner + strings.Repeat(shut, n)
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range refused {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			members, err := strictjson.Parse(nil, c.doc)
			require.ErrorIs(t, err, c.want)
			require.Empty(t, members)
		})
	}
}

var accepted = []string{
	"{}", " {\r\n\t} ", `{"a":1}`, `{"":""}`, `{"a":null,"b":true,"c":false,"d":-0.5e-7,"e":0,"f":"x","g":[],"h":{}}`,
	`{"a":"\"\\\/\b\f\n\r\t\u0000\u00e9\ud83d\ude00"}`, `{"\u0061b":{"\u0061b":[1,"]}",{"x":"\\"}]}}`,
	"{\"\u00e9\":\"\u65e5\"}", `{"a":[1 , 2 ,[3],{"b":[]}]}`, many(100, `"x":1`),
	nested(32, `{"a":`, "1", "}"), `{"a":` + nested(31, "[", "", "]") + "}", `{"A":1,"a":2}`, `{"":1e1000}`,
}

func TestParseAcceptsWithTheValuesOfEncodingJSON(t *testing.T) {
	t.Parallel()
	for _, doc := range accepted {
		members, err := strictjson.Parse(nil, doc)
		require.NoError(t, err, doc)
		want, err := standard([]byte(doc))
		require.NoError(t, err, doc)
		require.Equal(t, want, plainMembers(t, members), doc)
	}
}

// standard is what encoding/json makes of a document, with numbers as text: they may be beyond any float.
func standard(doc []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var out map[string]any
	if err := d.Decode(&out); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something stands behind it")
	}
	return out, nil
}

// plainMembers and plain turn what the reader says into what encoding/json makes of it.
func plainMembers(t testing.TB, members []strictjson.Member) map[string]any {
	out := map[string]any{}
	for _, m := range members {
		out[m.Name] = plain(t, m.Value)
	}
	return out
}

func plain(t testing.TB, v strictjson.Value) any {
	switch v.Kind() {
	case strictjson.Object:
		out := map[string]any{}
		for m := range v.Members() {
			out[m.Name] = plain(t, m.Value)
		}
		return out
	case strictjson.Array:
		out := []any{}
		for e := range v.Elements() {
			out = append(out, plain(t, e))
		}
		return out
	case strictjson.String:
		require.True(t, v.Is(v.Text()))
		require.False(t, v.Is(v.Text()+"x"))
		return v.Text()
	case strictjson.Number:
		return json.Number(v.Raw())
	default:
		var out any
		require.NoError(t, json.Unmarshal([]byte(v.Raw()), &out))
		return out
	}
}

func TestParseAppends(t *testing.T) {
	t.Parallel()
	first, err := strictjson.Parse(nil, `{"a":1}`)
	require.NoError(t, err)
	both, err := strictjson.Parse(first, `{"a":2}`)
	require.NoError(t, err)
	require.Len(t, both, 2)
	same, err := strictjson.Parse(first, `{"b":2`)
	require.Error(t, err)
	require.Len(t, same, 1)
	require.Equal(t, "1", strictjson.Find(both, "a").Raw())
	require.Equal(t, strictjson.Absent, strictjson.Find(both, "A").Kind())
}

func TestAbsentValue(t *testing.T) {
	t.Parallel()
	var v strictjson.Value
	require.Empty(t, v.Text())
	require.False(t, v.Is(""))
	for range v.Members() {
		t.Fatal("an absent value has no members")
	}
	for range v.Elements() {
		t.Fatal("an absent value has no elements")
	}
}

func TestWalksStopEarly(t *testing.T) {
	t.Parallel()
	members, err := strictjson.Parse(nil, `{"a":[1,2,3],"o":{"x":1,"y":2}}`)
	require.NoError(t, err)
	for e := range members[0].Value.Elements() {
		require.Equal(t, "1", e.Raw())
		break
	}
	for m := range members[1].Value.Members() {
		require.Equal(t, "x", m.Name)
		break
	}
}

// Work may not grow with the square of the number of members: ten times the members, about ten times the allocations.
func TestManyMembers(t *testing.T) {
	few := testing.AllocsPerRun(10, func() { _, _ = strictjson.Parse(nil, many(1000, `"x":1`)) })
	lots := testing.AllocsPerRun(10, func() { _, _ = strictjson.Parse(nil, many(10_000, `"x":1`)) })
	require.Less(t, lots, 20*few)
}

// corpus is the headers and payloads of the corpus, each once.
func corpus(tb testing.TB) map[string]bool {
	tb.Helper()
	c, err := conformance.Load("../../conformance")
	require.NoError(tb, err)
	docs := map[string]bool{}
	for _, k := range c.Cases {
		raw, err := c.Build(&k.Token, time.Unix(1790000000, 0))
		require.NoError(tb, err)
		parts := strings.Split(raw, ".")
		for _, p := range parts[:min(2, len(parts))] {
			if b, err := base64.RawURLEncoding.DecodeString(p); err == nil && len(b) < 16<<10 {
				docs[string(b)] = true
			}
		}
	}
	return docs
}

// FuzzParse: what the strict reader accepts, encoding/json accepts with the same values; what encoding/json refuses, it
// refuses; and an accepted document stays accepted, with the same values, when encoding/json has written it again.
func FuzzParse(f *testing.F) {
	for _, c := range refused {
		f.Add([]byte(c.doc))
	}
	for _, doc := range accepted {
		f.Add([]byte(doc))
	}
	seeds := 0
	for doc := range corpus(f) {
		f.Add([]byte(doc))
		seeds++
	}
	require.GreaterOrEqual(f, seeds, 384, "the corpus is not whole")
	f.Fuzz(func(t *testing.T, doc []byte) {
		members, err := strictjson.Parse(nil, string(doc))
		want, stdErr := standard(doc)
		if err != nil {
			return
		}
		require.NoError(t, stdErr)
		got := plainMembers(t, members)
		require.Equal(t, want, got)
		again, err := json.Marshal(got)
		require.NoError(t, err)
		members, err = strictjson.Parse(nil, string(again))
		require.NoError(t, err)
		require.True(t, maps.EqualFunc(got, plainMembers(t, members), func(a, b any) bool {
			return fmt.Sprint(a) == fmt.Sprint(b)
		}))
	})
}

// A name is found twice in an object of any size, at any level, wherever the two are; what the caller had is no member of it.
func TestNoNameTwice(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 5, 23, 24, 25, 26, 60} {
		for _, twice := range []int{0, n / 2, n - 1} {
			var members []string
			for i := range n {
				members = append(members, fmt.Sprintf(`"name%d":%d`, i, i))
			}
			once := "{" + strings.Join(members, ",") + "}"
			again := "{" + strings.Join(append(members, fmt.Sprintf(`"name%d":0`, twice)), ",") + "}"
			for _, around := range []string{"%s", `{"name0":%s}`, `{"a":[0,%s]}`} {
				had := []strictjson.Member{{Name: fmt.Sprintf("name%d", n-1)}}
				got, err := strictjson.Parse(had, fmt.Sprintf(around, once))
				require.NoError(t, err, "%d in %s", n, around)
				require.Equal(t, had[0], got[0])
				_, err = strictjson.Parse(had, fmt.Sprintf(around, again))
				require.ErrorIs(t, err, strictjson.ErrDuplicate, "%d of %d in %s", twice, n, around)
			}
		}
	}
}

// Each byte at each place of a text means what it means to encoding/json, however many bytes are looked at together.
func TestEachByteOfAText(t *testing.T) {
	t.Parallel()
	for place := range 20 {
		for b := range 256 {
			text := []byte("abcdefghijklmnopqrst")
			text[place] = byte(b)
			doc := `{"in":{"` + string(text) + `":"` + string(text) + `"},"after":1}`
			_, err := strictjson.Parse(nil, doc)
			valid := json.Valid([]byte(doc)) && utf8.ValidString(doc)
			require.Equal(t, valid, err == nil, "%#x at %d: %v", b, place, err)
		}
	}
}
