package jose_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"math/big"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/jose/josetest"
)

var algorithms = []string{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA, jose.Ed25519,
}

var enc = base64.RawURLEncoding

// signed makes a signature of alg over a text.
func signed(t testing.TB, alg string) (public crypto.PublicKey, input, signature []byte) {
	t.Helper()
	s, err := josetest.NewSigner(alg)
	require.NoError(t, err)
	token, err := s.Sign([]byte(`{}`), []byte(`{"a":1}`))
	require.NoError(t, err)
	dot := strings.LastIndexByte(token, '.')
	signature, err = enc.DecodeString(token[dot+1:])
	require.NoError(t, err)
	return s.Public(), []byte(token[:dot]), signature
}

func TestVerify(t *testing.T) {
	t.Parallel()
	for _, alg := range algorithms {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			public, input, signature := signed(t, alg)
			require.True(t, jose.Known(alg))
			require.True(t, jose.Fits(alg, public))
			require.NoError(t, jose.Verify(alg, public, input, signature))
			for i := range len(signature) * 8 { // a flipped bit at every position
				signature[i/8] ^= 1 << (i % 8)
				require.ErrorIs(t, jose.Verify(alg, public, input, signature), jose.ErrSignature)
				signature[i/8] ^= 1 << (i % 8)
			}
			input[0] ^= 1
			require.ErrorIs(t, jose.Verify(alg, public, input, signature), jose.ErrSignature)
			input[0] ^= 1
			for _, s := range [][]byte{nil, {}, signature[1:], signature[:len(signature)-1], append([]byte{0}, signature...), append(signature, 0)} {
				require.ErrorIs(t, jose.Verify(alg, public, input, s), jose.ErrSignature)
			}
			for _, other := range algorithms {
				if jose.Canonical(other) != jose.Canonical(alg) {
					require.Error(t, jose.Verify(other, public, input, signature), "%s as %s", alg, other)
				}
			}
		})
	}
}

func TestVerifyRefusesOtherAlgorithmsAndKeys(t *testing.T) {
	t.Parallel()
	public, input, signature := signed(t, jose.ES256)
	for _, alg := range []string{"", "none", "None", "HS256", "HS384", "HS512", "es256", "ES256K", "Ed448", "ed25519", "eddsa", "ML-DSA-45", "ES256 "} {
		require.False(t, jose.Known(alg))
		require.False(t, jose.Fits(alg, public))
		require.ErrorIs(t, jose.Verify(alg, public, input, signature), jose.ErrKeyType)
	}
	for _, k := range []any{nil, []byte("secret"), "secret", struct{}{}, ed25519.PublicKey("short"), &ecdsa.PublicKey{}} {
		for _, alg := range algorithms {
			require.False(t, jose.Fits(alg, k))
			require.ErrorIs(t, jose.Verify(alg, k, input, signature), jose.ErrKeyType)
		}
	}
	small := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 1023, 1), E: 65537}
	require.False(t, jose.Fits(jose.RS256, small))
}

func TestAppendBase64(t *testing.T) {
	t.Parallel()
	for n := range 70 {
		random := make([]byte, n)
		_, _ = rand.Read(random)
		got, err := jose.AppendBase64([]byte("x"), enc.EncodeToString(random))
		require.NoError(t, err)
		require.Equal(t, append([]byte("x"), random...), got)
	}
	for _, s := range []string{"A", "AAAAA", "A=", "AA==", "AA=", "AAA=", "AA\n", "A\nA", "\r\nAA", "AA AA", "A+", "A/AA", "AB", "AAB", "A\x00", "A\xff", "AA!A", "A!", "!A", "!AA", "A!A", "AA!"} {
		_, err := jose.AppendBase64(nil, s)
		require.ErrorIs(t, err, jose.ErrBase64, "%q", s)
	}
}

// Each byte at each place is taken where the standard library takes it, with the same value.
func TestEachByteOfBase64(t *testing.T) {
	t.Parallel()
	for n := 2; n < 23; n++ {
		for place := range n {
			for b := range 256 {
				text := bytes.Repeat([]byte("A"), n)
				text[place] = byte(b)
				got, err := jose.AppendBase64(nil, string(text))
				want, stdErr := enc.Strict().DecodeString(string(text))
				require.Equal(t, stdErr == nil && b != '\r' && b != '\n', err == nil, "%q", text)
				if err == nil {
					require.Equal(t, string(want), string(got), "%q", text)
				}
			}
		}
	}
}

func FuzzAppendBase64(f *testing.F) {
	for _, s := range []string{"", "AA", "AB", "AAA", "AA==", "A\nAAA", "_-_-"} {
		f.Add(s)
	}
	strict := enc.Strict()
	f.Fuzz(func(t *testing.T, s string) {
		got, err := jose.AppendBase64(nil, s)
		want, stdErr := strict.DecodeString(s)
		if strings.ContainsAny(s, "\r\n") {
			require.Error(t, err)
			return
		}
		require.Equal(t, stdErr == nil, err == nil)
		if err == nil {
			require.Equal(t, string(want), string(got))
			require.Equal(t, s, enc.EncodeToString(got), "each value has one spelling")
		}
	})
}

