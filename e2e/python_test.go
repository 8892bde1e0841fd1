package e2e_test

import (
	"maps"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/verifier"
)

// python is the interpreter of Debian, which finds the packages python3-jwt and python3-authlib.
const python = "/usr/bin/python3"

var hasPython = sync.OnceValues(func() ([]byte, error) {
	return exec.Command(python, "-c", "import jwt, authlib").CombinedOutput()
})

// tokensOfPython returns tokens of a region, by name.
func (p *process) tokensOfPython(t *testing.T) map[string]string {
	t.Helper()
	return p.ask(t, "tokens", map[string]any{"do": "tokens"}).Tokens
}

// livePython is a region whose tokens PyJWT and Authlib sign.
func livePython(t *testing.T, port string) *live {
	t.Helper()
	out, err := hasPython()
	require.NoError(t, err, "e2e needs the Debian packages python3-jwt and python3-authlib: %s", out)
	p := launch(t, "idp", nil, python, "issuer.py", port)
	ready := p.read(t, "ready")
	p.issuer, p.kid = ready.Issuer, ready.Kid
	return &live{
		process: p, rotate: p.rotate,
		issue: func(t *testing.T) string { t.Helper(); return p.tokensOfPython(t)["pyjwt"] },
		again: func(t *testing.T) *live { t.Helper(); return livePython(t, p.port(t)) },
	}
}

// issuing makes a region issue its tokens of that name.
func issuing(r *live, name string) *live {
	again := r.again
	r.issue = func(t *testing.T) string { t.Helper(); return r.tokensOfPython(t)[name] }
	r.again = func(t *testing.T) *live { t.Helper(); return issuing(again(t), name) }
	return r
}

func pythonValidator(t *testing.T, eastern, western *live, policy verifier.Policy) *regionjwt.Validator {
	t.Helper()
	policy.Provider = issuer.Provider{ID: "tenant", Regions: []issuer.Region{
		{Name: east, Issuers: []string{eastern.issuer}}, {Name: west, Issuers: []string{western.issuer}},
	}}
	return validator(t, nil, policy)
}

// Tokens as PyJWT and Authlib write them: in their order of members, with times as fractions, with and without typ. They verify
// in both regions, and go on to while one of them is down.
func TestPython(t *testing.T) {
	t.Parallel()
	eastern, western := livePython(t, "0"), livePython(t, "0")
	v := pythonValidator(t, eastern, western, verifier.Policy{Audience: verifier.Audience(api)})
	bad := map[string]verifier.Reason{
		"bad: pyjwt, expired":            verifier.ReasonExpired,
		"bad: pyjwt, no exp":             verifier.ReasonMalformed,
		"bad: pyjwt, HS256":              verifier.ReasonAlgNotAllowed,
		"bad: pyjwt, none":               verifier.ReasonMalformed,
		"bad: pyjwt, number as text":     verifier.ReasonMalformed,
		"bad: pyjwt, not a number":       verifier.ReasonMalformed,
		"bad: authlib, other audience":   verifier.ReasonBadAudience,
		"bad: authlib, key of the other": verifier.ReasonBadSignature,
		"no kid: pyjwt":                  verifier.ReasonMalformed,
		"no kid: authlib":                verifier.ReasonMalformed,
		"no kid: authlib, ID token":      verifier.ReasonMalformed,
		"bare key: pyjwt":                verifier.ReasonMalformed,
		"bare key: pyjwt, kid":           verifier.ReasonAlgNotAllowed,
	}
	for region, r := range map[string]*live{east: eastern, west: western} {
		raws := r.tokensOfPython(t)
		require.Len(t, raws, 29)
		for _, name := range slices.Sorted(maps.Keys(raws)) {
			t.Run(region+"/"+name, func(t *testing.T) {
				if reason, rejected := bad[name]; rejected {
					refused(t, v, raws[name], reason)
					return
				}
				tok := accepted(t, v, raws[name])
				require.Equal(t, []string{region, "alice", r.issuer}, []string{tok.Region(), tok.Subject(), tok.Issuer()})
				require.Equal(t, strings.HasSuffix(name, "scope"), tok.HasScope(scope))
			})
		}
	}
	outlives(t, v, map[string]*live{east: eastern, west: western})
}

// Tokens and keys without kid, as PyJWT makes both and Authlib the tokens, verify where a policy allows it, in both regions, and go
// on to while one of them is down.
func TestPythonWithoutKeyIDs(t *testing.T) {
	t.Parallel()
	eastern, western := livePython(t, "0"), livePython(t, "0")
	algorithms := []string{"RS256", "ES256", "ES384", "Ed25519"}
	strict := pythonValidator(t, eastern, western, verifier.Policy{Audience: verifier.Audience(api), Algorithms: algorithms})
	lax := verifier.Policy{Audience: verifier.Audience(api), Algorithms: algorithms, AllowMissingKeyID: true}
	v := pythonValidator(t, eastern, western, lax)
	forClient := lax
	forClient.Audience = verifier.IDToken("app")
	ids := pythonValidator(t, eastern, western, forClient)
	for region, r := range map[string]*live{east: eastern, west: western} {
		raws := r.tokensOfPython(t)
		for _, name := range []string{"no kid: pyjwt", "no kid: authlib", "bare key: pyjwt"} {
			require.Equal(t, region, accepted(t, v, raws[name]).Region(), name)
			refused(t, strict, raws[name], verifier.ReasonMalformed)
		}
		require.Equal(t, region, accepted(t, v, raws["bare key: pyjwt, kid"]).Region())
		refused(t, strict, raws["bare key: pyjwt, kid"], verifier.ReasonUnknownKey)
		require.Equal(t, region, accepted(t, ids, raws["no kid: authlib, ID token"]).Region())
		refused(t, v, raws["no kid: authlib, ID token"], verifier.ReasonBadAudience)
		refused(t, v, raws["bad: authlib, key of the other"], verifier.ReasonBadSignature)
	}
	for _, name := range []string{"no kid: authlib", "bare key: pyjwt, kid"} {
		regions := map[string]*live{east: issuing(livePython(t, "0"), name), west: issuing(livePython(t, "0"), name)}
		outlives(t, pythonValidator(t, regions[east], regions[west], lax), regions)
	}
}
