package dpop_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/middleware/dpop"
	"github.com/regionjwt/regionjwt/verifier"
)

const base64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// A proof with any single character changed, removed or doubled is rejected, and the good one is still accepted.
func TestEveryMutationIsRejected(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"ES256", "EdDSA"} {
		s := signerFor(t, alg)
		c := newChecker(t, dpop.Config{})
		good := s.proof(t, nil, nil)
		rejected := func(mutant string) {
			if mutant == good {
				return
			}
			err := dpop.CheckPresentation(t.Context(), c, s.request(mutant))
			require.ErrorIs(t, err, verifier.ErrInvalid, "%s", mutant)
		}
		for i := range len(good) {
			before, after := good[:i], good[i+1:]
			at := strings.IndexByte(base64URL, good[i])
			for _, bit := range []int{1, 2, 4, 8, 16, 32} {
				rejected(before + string(base64URL[max(at, 0)^bit]) + after)
			}
			for _, other := range []string{".", "=", "+", "/", " ", "\x00", "é", ""} {
				rejected(before + other + after)
			}
			rejected(before + good[i:i+1] + good[i:i+1] + after)
			rejected(good[:i])
		}
		require.NoError(t, dpop.CheckPresentation(t.Context(), c, s.request(good)))
	}
}

// FuzzCheck presents anything for a request and a key, and has a referee, which reads with encoding/json, look at what is
// accepted: its signed part must be that of a proof which the client signed, and say what the request was.
func FuzzCheck(f *testing.F) {
	s, other := newSigner(f, "ES256", 0), newSigner(f, "EdDSA", 0)
	good := s.proof(f, nil, nil)
	corpus := []string{
		good, other.proof(f, nil, nil), s.proof(f, members{"typ": "JWT"}, nil), s.proof(f, nil, members{"iat": 1}),
		s.proof(f, members{"crit": []string{"x"}}, nil), s.sign(f, "{}", "{}"), "", ".", "..", "a.b.c", good + "," + good, good[:len(good)-1],
		s.proof(f, members{"alg": "none"}, nil), s.proof(f, members{"jwk": members{"kty": "RSA", "n": "AQAB", "e": "AQAB"}}, nil),
	}
	require.Len(f, corpus, 14)
	for _, p := range corpus {
		f.Add(p, method, url, false)
		f.Add(p, "POST", url+"?a#b", true)
	}
	h, p, _ := strings.Cut(good, ".")
	f.Fuzz(func(t *testing.T, proof, method, url string, whole bool) {
		if !whole && strings.Count(proof, ".") < 2 { // not a proof: take it for the JSON of a header
			proof = b64([]byte(proof)) + "." + p
		}
		c := newChecker(t, dpop.Config{})
		request := s.request(proof)
		request.Method, request.URL = method, url
		err := dpop.CheckPresentation(t.Context(), c, request)
		if err != nil {
			var e *verifier.Error
			require.ErrorAs(t, err, &e)
			require.NotEqual(t, verifier.ReasonProofUnavailable, e.Reason)
			return
		}
		mine := strings.SplitN(proof, ".", 3)
		signed, _, _ := strings.Cut(p, ".")
		require.Equal(t, []string{h, signed}, mine[:2])
		referee(t, proof, request)
		requireRejected(t, dpop.CheckPresentation(t.Context(), c, request), verifier.ReasonProofFailed, dpop.ErrUsed)
	})
}

// referee demands that an accepted proof says what the request was.
func referee(t *testing.T, proof string, request dpop.Presentation) {
	t.Helper()
	var header struct {
		Typ string         `json:"typ"`
		Alg string         `json:"alg"`
		JWK map[string]any `json:"jwk"`
	}
	var claims struct {
		JTI string  `json:"jti"`
		HTM string  `json:"htm"`
		HTU string  `json:"htu"`
		IAT float64 `json:"iat"`
		ATH string  `json:"ath"`
	}
	parts := strings.Split(proof, ".")
	require.Len(t, parts, 3)
	for i, into := range []any{&header, &claims} {
		text, err := base64.RawURLEncoding.Strict().DecodeString(parts[i])
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, into))
	}
	require.Equal(t, "dpop+jwt", header.Typ)
	require.NotContains(t, header.JWK, "d")
	canonical, err := json.Marshal(header.JWK)
	require.NoError(t, err)
	require.Equal(t, request.Thumbprint, thumbprintOf(canonical))
	require.NotEmpty(t, claims.JTI)
	require.Equal(t, request.Method, claims.HTM)
	require.Equal(t, ath(request.Token), claims.ATH)
	require.WithinDuration(t, issued, time.Unix(int64(claims.IAT), 0), time.Minute)
	want, ok := dpop.NormalURL(request.URL)
	require.True(t, ok)
	got, ok := dpop.NormalURL(claims.HTU)
	require.True(t, ok)
	require.Equal(t, want, got)
}

