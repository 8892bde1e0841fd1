package dpop_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/middleware/dpop"
	"github.com/regionjwt/regionjwt/verifier"
)

// Check reads the scheme and the token from the request, and the key from the verified token.
func TestCheck(t *testing.T) {
	t.Parallel()
	s, mallory := signerFor(t, "ES256"), signerFor(t, "EdDSA")
	raw, tok := verified(map[string]any{"jkt": s.thumbprint})
	unbound, unboundTok := verified(map[string]any{})
	odd, oddTok := verified(map[string]any{"jkt": s.thumbprint, "kid": "x"})
	c := newChecker(t, dpop.Config{})
	n := 0
	proof := func(of *signer, raw string) string {
		n++
		return of.proof(t, nil, members{"ath": ath(raw), "jti": string(rune('a' + n))})
	}
	replayed := proof(s, raw)
	for _, test := range []struct {
		name          string
		authorization []string
		proof         string
		url           string
		tok           *verifier.Token
		reason        verifier.Reason
		detail        string
	}{
		{"a proof", []string{"DPoP " + raw}, replayed, url, tok, "", ""},
		{"the same proof", []string{"DPoP " + raw}, replayed, url, tok, verifier.ReasonProofFailed, "dpop"},
		{"scheme in any case", []string{"dpop  " + raw}, proof(s, raw), url, tok, "", ""},
		{"no proof", []string{"DPoP " + raw}, "", url, tok, verifier.ReasonProofFailed, "dpop"},
		{"another key", []string{"DPoP " + raw}, proof(mallory, raw), url, tok, verifier.ReasonProofFailed, "dpop"},
		{"another token", []string{"DPoP " + raw}, proof(s, "x"), url, tok, verifier.ReasonProofFailed, "dpop"},
		{"no URL", []string{"DPoP " + raw}, proof(s, raw), "", tok, verifier.ReasonProofFailed, "dpop"},
		{"a bearer token", []string{"Bearer " + raw}, proof(s, raw), url, tok, verifier.ReasonProofFailed, ""},
		{"no Authorization", nil, proof(s, raw), url, tok, verifier.ReasonProofFailed, ""},
		{"two Authorizations", []string{"DPoP " + raw, "DPoP " + raw}, proof(s, raw), url, tok, verifier.ReasonProofFailed, ""},
		{"not bound", []string{"DPoP " + unbound}, proof(s, unbound), url, unboundTok, verifier.ReasonProofFailed, ""},
		{"bound in another way, too", []string{"DPoP " + odd}, proof(s, odd), url, oddTok, verifier.ReasonProofFailed, ""},
		{"the zero token", []string{"DPoP " + raw}, proof(s, raw), url, new(verifier.Token), verifier.ReasonProofFailed, ""},
	} {
		r := httptest.NewRequest(http.MethodGet, "http://inside.internal/elsewhere", nil)
		r.Header["Authorization"] = test.authorization
		r.Header.Set("DPoP", test.proof)
		err := c.Check(r, test.url, test.tok)
		if test.reason == "" {
			require.NoError(t, err, test.name)
			continue
		}
		var e *verifier.Error
		require.ErrorAs(t, err, &e, test.name)
		require.Equal(t, test.reason, e.Reason, test.name)
		require.Equal(t, test.detail, e.Detail, test.name)
		require.Equal(t, test.tok.Provider(), e.Provider, test.name)
		require.ErrorIs(t, err, verifier.ErrInvalid, test.name)
	}
}
