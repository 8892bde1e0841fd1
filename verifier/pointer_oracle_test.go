package verifier_test

import (
	"encoding/json"
	"maps"
	"math/big"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/verifier"
)

// oddNames are names of members that look like parts of a JSON Pointer, or like nothing.
var oddNames = []string{"", "a", "/", "//", "~", "~0", "~1", "0", "1", "01", "-", "a/b", "a~1b", "/a", "https://x.example/roles", "ä"}

// randomValue makes a claim whose members have odd names.
func randomValue(r *rand.Rand, depth int) any {
	switch n := r.IntN(6); {
	case depth > 0 && n < 3:
		m := map[string]any{}
		for range 1 + r.IntN(4) {
			m[oddNames[r.IntN(len(oddNames))]] = randomValue(r, depth-1)
		}
		return m
	case depth > 0 && n == 3:
		list := []any{}
		for range r.IntN(4) {
			list = append(list, randomValue(r, depth-1))
		}
		return list
	case n == 4:
		return nil
	}
	return "v" + strconv.Itoa(r.IntN(1000))
}

// walk finds a value by the tokens of a pointer, as RFC 6901 section 4 says, in what encoding/json has decoded.
func walk(v any, tokens []string) (found any, ok bool) {
	for _, token := range tokens {
		switch in := v.(type) {
		case map[string]any:
			if v, ok = in[token]; !ok {
				return nil, false
			}
		case []any:
			i, err := strconv.ParseUint(token, 10, 16)
			if err != nil || strconv.FormatUint(i, 10) != token || int(i) >= len(in) {
				return nil, false
			}
			v = in[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// nextToken continues a path, mostly to a member that is there.
func nextToken(r *rand.Rand, claims any, path []string) string {
	in, _ := walk(claims, path)
	if members, ok := in.(map[string]any); ok && len(members) > 0 && r.IntN(3) > 0 {
		names := slices.Sorted(maps.Keys(members))
		return names[r.IntN(len(names))]
	}
	return oddNames[r.IntN(len(oddNames))]
}

// A JSON Pointer finds in a token what another reader finds by the same path: for Claim, and for each list of claims of a Policy. A
// claim whose name is the pointer itself is found first.
func TestPointersAgreeWithAnotherReader(t *testing.T) {
	t.Parallel()
	h := newHandmade(t)
	r := rand.New(rand.NewPCG(5, 6)) // the same each time
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	found, missing := 0, 0
	for range 120 {
		claims := map[string]any{}
		for range 3 {
			claims[oddNames[r.IntN(len(oddNames))]] = randomValue(r, 3)
		}
		text, err := json.Marshal(claims)
		require.NoError(t, err)
		raw := h.token(t, ","+string(text[1:len(text)-1]))
		for range 4 {
			var tokens []string
			pointer := ""
			for range 1 + r.IntN(3) {
				tokens = append(tokens, nextToken(r, claims, tokens))
				pointer += "/" + escape.Replace(tokens[len(tokens)-1])
			}
			want, ok := walk(claims, tokens)
			if itself, there := claims[pointer]; there {
				want, ok = itself, true
			}
			v := h.verifier(t, func(p *verifier.Policy) { p.GroupClaims = []string{pointer} })
			tok, err := v.Verify(t.Context(), raw)
			require.NoError(t, err)
			require.Equal(t, want, tok.Claim(pointer), "%s in %s", pointer, text)
			require.Equal(t, texts(want), slices.Collect(tok.Groups()), "%s in %s", pointer, text)
			required := h.verifier(t, func(p *verifier.Policy) { p.RequiredClaims = []string{pointer} })
			_, err = required.Verify(t.Context(), raw)
			require.Equal(t, ok && want != nil, err == nil, "%s in %s", pointer, text)
			require.Equal(t, err == nil, required.Recheck(t.Context(), tok) == nil)
			scoped := h.verifier(t, func(p *verifier.Policy) { p.ScopeClaims, p.ClientIDClaims = []string{pointer}, []string{pointer} })
			tok, err = scoped.Verify(t.Context(), raw)
			if one, text := want.(string); text || !ok {
				require.NoError(t, err, "%s in %s", pointer, text)
				require.Equal(t, one, tok.ClientID())
				require.Equal(t, ok, tok.HasScope(one))
			} else {
				require.Equal(t, "malformed", reasonOf(t, err), "%s in %s", pointer, text)
			}
			if ok {
				found++
			} else {
				missing++
			}
		}
	}
	require.Greater(t, found, 50)
	require.Greater(t, missing, 50)
}

// texts returns a text, or those of a list.
func texts(v any) (all []string) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	for _, one := range list {
		if text, ok := one.(string); ok {
			all = append(all, text)
		}
	}
	return all
}

// MaxLifetime decides by the exact difference of exp and iat, in whatever spelling JSON has for the two numbers, in nanoseconds.
func TestLifetimesAgreeWithExactNumbers(t *testing.T) {
	t.Parallel()
	h := newHandmade(t)
	r := rand.New(rand.NewPCG(7, 8))
	now := time.Now()
	number := func(base int64) string {
		n := base + r.Int64N(5) - 2
		switch r.IntN(5) {
		case 0:
			return strconv.FormatInt(n, 10) + "." + strings.Repeat("0", r.IntN(12)) + strconv.Itoa(r.IntN(1000))
		case 1:
			return strconv.FormatInt(n, 10) + "00e-2"
		case 2:
			return "0.0" + strconv.FormatInt(n, 10) + "E+11"
		case 3:
			return strconv.FormatInt(n/10, 10) + "." + strconv.FormatInt(n%10, 10) + "9999999999e1"
		}
		return strconv.FormatInt(n, 10)
	}
	nanoseconds := func(text string) *big.Int {
		x, ok := new(big.Rat).SetString(text)
		require.True(t, ok, text)
		x.Mul(x, big.NewRat(1e9, 1))
		return new(big.Int).Quo(x.Num(), x.Denom()) // what is smaller is cut off
	}
	anything := h.verifier(t, func(*verifier.Policy) {})
	short, long := 0, 0
	for range 300 {
		issued := r.Int64N(4000)
		lifetime := time.Duration(issued+3600)*time.Second + time.Duration(r.IntN(3)-1)*time.Duration(r.IntN(1e9))
		iat, exp := number(now.Unix()-issued), number(now.Unix()+3600)
		raw := h.token(t, `,"iat":`+iat+`,"exp":`+exp)
		v := h.verifier(t, func(p *verifier.Policy) { p.MaxLifetime = lifetime })
		within := new(big.Int).Sub(nanoseconds(exp), nanoseconds(iat)).Cmp(big.NewInt(int64(lifetime))) <= 0
		want := "too_old"
		if within {
			want = ""
			short++
		} else {
			long++
		}
		for range 2 {
			_, err := v.Verify(t.Context(), raw)
			require.Equal(t, want, reasonOf(t, err), "%s %s %v", iat, exp, lifetime)
		}
		tok, err := anything.Verify(t.Context(), raw)
		require.NoError(t, err)
		require.Equal(t, want, reasonOf(t, v.Recheck(t.Context(), tok)))
	}
	require.Greater(t, short, 50)
	require.Greater(t, long, 50)
}