// Errors hold nothing that the proof, the token or the request said.
func TestErrorsHoldNoSecrets(t *testing.T) {
	t.Parallel()
	s := signerFor(t, "ES256")
	const canary = "canary7491"
	for _, spoil := range []func(*dpop.Presentation){
		func(p *dpop.Presentation) { p.Proofs = []string{canary} },
		func(p *dpop.Presentation) { p.Proofs = []string{canary, canary} },
		func(p *dpop.Presentation) { p.Proofs = []string{s.proof(t, members{"typ": canary}, nil)} },
		func(p *dpop.Presentation) { p.Proofs = []string{s.proof(t, members{"alg": canary}, nil)} },
		func(p *dpop.Presentation) { p.Proofs = []string{s.proof(t, members{"jwk": canary}, nil)} },
		func(p *dpop.Presentation) { p.Proofs = []string{s.proof(t, nil, members{"htm": canary})} },
		func(p *dpop.Presentation) { p.Proofs = []string{s.proof(t, nil, members{"htu": canary})} },
		func(p *dpop.Presentation) { p.Proofs = []string{s.proof(t, nil, members{"iat": canary})} },
		func(p *dpop.Presentation) { p.Proofs = []string{s.proof(t, nil, members{"ath": canary})} },
		func(p *dpop.Presentation) { p.Proofs = []string{s.sign(t, canary, canary)} },
		func(p *dpop.Presentation) { p.Proofs = []string{s.sign(t, s.header(nil), canary)} },
		func(p *dpop.Presentation) { p.Method = canary },
		func(p *dpop.Presentation) { p.URL = canary },
		func(p *dpop.Presentation) { p.Token = canary },
		func(p *dpop.Presentation) { p.Thumbprint = canary },
	} {
		p := s.request(s.proof(t, nil, nil))
		spoil(&p)
		err := dpop.CheckPresentation(t.Context(), newChecker(t, dpop.Config{}), p)
		require.Error(t, err)
		for ; err != nil; err = errors.Unwrap(err) {
			require.NotContains(t, err.Error(), canary)
		}
	}
}

// Proofs at random, of a grammar near the right one, are never accepted unless they are right.
func TestRandomClaims(t *testing.T) {
	t.Parallel()
	s := signerFor(t, "EdDSA")
	dice := rand.New(rand.NewPCG(3, 4))
	pick := func(of ...any) any { return of[dice.IntN(len(of))] }
	accepted := 0
	for range 3000 {
		claims := members{
			"jti": pick("one", "one", "one", "", 1, absent{}),
			"htm": pick(method, method, method, "POST", absent{}),
			"htu": pick(url, url, url+"?x", url+"/", "", absent{}),
			"iat": pick(issued.Unix(), issued.Unix()-60, issued.Unix()-61, issued.Unix()+30, issued.Unix()+31, "x", absent{}),
			"ath": pick(ath(token), ath(token), ath("x"), absent{}),
		}
		right := claims["jti"] == "one" && claims["htm"] == method && (claims["htu"] == url || claims["htu"] == url+"?x") &&
			claims["ath"] == ath(token)
		iat, number := claims["iat"].(int64)
		right = right && number && iat >= issued.Unix()-60 && iat <= issued.Unix()+30
		err := dpop.CheckPresentation(t.Context(), newChecker(t, dpop.Config{}), s.request(s.proof(t, nil, claims)))
		require.Equal(t, right, err == nil, "%v: %v", claims, err)
		if right {
			accepted++
		}
	}
	require.Greater(t, accepted, 50)
}