// members makes a usable key for alg as JWK members.
func members(t testing.TB, alg string) map[string]any {
	t.Helper()
	s, err := josetest.NewSigner(alg)
	require.NoError(t, err)
	m, err := s.JWK()
	require.NoError(t, err)
	return m
}

func parseKey(t testing.TB, m map[string]any) (*jose.Key, jose.Skip) {
	t.Helper()
	text, err := json.Marshal(map[string]any{"keys": []any{m}})
	require.NoError(t, err)
	keys, skipped, err := jose.ParseSet(text, jose.Limits{})
	require.NoError(t, err)
	require.Equal(t, 1, len(keys)+len(skipped))
	if len(keys) == 0 {
		return nil, skipped[0].Why
	}
	return keys[0], ""
}

func decoded(t testing.TB, v any) []byte {
	t.Helper()
	b, err := enc.DecodeString(v.(string))
	require.NoError(t, err)
	return b
}

func TestParseKey(t *testing.T) {
	t.Parallel()
	for _, alg := range algorithms {
		k, skip := parseKey(t, members(t, alg))
		require.Empty(t, skip)
		require.Equal(t, jose.Canonical(alg), k.Algorithm)
		require.True(t, jose.Fits(alg, k.Public))
	}
	rs, es, ed := members(t, jose.RS256), members(t, jose.ES256), members(t, jose.EdDSA)
	n, x, y := decoded(t, rs["n"]), decoded(t, es["x"]), decoded(t, es["y"])
	big1024, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 1024))
	require.NoError(t, err)
	for name, c := range map[string]struct {
		base   map[string]any
		change map[string]any // nil removes
		want   jose.Skip      // "" is usable
	}{
		"no alg":                    {rs, map[string]any{"alg": nil}, ""},
		"no use":                    {rs, map[string]any{"use": nil}, ""},
		"key_ops verify":            {rs, map[string]any{"key_ops": []string{"verify"}}, ""},
		"key_ops with others":       {rs, map[string]any{"key_ops": []string{"encrypt", "verify"}}, ""},
		"junk in x5c":               {rs, map[string]any{"x5c": "junk", "x5t": 1, "jku": "https://evil.example"}, ""},
		"longest kid":               {rs, map[string]any{"kid": strings.Repeat("k", 256)}, ""},
		"no kid":                    {rs, map[string]any{"kid": nil}, ""},
		"empty kid":                 {rs, map[string]any{"kid": ""}, jose.SkipKeyID},
		"numeric kid":               {rs, map[string]any{"kid": 1}, jose.SkipKeyID},
		"kid too long":              {rs, map[string]any{"kid": strings.Repeat("k", 257)}, jose.SkipKeyID},
		"no kty":                    {rs, map[string]any{"kty": nil}, jose.SkipKeyType},
		"kty in lower case":         {rs, map[string]any{"kty": "rsa"}, jose.SkipKeyType},
		"kty oct":                   {rs, map[string]any{"kty": "oct"}, jose.SkipKeyType},
		"kty of another type":       {rs, map[string]any{"kty": "EC"}, jose.SkipCurve},
		"use enc":                   {rs, map[string]any{"use": "enc"}, jose.SkipUse},
		"use is a list":             {rs, map[string]any{"use": []string{"sig"}}, jose.SkipUse},
		"alg HS256":                 {rs, map[string]any{"alg": "HS256"}, jose.SkipAlgorithm},
		"alg none":                  {rs, map[string]any{"alg": "none"}, jose.SkipAlgorithm},
		"alg for encryption":        {rs, map[string]any{"alg": "RSA-OAEP"}, jose.SkipAlgorithm},
		"alg a number":              {rs, map[string]any{"alg": 5}, jose.SkipAlgorithm},
		"alg of another type":       {rs, map[string]any{"alg": "ES256"}, jose.SkipAlgorithm},
		"alg of another curve":      {es, map[string]any{"alg": "ES384"}, jose.SkipAlgorithm},
		"key_ops without verify":    {rs, map[string]any{"key_ops": []string{"sign"}}, jose.SkipKeyOps},
		"key_ops empty":             {rs, map[string]any{"key_ops": []string{}}, ""}, // .NET writes empty lists for what is not set
		"key_ops an empty object":   {rs, map[string]any{"key_ops": map[string]any{}}, jose.SkipKeyOps},
		"oth empty":                 {rs, map[string]any{"oth": []any{}}, ""},
		"oth of one prime":          {rs, map[string]any{"oth": []any{map[string]any{"r": "AQAB"}}}, jose.SkipPrivate},
		"oth an empty object":       {rs, map[string]any{"oth": map[string]any{}}, jose.SkipPrivate},
		"d an empty list":           {rs, map[string]any{"d": []any{}}, jose.SkipPrivate},
		"key_ops verify twice":      {rs, map[string]any{"key_ops": []string{"verify", "verify"}}, jose.SkipKeyOps},
		"key_ops with a number":     {rs, map[string]any{"key_ops": []any{"verify", 1}}, jose.SkipKeyOps},
		"key_ops a text":            {rs, map[string]any{"key_ops": "verify"}, jose.SkipKeyOps},
		"private exponent":          {rs, map[string]any{"d": "AQAB"}, jose.SkipPrivate},
		"private prime":             {rs, map[string]any{"p": "AQAB"}, jose.SkipPrivate},
		"private junk":              {es, map[string]any{"d": false}, jose.SkipPrivate},
		"symmetric k":               {ed, map[string]any{"k": "AQAB"}, jose.SkipPrivate},
		"private, of another type":  {ed, map[string]any{"oth": []any{1}}, jose.SkipPrivate},
		"kty is null":               {rs, map[string]any{"kty": json.RawMessage("null")}, jose.SkipKeyType},
		"crv is null":               {es, map[string]any{"crv": json.RawMessage("null")}, jose.SkipCurve},
		"n is null":                 {rs, map[string]any{"n": json.RawMessage("null")}, jose.SkipMalformed},
		"e is null":                 {rs, map[string]any{"e": json.RawMessage("null")}, jose.SkipMalformed},
		"x is null":                 {es, map[string]any{"x": json.RawMessage("null")}, jose.SkipMalformed},
		"y is null":                 {es, map[string]any{"y": json.RawMessage("null")}, jose.SkipMalformed},
		"x of OKP is null":          {ed, map[string]any{"x": json.RawMessage("null")}, jose.SkipMalformed},
		"no n":                      {rs, map[string]any{"n": nil}, jose.SkipMalformed},
		"n a number":                {rs, map[string]any{"n": 12345}, jose.SkipMalformed},
		"n badly padded":            {rs, map[string]any{"n": rs["n"].(string) + "="}, jose.SkipMalformed},
		"n padded in front":         {rs, map[string]any{"n": "==" + rs["n"].(string)}, jose.SkipMalformed},
		"n padded twice":            {rs, map[string]any{"n": rs["n"].(string) + "======"}, jose.SkipMalformed},
		"n is padding":              {rs, map[string]any{"n": "===="}, jose.SkipMalformed},
		"n is zero":                 {rs, map[string]any{"n": zeros(256)}, jose.SkipMalformed},
		"n of zeros and 2047 bits":  {rs, map[string]any{"n": enc.EncodeToString(append([]byte{0, 0x7F}, n[1:]...))}, jose.SkipRSASize},
		"n of 3,000 zeros and more": {rs, map[string]any{"n": enc.EncodeToString(append(make([]byte, 3000), n...))}, jose.SkipMalformed},
		"n even":                    {rs, map[string]any{"n": enc.EncodeToString(append(n[:255:255], n[255]&^1))}, jose.SkipMalformed},
		"n of 2047 bits":            {rs, map[string]any{"n": enc.EncodeToString(append([]byte{0x7F}, n[1:]...))}, jose.SkipRSASize},
		"n of 1024 bits":            {rs, map[string]any{"n": enc.EncodeToString(big1024.Bytes())}, jose.SkipRSASize},
		"n of 4096 bits":            {rs, map[string]any{"n": odd(512)}, ""},
		"n of 4104 bits":            {rs, map[string]any{"n": odd(513)}, jose.SkipRSASize},
		"n of a million bits":       {rs, map[string]any{"n": odd(1 << 17)}, jose.SkipRSASize},
		"no e":                      {rs, map[string]any{"e": nil}, jose.SkipMalformed},
		"e is zero":                 {rs, map[string]any{"e": "AAAA"}, jose.SkipMalformed},
		"e of 3 with leading zeros": {rs, map[string]any{"e": "AAAD"}, jose.SkipRSAExponent},
		"e of 3":                    {rs, map[string]any{"e": "Aw"}, jose.SkipRSAExponent},
		"e of 65539":                {rs, map[string]any{"e": "AQAD"}, ""},
		"e of 65536":                {rs, map[string]any{"e": "AQAA"}, jose.SkipRSAExponent},
		"e of 65538":                {rs, map[string]any{"e": "AQAC"}, jose.SkipRSAExponent},
		"e of 65535":                {rs, map[string]any{"e": "__8"}, jose.SkipRSAExponent},
		"e of 2^31-1":               {rs, map[string]any{"e": "f____w"}, ""},
		"e of 2^31+1":               {rs, map[string]any{"e": "gAAAAQ"}, jose.SkipRSAExponent},
		"e of 2^64+65537":           {rs, map[string]any{"e": "AQAAAAAAAQAB"}, jose.SkipRSAExponent},
		"no crv":                    {es, map[string]any{"crv": nil}, jose.SkipCurve},
		"secp256k1":                 {es, map[string]any{"crv": "secp256k1"}, jose.SkipCurve},
		"crv of another width":      {es, map[string]any{"crv": "P-384", "alg": "ES384"}, jose.SkipMalformed},
		"no x":                      {es, map[string]any{"x": nil}, jose.SkipMalformed},
		"x too long":                {es, map[string]any{"x": enc.EncodeToString(append([]byte{1}, x...))}, jose.SkipMalformed},
		"y cut":                     {es, map[string]any{"y": enc.EncodeToString(y[1:])}, jose.SkipMalformed},
		"not on the curve":          {es, map[string]any{"y": es["x"]}, jose.SkipMalformed},
		"the origin":                {es, map[string]any{"x": zeros(32), "y": zeros(32)}, jose.SkipMalformed},
		"x beyond the field":        {es, map[string]any{"x": ones(32)}, jose.SkipMalformed},
		"Ed448":                     {ed, map[string]any{"crv": "Ed448"}, jose.SkipCurve},
		"X25519":                    {ed, map[string]any{"crv": "X25519"}, jose.SkipCurve},
		"32 bytes and a zero":       {ed, map[string]any{"x": enc.EncodeToString(append([]byte{0}, decoded(t, ed["x"])...))}, jose.SkipMalformed},
		"31 bytes":                  {ed, map[string]any{"x": zeros(31)}, jose.SkipMalformed},
		"33 bytes":                  {ed, map[string]any{"x": zeros(33)}, jose.SkipMalformed},
		"Ed25519 as kty EC":         {ed, map[string]any{"kty": "EC"}, jose.SkipCurve},
		"EC as kty OKP":             {es, map[string]any{"kty": "OKP"}, jose.SkipCurve},
		"Ed25519 with ones":         {ed, map[string]any{"x": ones(32)}, jose.SkipMalformed},
		"Ed25519 not on the curve":  {ed, map[string]any{"x": point("02")}, jose.SkipMalformed},
		"Ed25519 with unused bits":  {ed, map[string]any{"x": ed["x"].(string)[:42] + "B"}, jose.SkipMalformed},
		"Ed25519 alg in lower case": {ed, map[string]any{"alg": "eddsa"}, jose.SkipAlgorithm},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := maps.Clone(c.base)
			for k, v := range c.change {
				if m[k] = v; v == nil {
					delete(m, k)
				}
			}
			k, skip := parseKey(t, m)
			require.Equal(t, c.want, skip)
			require.Equal(t, c.want == "", k != nil)
		})
	}
}

