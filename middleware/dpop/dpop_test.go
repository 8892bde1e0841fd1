package dpop_test

import (
	"crypto/ecdsa"
	"crypto/fips140"
	"encoding/json"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/middleware/dpop"
	"github.com/regionjwt/regionjwt/verifier"
)

// The key of the examples of RFC 9449, and its thumbprint by section 6.1.
const (
	rfcHeader = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6Ik" +
		"VDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCR" +
		"nMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JE" +
		"QSIsImNydiI6IlAtMjU2In19."
	rfcThumbprint = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
)

// Figure 12 of RFC 9449, section 7.1.
func TestRFCProofWithToken(t *testing.T) {
	t.Parallel()
	p := dpop.Presentation{
		Proofs: []string{rfcHeader + "eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIj" +
			"oiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0Z" +
			"WRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNF" +
			"c05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71E" +
			"OptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"},
		Method: "GET", URL: "https://resource.example.org/protectedresource",
		Token: "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU", Thumbprint: rfcThumbprint,
	}
	c := newCheckerAt(t, dpop.Config{}, 0, func() time.Time { return time.Unix(1562262618, 0) })
	require.NoError(t, dpop.CheckPresentation(t.Context(), c, p))
	requireRejected(t, dpop.CheckPresentation(t.Context(), c, p), verifier.ReasonProofFailed, dpop.ErrUsed)
}

// Figures 1 and 6 of RFC 9449 are of a token endpoint, where there is no access token yet: they have no ath, and are valid
// otherwise.
func TestRFCProofsWithoutToken(t *testing.T) {
	t.Parallel()
	for at, rest := range map[int64]string{
		1562262616: "eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIj" +
			"oiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwia" +
			"WF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg" +
			"4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg",
		1562265296: "eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIj" +
			"oiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwia" +
			"WF0IjoxNTYyMjY1Mjk2fQ.pAqut2IRDm_De6PR93SYmGBPXpwrAk90e8cP2hjiaG5Qs" +
			"GSuKDYW7_X620BxqhvYC8ynrrvZLTk41mSRroapUA",
	} {
		c := newCheckerAt(t, dpop.Config{}, 0, func() time.Time { return time.Unix(at, 0) })
		p := dpop.Presentation{
			Proofs: []string{rfcHeader + rest}, Method: "POST", URL: "https://server.example.com/token", Thumbprint: rfcThumbprint,
		}
		require.NoError(t, dpop.CheckTokenless(c, p))
		requireRejected(t, dpop.CheckPresentation(t.Context(), c, p), verifier.ReasonProofFailed, dpop.ErrToken)
		p.Token = token
		requireRejected(t, dpop.CheckPresentation(t.Context(), c, p), verifier.ReasonProofFailed, dpop.ErrToken)
	}
}

