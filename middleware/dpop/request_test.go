package dpop_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/middleware/dpop"
	"github.com/regionjwt/regionjwt/verifier"
)

func TestRejectedForms(t *testing.T) {
	t.Parallel()
	s := signerFor(t, "ES256")
	good := s.proof(t, nil, nil)
	parts := strings.Split(good, ".")
	header, payload := s.header(nil), s.claims(nil)
	raw := func(header, payload string) []string { return []string{s.sign(t, header, payload)} }
	for name, c := range map[string]struct {
		values []string
		reason verifier.Reason
		cause  error
	}{
		"no header":                  {nil, verifier.ReasonProofFailed, dpop.ErrNone},
		"empty":                      {[]string{""}, verifier.ReasonProofFailed, dpop.ErrNone},
		"two":                        {[]string{good, good}, verifier.ReasonBadRequest, dpop.ErrSeveral},
		"two, one empty":             {[]string{good, ""}, verifier.ReasonBadRequest, dpop.ErrSeveral},
		"a list":                     {[]string{good + "," + good}, verifier.ReasonBadRequest, dpop.ErrSeveral},
		"a list with space":          {[]string{good + ", " + good}, verifier.ReasonBadRequest, dpop.ErrSeveral},
		"huge":                       {[]string{good + strings.Repeat("A", 16<<10)}, verifier.ReasonProofFailed, dpop.ErrSize},
		"huge and signed":            {[]string{s.proof(t, nil, members{"a": strings.Repeat("x", 12<<10)})}, verifier.ReasonProofFailed, dpop.ErrSize},
		"garbage":                    {[]string{"\x00\xff garbage"}, verifier.ReasonProofFailed, dpop.ErrForm},
		"one part":                   {parts[:1], verifier.ReasonProofFailed, dpop.ErrForm},
		"two parts":                  {[]string{parts[0] + "." + parts[1]}, verifier.ReasonProofFailed, dpop.ErrForm},
		"no signature":               {[]string{parts[0] + "." + parts[1] + "."}, verifier.ReasonProofFailed, dpop.ErrForm},
		"no header part":             {[]string{"." + parts[1] + "." + parts[2]}, verifier.ReasonProofFailed, dpop.ErrForm},
		"no payload":                 {[]string{parts[0] + ".." + parts[2]}, verifier.ReasonProofFailed, dpop.ErrForm},
		"four parts":                 {[]string{good + ".AAAA"}, verifier.ReasonProofFailed, dpop.ErrForm},
		"padded":                     {[]string{good + "=="}, verifier.ReasonProofFailed, dpop.ErrForm},
		"a space before":             {[]string{" " + good}, verifier.ReasonProofFailed, dpop.ErrForm},
		"a line break":               {[]string{parts[0] + ".\n" + parts[1] + "." + parts[2]}, verifier.ReasonProofFailed, dpop.ErrForm},
		"header not JSON":            {raw("x", payload), verifier.ReasonProofFailed, dpop.ErrHeader},
		"header a list":              {raw("[]", payload), verifier.ReasonProofFailed, dpop.ErrHeader},
		"header with a member twice": {raw(`{"alg":"ES256",`+header[1:], payload), verifier.ReasonProofFailed, dpop.ErrHeader},
		"jwk with a member twice": {
			raw(strings.Replace(header, `"jwk":{`, `"jwk":{"kty":"EC",`, 1), payload), verifier.ReasonProofFailed, dpop.ErrHeader,
		},
		"payload not JSON":            {raw(header, "x"), verifier.ReasonProofFailed, dpop.ErrPayload},
		"payload with a member twice": {raw(header, `{"htm":"GET",`+payload[1:]), verifier.ReasonProofFailed, dpop.ErrPayload},
		"payload with more behind it": {raw(header, payload+" {}"), verifier.ReasonProofFailed, dpop.ErrPayload},
		"signature of something else": {
			[]string{parts[0] + "." + parts[1] + "." + strings.Split(s.proof(t, nil, members{"jti": "two"}), ".")[2]},
			verifier.ReasonProofFailed, dpop.ErrSignature,
		},
		"signature too short": {[]string{good[:len(good)-2]}, verifier.ReasonProofFailed, dpop.ErrSignature},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireRejected(t, dpop.CheckPresentation(t.Context(), newChecker(t, dpop.Config{}), s.request(c.values...)), c.reason, c.cause)
		})
	}
}

// If a part of the request is not known, nothing is proven.
func TestRejectedRequests(t *testing.T) {
	t.Parallel()
	s := signerFor(t, "ES256")
	for name, c := range map[string]struct {
		spoil  func(*dpop.Presentation)
		claims members
		cause  error
	}{
		"no method":      {func(p *dpop.Presentation) { p.Method = "" }, members{"htm": ""}, dpop.ErrMethod},
		"no URL":         {func(p *dpop.Presentation) { p.URL = "" }, members{"htu": ""}, dpop.ErrURL},
		"no token":       {func(p *dpop.Presentation) { p.Token = "" }, members{"ath": ath("")}, dpop.ErrToken},
		"not bound":      {func(p *dpop.Presentation) { p.Thumbprint = "" }, nil, dpop.ErrThumbprint},
		"other key":      {func(p *dpop.Presentation) { p.Thumbprint = signerFor(t, "EdDSA").thumbprint }, nil, dpop.ErrThumbprint},
		"other token":    {func(p *dpop.Presentation) { p.Token = "token.of.mallory" }, nil, dpop.ErrToken},
		"other method":   {func(p *dpop.Presentation) { p.Method = "DELETE" }, nil, dpop.ErrMethod},
		"other resource": {func(p *dpop.Presentation) { p.URL = "https://api.example.com/accounts" }, nil, dpop.ErrURL},
	} {
		p := s.request(s.proof(t, nil, c.claims))
		c.spoil(&p)
		err := dpop.CheckPresentation(t.Context(), newChecker(t, dpop.Config{}), p)
		require.Error(t, err, name)
		requireRejected(t, err, verifier.ReasonProofFailed, c.cause)
	}
}
