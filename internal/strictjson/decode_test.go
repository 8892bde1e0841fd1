package strictjson_test

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/strictjson"
)

type inner struct {
	ISS string `json:"iss"`
}

type embedded struct{ Level string }

type claims struct {
	Issuer string            `json:"iss"`
	Plain  string            // filled by "Plain" only
	Inner  inner             `json:"inner"`
	Ptr    *inner            `json:"ptr"`
	List   []inner           `json:"list"`
	Fixed  [1]inner          `json:"fixed"`
	Map    map[string]inner  `json:"map"`
	Any    any               `json:"any"`
	When   time.Time         `json:"when"`
	Addr   *netip.Addr       `json:"addr"`
	Raw    json.RawMessage   `json:"raw"`
	Num    json.Number       `json:"num"`
	Quoted int               `json:"quoted,string"`
	Not    string            `json:"-"`
	Dash   string            `json:"-,"` //nolint:staticcheck // its name is a dash
	Texts  map[string]string `json:"texts"`
	hidden string
	embedded
}

func TestUnmarshalIsExact(t *testing.T) {
	t.Parallel()
	doc := []byte(`{
		"ISS":"evil", "iss":"good", "plain":"evil", "PLAIN":"evil",
		"inner":{"Iss":"evil","iss":"good","i\u017fs":"evil"}, "INNER":{"iss":"evil"},
		"ptr":{"ISS":"evil"}, "list":[{"ISS":"evil"},{"iss":"good"}], "fixed":[{"ISS":"evil"}],
		"map":{"x":{"ISS":"evil","iss":"good"},"X":{"ISS":"evil"}},
		"any":{"ISS":"kept","iss":"kept"}, "when":"2026-01-02T03:04:05Z", "addr":"192.0.2.1",
		"raw":{"ISS":"kept"}, "num":12345678901234567890, "quoted":"7", "-":"dash", "not":"evil",
		"texts":{"A":"1","a":"2"}, "hidden":"evil", "Level":"filled", "level":"evil", "\u0069nner2":1}`)
	_, err := strictjson.Parse(nil, string(doc))
	require.NoError(t, err)
	var got claims
	require.NoError(t, strictjson.Unmarshal(string(doc), &got))
	addr := netip.MustParseAddr("192.0.2.1")
	require.Equal(t, claims{
		Issuer: "good", Inner: inner{"good"}, Ptr: &inner{}, List: []inner{{}, {"good"}},
		Map: map[string]inner{"x": {"good"}, "X": {}}, Any: map[string]any{"ISS": "kept", "iss": "kept"},
		When: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Addr: &addr, Raw: json.RawMessage(`{"ISS":"kept"}`),
		Num: "12345678901234567890", Quoted: 7, Dash: "dash", Texts: map[string]string{"A": "1", "a": "2"},
		embedded: embedded{Level: "filled"},
	}, got)
	require.Empty(t, got.hidden)
}

type twice struct {
	A struct{ X string } `json:"a"`
	left
	right
}

type (
	left   struct{ common }
	right  struct{ common }
	common struct {
		Shared string `json:"shared"`
		SHARED string
	}
	shallow struct {
		Deep string `json:"name"`
		deeper
	}
	deeper struct {
		Name string `json:"name"`
		Tag  string `json:"Free"`
		Free string
	}
	number  int //nolint:unused // embedded below
	unnamed struct {
		number //nolint:unused // encoding/json leaves it alone
		*pointed
		Named embedded `json:"named"`
	}
	pointed struct{ P string }
)

// encoding/json drops a name that several fields of one level claim; it must not be kept here either, or encoding/json
// would fold it onto another field.
func TestUnmarshalFollowsTheRulesOfEmbedding(t *testing.T) {
	t.Parallel()
	var a twice
	require.NoError(t, strictjson.Unmarshal(`{"shared":"x","SHARED":"y","Shared":"z"}`, &a))
	require.Zero(t, a)
	var b shallow
	require.NoError(t, strictjson.Unmarshal(`{"name":"x","Free":"tagged","free":"evil"}`, &b))
	require.Equal(t, shallow{Deep: "x", deeper: deeper{Tag: "tagged"}}, b)
	var c unnamed
	require.NoError(t, strictjson.Unmarshal(`{"number":1,"named":{"Level":"x","level":"evil"}}`, &c))
	require.Equal(t, unnamed{Named: embedded{Level: "x"}}, c)
}

// What encoding/json would follow behind the types' back: pointers in interfaces, and promoted methods that it does not call.
func TestUnmarshalFollowsNothingHidden(t *testing.T) {
	t.Parallel()
	doc := []byte(`{"ISS":"evil","in":{"ISS":"evil"},"list":[{"ISS":"evil"}],"org":{"ROLE":"evil"},"orgs":[{"ROLE":"evil"}]}`)
	hidden := new(inner)
	var a any = hidden
	require.NoError(t, strictjson.Unmarshal(string(doc), &a))
	require.Zero(t, *hidden)
	require.IsType(t, map[string]any{}, a)
	b := struct {
		In   any   `json:"in"`
		List []any `json:"list"`
	}{hidden, []any{hidden}}
	require.NoError(t, strictjson.Unmarshal(string(doc), &b))
	require.Zero(t, *hidden)
	var c struct {
		Org struct {
			netip.Addr
			Role string `json:"role"`
		} `json:"org"`
		Orgs []struct {
			netip.Addr
			Role string `json:"role"`
		} `json:"orgs"`
	}
	if err := strictjson.Unmarshal(string(doc), &c); err == nil { // from Go 1.27 on the promoted method is called, and refuses
		require.Len(t, c.Orgs, 1)
		require.Empty(t, c.Orgs[0].Role)
	}
	require.Empty(t, c.Org.Role)
}

// A name that Go versions read differently could be folded onto another field by one of them.
func TestUnmarshalTakesNoDoubtfulName(t *testing.T) {
	t.Parallel()
	var a struct {
		Other string `json:"bad"`
		Bad   string `json:"a\"b"` //nolint:staticcheck // ignored before Go 1.27
	}
	require.NoError(t, strictjson.Unmarshal(`{"Bad":"evil","a\"b":"evil"}`, &a))
	require.Zero(t, a)
	var b struct {
		embedded `json:"a\"b"` //nolint:staticcheck // looked through before Go 1.27
		Other    string        `json:"level"`
	}
	require.NoError(t, strictjson.Unmarshal(`{"Level":"evil"}`, &b))
	require.Zero(t, b)
}

func TestUnmarshalTargets(t *testing.T) {
	t.Parallel()
	doc := []byte(` {"iss":"x","ISS":"y"}`)
	var m map[string]any
	require.NoError(t, strictjson.Unmarshal(string(doc), &m))
	require.Equal(t, map[string]any{"iss": "x", "ISS": "y"}, m)
	var a any
	require.NoError(t, strictjson.Unmarshal(string(doc), &a))
	var p *inner
	require.NoError(t, strictjson.Unmarshal(string(doc), &p))
	require.Equal(t, "x", p.ISS)
	require.Error(t, strictjson.Unmarshal(string(doc), nil))
	require.Error(t, strictjson.Unmarshal(string(doc), inner{}))
	require.Error(t, strictjson.Unmarshal(string(doc), (*inner)(nil)))
	require.Error(t, strictjson.Unmarshal(`{"iss":1}`, &p), "a value of the wrong type")
}