func TestAlgorithms(t *testing.T) {
	t.Parallel()
	all := []string{"ES256", "ES384", "ES512", "Ed25519", "EdDSA", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"}
	byDefault := newChecker(t, dpop.Config{})
	require.Equal(t, []string{"ES256", "ES384", "PS256", "RS256", "Ed25519", "EdDSA"}, byDefault.Algorithms())
	every := newChecker(t, dpop.Config{Algorithms: all})
	for _, alg := range all {
		s := signerFor(t, alg)
		require.NoError(t, dpop.CheckPresentation(t.Context(), every, s.request(s.proof(t, nil, nil))), alg)
		err := dpop.CheckPresentation(t.Context(), byDefault, s.request(s.proof(t, nil, nil)))
		if slices.Contains(byDefault.Algorithms(), alg) {
			require.NoError(t, err, alg)
			continue
		}
		requireRejected(t, err, verifier.ReasonProofFailed, dpop.ErrAlgorithm)
	}
}

// These proofs are valid.
func TestAccepted(t *testing.T) {
	t.Parallel()
	s := signerFor(t, "ES256")
	webCrypto := maps.Clone(s.jwk)
	maps.Copy(webCrypto, members{"ext": true, "key_ops": []string{"verify"}, "alg": "ES256", "use": "sig", "kid": "mine"})
	for name, c := range map[string]struct{ header, claims members }{
		"as it should be":              {nil, nil},
		"a fraction of a second":       {nil, members{"iat": json.Number("1800000000.25")}},
		"an exponent":                  {nil, members{"iat": json.Number("1.8e9")}},
		"as old as may be":             {nil, members{"iat": issued.Unix() - 60}},
		"as new as may be":             {nil, members{"iat": issued.Unix() + 30}},
		"exp to come":                  {nil, members{"exp": issued.Unix() + 1}},
		"exp within the leeway":        {nil, members{"exp": issued.Unix() - 29}},
		"nbf within the leeway":        {nil, members{"nbf": issued.Unix() + 30}},
		"a nonce that is not required": {nil, members{"nonce": "x"}},
		"claims of others":             {nil, members{"iss": "x", "aud": "y", "sub": 1}},
		"a long jti":                   {nil, members{"jti": strings.Repeat("x", 256)}},
		"a jwk of a browser":           {members{"jwk": webCrypto}, nil},
		"a header of others":           {members{"kid": "x", "jku": "https://x.example", "x5c": []string{"x"}}, nil},
		"htu with query":               {nil, members{"htu": url + "?a=b#c"}},
		"htu with the default port":    {nil, members{"htu": "https://api.example.com:443/orders"}},
		"htu in another case":          {nil, members{"htu": "HTTPS://API.example.COM/orders"}},
		"htu with a needless escape":   {nil, members{"htu": "https://api.example.com/%6frders"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.NoError(t, dpop.CheckPresentation(t.Context(), newChecker(t, dpop.Config{}), s.request(s.proof(t, c.header, c.claims))))
		})
	}
}

// shortKey is an RSA key of 1,024 bits, or a signer that only says that it is one where FIPS 140-3 forbids to make them. The
// key is refused before the signature is looked at.
func shortKey(t *testing.T) *signer {
	t.Helper()
	if !fips140.Enabled() {
		return newSigner(t, "RS256", 1024)
	}
	s := *signerFor(t, "RS256")
	s.setJWK(t, map[string]any{"kty": "RSA", "n": b64(slices.Repeat([]byte{0xFF}, 128)), "e": "AQAB"})
	return &s
}

func TestRejectedHeader(t *testing.T) {
	t.Parallel()
	s, rsa, small := signerFor(t, "ES256"), signerFor(t, "RS256"), shortKey(t)
	private := maps.Clone(s.jwk)
	d, err := s.private.(*ecdsa.PrivateKey).Bytes()
	require.NoError(t, err)
	private["d"] = b64(d)
	with := func(of *signer, name string, v any) members {
		m := maps.Clone(of.jwk)
		m[name] = v
		return members{"jwk": m}
	}
	without := func(name string) members {
		m := maps.Clone(s.jwk)
		delete(m, name)
		return members{"jwk": m}
	}
	for name, c := range map[string]struct {
		s      *signer
		header members
		cause  error
	}{
		"typ JWT":                       {s, members{"typ": "JWT"}, dpop.ErrType},
		"typ missing":                   {s, members{"typ": absent{}}, dpop.ErrType},
		"typ in another case":           {s, members{"typ": "DPOP+JWT"}, dpop.ErrType},
		"typ not text":                  {s, members{"typ": 1}, dpop.ErrType},
		"alg none":                      {s, members{"alg": "none"}, dpop.ErrAlgorithm},
		"alg HS256":                     {s, members{"alg": "HS256"}, dpop.ErrAlgorithm},
		"alg missing":                   {s, members{"alg": absent{}}, dpop.ErrAlgorithm},
		"alg empty":                     {s, members{"alg": ""}, dpop.ErrAlgorithm},
		"alg in another case":           {s, members{"alg": "es256"}, dpop.ErrAlgorithm},
		"alg not text":                  {s, members{"alg": []string{"ES256"}}, dpop.ErrAlgorithm},
		"alg of another kind of key":    {s, members{"alg": "RS256"}, dpop.ErrKey},
		"alg of an elliptic curve":      {rsa, members{"alg": "ES256"}, dpop.ErrKey},
		"alg of another padding":        {rsa, members{"alg": "PS256"}, dpop.ErrSignature},
		"alg that the key is not for":   {rsa, with(rsa, "alg", "PS256"), dpop.ErrKey},
		"use for encryption":            {s, with(s, "use", "enc"), dpop.ErrKey},
		"key_ops for signing":           {s, with(s, "key_ops", []string{"sign"}), dpop.ErrKey},
		"jwk missing":                   {s, members{"jwk": absent{}}, dpop.ErrKey},
		"jwk null":                      {s, members{"jwk": nil}, dpop.ErrKey},
		"jwk a text":                    {s, members{"jwk": "x"}, dpop.ErrKey},
		"jwk a list":                    {s, members{"jwk": []any{s.jwk}}, dpop.ErrKey},
		"jwk empty":                     {s, members{"jwk": members{}}, dpop.ErrKey},
		"jwk private":                   {s, members{"jwk": private}, dpop.ErrPrivate},
		"jwk with primes":               {rsa, with(rsa, "oth", []any{}), dpop.ErrPrivate},
		"jwk symmetric":                 {s, members{"jwk": members{"kty": "oct", "k": "AAAA"}}, dpop.ErrPrivate},
		"jwk of an unknown kind":        {s, with(s, "kty", "oct"), dpop.ErrKey},
		"jwk without kty":               {s, without("kty"), dpop.ErrKey},
		"jwk without y":                 {s, without("y"), dpop.ErrKey},
		"jwk on another curve":          {s, with(s, "crv", "P-384"), dpop.ErrThumbprint},
		"jwk that needs an escape":      {s, with(s, "x", `"`), dpop.ErrKey},
		"jwk with a leading zero":       {s, with(s, "x", "AA"+s.jwk["x"].(string)), dpop.ErrThumbprint},
		"jwk with zeros in e":           {rsa, with(rsa, "e", "AAAAAQAB"), dpop.ErrThumbprint},
		"use null":                      {s, with(s, "use", nil), dpop.ErrKey},
		"alg null in the jwk":           {s, with(s, "alg", nil), dpop.ErrKey},
		"key_ops null":                  {s, with(s, "key_ops", nil), dpop.ErrKey},
		"d null":                        {s, with(s, "d", nil), dpop.ErrPrivate},
		"y null":                        {s, with(s, "y", nil), dpop.ErrKey},
		"jwk padded":                    {s, with(s, "x", s.jwk["x"].(string)+"="), dpop.ErrKey},
		"jwk that is another key":       {s, members{"jwk": newSigner(t, "ES256", 0).jwk}, dpop.ErrThumbprint},
		"jwk too small":                 {small, nil, dpop.ErrKey},
		"crit":                          {s, members{"crit": []string{"exp"}, "exp": 1}, dpop.ErrHeader},
		"crit empty":                    {s, members{"crit": []string{}}, dpop.ErrHeader},
		"b64":                           {s, members{"b64": true}, dpop.ErrHeader},
		"zip":                           {s, members{"zip": "DEF"}, dpop.ErrHeader},
		"enc":                           {s, members{"enc": "A128GCM"}, dpop.ErrHeader},
		"cty":                           {s, members{"cty": "JWT"}, dpop.ErrHeader},
		"alg of a member in other case": {s, members{"alg": absent{}, "ALG": "ES256"}, dpop.ErrAlgorithm},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checker := newChecker(t, dpop.Config{})
			requireRejected(t, dpop.CheckPresentation(t.Context(), checker, c.s.request(c.s.proof(t, c.header, nil))), verifier.ReasonProofFailed, c.cause)
		})
	}
}