func odd(n int) string {
	b := make([]byte, n)
	b[0], b[n-1] = 0x80, 1
	return enc.EncodeToString(b)
}

func zeros(n int) string { return enc.EncodeToString(make([]byte, n)) }

func ones(n int) string {
	return enc.EncodeToString([]byte(strings.Repeat("\xff", n)))
}

// point is the little-endian encoding of a y coordinate that begins with the given bytes.
func point(begin string) string {
	b, _ := hex.DecodeString(begin)
	return enc.EncodeToString(append(b, make([]byte, 32-len(b))...))
}

// The eight points whose order divides 8, as libraries list them, and encodings of theirs that are not canonical.
func TestSmallOrderKeys(t *testing.T) {
	t.Parallel()
	for _, h := range []string{
		"0100000000000000000000000000000000000000000000000000000000000000",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0000000000000000000000000000000000000000000000000000000000000080",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
		"0100000000000000000000000000000000000000000000000000000000000080",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		b, err := hex.DecodeString(h)
		require.NoError(t, err)
		_, skip := parseKey(t, map[string]any{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": enc.EncodeToString(b)})
		require.Equal(t, jose.SkipMalformed, skip, h)
	}
}

func TestRFCExamples(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/rfc.json")
	require.NoError(t, err)
	var f struct {
		Examples []struct {
			Name, Alg, JWS string
			Key            map[string]any
		}
	}
	require.NoError(t, json.Unmarshal(raw, &f))
	require.Len(t, f.Examples, 7)
	for _, e := range f.Examples {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			e.Key["kid"] = "k"
			k, skip := parseKey(t, e.Key)
			require.Empty(t, skip)
			dot := strings.LastIndexByte(e.JWS, '.')
			signature, err := jose.AppendBase64(nil, e.JWS[dot+1:])
			require.NoError(t, err)
			require.NoError(t, jose.Verify(e.Alg, k.Public, []byte(e.JWS[:dot]), signature))
		})
	}
}
