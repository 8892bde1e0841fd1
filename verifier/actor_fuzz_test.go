package verifier_test

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/verifier"
)

// judgeActor reads an act claim by other means than the verifier: encoding/json, in which the names of members are exact in maps.
func judgeActor(act any, issuer string, most int) (*verifier.Actor, bool) {
	members, ok := act.(map[string]any)
	if !ok || most == 0 {
		return nil, false
	}
	a := &verifier.Actor{Issuer: issuer, Provider: "handmade"}
	if a.Subject, ok = members["sub"].(string); !ok || a.Subject == "" {
		return nil, false
	}
	if iss, there := members["iss"]; there {
		if a.Issuer, ok = iss.(string); !ok || a.Issuer == "" {
			return nil, false
		}
		if a.Issuer != issuer {
			a.Provider = ""
		}
	}
	if previous, there := members["act"]; there {
		if a.Previous, ok = judgeActor(previous, issuer, most-1); !ok {
			return nil, false
		}
	}
	return a, true
}

// checkActor verifies a token with that act, and compares the verdict with that of judgeActor.
func checkActor(t *testing.T, h handmade, v *verifier.Verifier, act string) (accepted bool) {
	t.Helper()
	var decoded any
	if json.Unmarshal([]byte(act), &decoded) != nil {
		return false
	}
	tok, err := v.Verify(t.Context(), h.token(t, `,"act":`+act))
	want, ok := judgeActor(decoded, "https://idp.example", 4)
	if err != nil {
		require.ErrorIs(t, err, verifier.ErrInvalid, act)
		return false
	}
	require.True(t, ok, act)
	require.Equal(t, want, tok.Actor(), act)
	return true
}

// randomAct makes acts of which about half can be read. No member is there twice.
func randomAct(r *rand.Rand, depth int) string {
	pick := func(values ...string) string { return values[r.IntN(len(values))] }
	if r.IntN(20) == 0 {
		return pick(`null`, `"agent"`, `7`, `[]`, `{}`, `[{"sub":"a"}]`, `true`)
	}
	members := []string{`"sub":` + pick(`"a"`, `"agent"`, `"\u0061"`, `"b"`, `"ä"`, pick(`""`, `null`, `1`, `["a"]`, `{"sub":"a"}`))}
	if r.IntN(3) == 0 {
		members = append(members, `"iss":`+pick(`"https://x.example"`, `"x"`, `"https://idp.example"`, pick(`""`, `null`, `1`)))
	}
	if depth > 0 && r.IntN(3) > 0 {
		members = append(members, `"act":`+randomAct(r, depth-1))
	}
	if r.IntN(4) == 0 {
		members = append(members, pick(`"SUB":"x"`, `"Act":{}`, `"client_id":1`, `"may_act":{"sub":"x"}`, `" iss":null`))
	}
	r.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	return "{" + strings.Join(members, ",") + "}"
}

// Whatever an act looks like, it is read as another reader of JSON reads it, or its token is rejected; and none that is sound is
// rejected.
func TestActorsAgreeWithAnotherReader(t *testing.T) {
	t.Parallel()
	h := newHandmade(t)
	v := h.verifier(t, func(*verifier.Policy) {})
	r := rand.New(rand.NewPCG(1, 2)) // the same acts each time
	accepted, sound := 0, 0
	for range 3000 {
		act := randomAct(r, 6)
		var decoded any
		require.NoError(t, json.Unmarshal([]byte(act), &decoded))
		if _, ok := judgeActor(decoded, "https://idp.example", 4); ok {
			sound++
		}
		if checkActor(t, h, v, act) {
			accepted++
		}
	}
	require.Equal(t, sound, accepted)
	require.Greater(t, sound, 500)
	require.Less(t, sound, 2500)
}

// FuzzActor: no act is read in another way than by another reader.
func FuzzActor(f *testing.F) {
	for _, act := range []string{`{"sub":"a"}`, `{"sub":"a","iss":"x","act":{"sub":"b"}}`, `{"sub":"a","sub":"b"}`, `null`, `{"act":{"sub":"a"}}`, `{"s\u0075b":"a"}`} {
		f.Add(act)
	}
	f.Fuzz(func(t *testing.T, act string) {
		h := newHandmade(t)
		checkActor(t, h, h.verifier(t, func(*verifier.Policy) {}), act)
	})
}