// A point that is not on its curve, and one of small order, are rejected although a token is bound to them.
func TestUnsoundKeys(t *testing.T) {
	t.Parallel()
	s, ed := *signerFor(t, "ES256"), *signerFor(t, "EdDSA")
	for _, c := range []struct {
		s   *signer
		jwk map[string]any
	}{
		{&s, map[string]any{"kty": "EC", "crv": "P-256", "x": s.jwk["x"], "y": s.jwk["x"]}},
		{&ed, map[string]any{"kty": "OKP", "crv": "Ed25519", "x": b64(append([]byte{1}, make([]byte, 31)...))}},
	} {
		c.s.jwk = c.jwk
		canonical, err := json.Marshal(c.jwk)
		require.NoError(t, err)
		p := c.s.request(c.s.proof(t, nil, nil))
		p.Thumbprint = thumbprintOf(canonical)
		requireRejected(t, dpop.CheckPresentation(t.Context(), newChecker(t, dpop.Config{}), p), verifier.ReasonProofFailed, dpop.ErrKey)
	}
}

func thumbprintOf(canonical []byte) string { return ath(string(canonical)) }

func TestRejectedClaims(t *testing.T) {
	t.Parallel()
	s := signerFor(t, "ES256")
	for name, c := range map[string]struct {
		claims members
		cause  error
	}{
		"other htm":                 {members{"htm": "POST"}, dpop.ErrMethod},
		"htm in another case":       {members{"htm": "get"}, dpop.ErrMethod},
		"htm missing":               {members{"htm": absent{}}, dpop.ErrMethod},
		"htm not text":              {members{"htm": []string{"GET"}}, dpop.ErrMethod},
		"other host":                {members{"htu": "https://evil.example.com/orders"}, dpop.ErrURL},
		"other port":                {members{"htu": "https://api.example.com:8443/orders"}, dpop.ErrURL},
		"other path":                {members{"htu": "https://api.example.com/orders/"}, dpop.ErrURL},
		"path in another case":      {members{"htu": "https://api.example.com/Orders"}, dpop.ErrURL},
		"other scheme":              {members{"htu": "http://api.example.com/orders"}, dpop.ErrURL},
		"htu missing":               {members{"htu": absent{}}, dpop.ErrURL},
		"htu empty":                 {members{"htu": ""}, dpop.ErrURL},
		"htu relative":              {members{"htu": "/orders"}, dpop.ErrURL},
		"htu with a user":           {members{"htu": "https://a@api.example.com/orders"}, dpop.ErrURL},
		"iat too old":               {members{"iat": issued.Unix() - 61}, dpop.ErrOld},
		"iat just too old":          {members{"iat": json.Number("1799999939.9")}, dpop.ErrOld},
		"iat too new":               {members{"iat": issued.Unix() + 31}, dpop.ErrFuture},
		"iat half a second too new": {members{"iat": json.Number("1800000030.5")}, dpop.ErrFuture},
		"iat in milliseconds":       {members{"iat": issued.UnixMilli()}, dpop.ErrDate},
		"iat missing":               {members{"iat": absent{}}, dpop.ErrDate},
		"iat null":                  {members{"iat": nil}, dpop.ErrDate},
		"iat a text":                {members{"iat": "1800000000"}, dpop.ErrDate},
		"iat negative":              {members{"iat": -1}, dpop.ErrDate},
		"iat without end":           {members{"iat": json.Number("1e400")}, dpop.ErrDate},
		"exp over":                  {members{"exp": issued.Unix() - 30}, dpop.ErrOld},
		"exp zero":                  {members{"exp": 0}, dpop.ErrOld},
		"exp a text":                {members{"exp": "x"}, dpop.ErrDate},
		"nbf to come":               {members{"nbf": issued.Unix() + 31}, dpop.ErrFuture},
		"nbf a text":                {members{"nbf": "x"}, dpop.ErrDate},
		"ath of another token":      {members{"ath": ath("token.of.mallory")}, dpop.ErrToken},
		"ath missing":               {members{"ath": absent{}}, dpop.ErrToken},
		"ath empty":                 {members{"ath": ""}, dpop.ErrToken},
		"ath padded":                {members{"ath": ath(token) + "="}, dpop.ErrToken},
		"jti missing":               {members{"jti": absent{}}, dpop.ErrID},
		"jti empty":                 {members{"jti": ""}, dpop.ErrID},
		"jti too long":              {members{"jti": strings.Repeat("x", 257)}, dpop.ErrID},
		"jti not text":              {members{"jti": 1}, dpop.ErrID},
		"a name in another case":    {members{"jti": absent{}, "JTI": "one"}, dpop.ErrID},
		"payload of another kind":   {members{"a": deep(40)}, dpop.ErrPayload},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checker := newChecker(t, dpop.Config{})
			requireRejected(t, dpop.CheckPresentation(t.Context(), checker, s.request(s.proof(t, nil, c.claims))), verifier.ReasonProofFailed, c.cause)
		})
	}
}

func deep(n int) any {
	if n == 0 {
		return 1
	}
	return []any{deep(n - 1)}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config   dpop.Config
		mistakes int
	}{
		"zero":               {dpop.Config{}, 0},
		"unknown algorithms": {dpop.Config{Algorithms: []string{"none", "HS256", "es256", ""}}, 4},
		"twice":              {dpop.Config{Algorithms: []string{"ES256", "ES256"}}, 1},
		"limits":             {dpop.Config{MaxAge: 10 * time.Minute, Leeway: 5 * time.Minute}, 0},
		"out of range":       {dpop.Config{MaxAge: 10*time.Minute + 1, Leeway: 5*time.Minute + 1}, 2},
		"negative":           {dpop.Config{MaxAge: -1, Leeway: -1}, 1},
		"no nonce keys":      {dpop.Config{NonceKeys: [][]byte{}}, 0},
		"short nonce keys":   {dpop.Config{NonceKeys: [][]byte{key(1), key(1)[1:], nil}}, 2},
		"many nonce keys":    {dpop.Config{NonceKeys: [][]byte{key(1), key(2), key(3), key(4), key(5)}}, 1},
		"everything":         {dpop.Config{Algorithms: []string{"x"}, MaxAge: -1, Leeway: time.Hour, NonceKeys: [][]byte{nil}}, 4},
	} {
		checker, err := dpop.New(c.config)
		if c.mistakes == 0 {
			require.NoError(t, err, name)
			continue
		}
		require.Nil(t, checker, name)
		require.ErrorContains(t, err, "dpop: ", name)
		require.Len(t, strings.Split(err.Error(), "\n"), c.mistakes, name)
	}
	algorithms := []string{"ES256"}
	c := newChecker(t, dpop.Config{Algorithms: algorithms})
	algorithms[0] = "RS256"
	c.Algorithms()[0] = "RS256"
	require.Equal(t, []string{"ES256"}, c.Algorithms(), "the configuration is copied")
}

func TestNotMadeByNew(t *testing.T) {
	t.Parallel()
	for _, c := range []*dpop.Checker{nil, {}} {
		require.Empty(t, c.Nonce())
		require.Empty(t, c.Algorithms())
		requireRejected(t, c.Check(httptest.NewRequest(method, url, nil), url, new(verifier.Token)), verifier.ReasonProofUnavailable, dpop.ErrNotNew)
	}
}
