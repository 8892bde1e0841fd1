package authz_test

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/authz"
	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/verifier"
)

// constant is a Verifier with one answer.
type constant struct {
	token *verifier.Token
	err   error
}

func (c constant) Verify(context.Context, string) (*verifier.Token, error) { return c.token, c.err }

// wild is a Verifier that panics.
type wild struct{}

func (wild) Verify(context.Context, string) (*verifier.Token, error) { panic("s3cret") }

// hollow is an error that panics when its chain is walked, if it is a nil pointer.
type hollow struct{ cause error }

func (*hollow) Error() string   { return "hollow" }
func (h *hollow) Unwrap() error { return h.cause }

func reason(err error) verifier.Reason {
	if e := authz.AsError(err); e != nil {
		return e.Reason
	}
	return ""
}

// What Presented does not check is still a bad request if the Verifier calls it malformed.
func TestWhatIsNoTokenIsABadRequest(t *testing.T) {
	t.Parallel()
	verify := func(presented string, c constant) verifier.Reason {
		_, err := authz.Verify(t.Context(), c, presented)
		require.Error(t, err)
		return reason(err)
	}
	malformed := constant{err: &verifier.Error{Reason: verifier.ReasonMalformed}}
	require.Equal(t, verifier.ReasonMalformed, verify("a.b.c", malformed))
	for _, junk := range []string{"a\"b", "=", "a=b", "ä", "a\x00", ""} {
		require.Equal(t, verifier.ReasonBadRequest, verify(junk, malformed), junk)
	}
	require.Equal(t, verifier.ReasonExpired, verify("a\"b", constant{err: &verifier.Error{Reason: verifier.ReasonExpired}}))
	for _, junk := range []string{"", "a b", "a,b", strings.Repeat("a", 1<<20+1)} {
		_, _, err := authz.Presented([]string{"Bearer " + junk}, "Bearer")
		require.Equal(t, verifier.ReasonBadRequest, reason(err))
	}
	token, scheme, err := authz.Presented([]string{"dpop a\"b"}, "Bearer", "DPoP")
	require.NoError(t, err)
	require.Equal(t, `a"b`, token)
	require.Equal(t, "DPoP", scheme)
}

// A Verifier that says nothing, or cannot say anything, admits nobody and calls no token bad.
func TestAVerifierThatDoesNotDecideIsUnavailable(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]authz.Verifier{
		"no Verifier":          nil,
		"a nil Verifier":       (*verifier.Verifier)(nil),
		"a nil error":          constant{err: (*verifier.Error)(nil)},
		"neither":              constant{},
		"a panic":              wild{},
		"an error that panics": constant{err: (*hollow)(nil)},
	} {
		token, err := authz.Verify(t.Context(), v, "x\x00")
		require.Nil(t, token, name)
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "s3cret", name)
		status, _, after := middleware.Classify(err)
		require.Equal(t, 503, status, name)
		require.GreaterOrEqual(t, after, time.Second)
	}
}

func TestChallengeOf(t *testing.T) {
	t.Parallel()
	require.Equal(t, authz.Challenge{Scopes: []string{"a", "b", "d"}, ACR: []string{"x"}, MaxAge: time.Minute},
		authz.ChallengeOf([]middleware.Requirement{
			middleware.Scopes("a", "b"), middleware.AnyGroup("g"), middleware.AnyScope("b", "c"), middleware.AnyScope("d", "b"),
			{},
			middleware.StepUp(time.Hour, "x"), middleware.StepUp(time.Minute, "y"), middleware.StepUp(0, "z"),
		}))
	require.True(t, authz.IsZero(middleware.Requirement{}))
	require.False(t, authz.IsZero(middleware.AnyGroup("g")))
}

// bound returns a function that issues and verifies a token with a cnf claim.
func bound(t *testing.T) func(cnf any) *verifier.Token {
	t.Helper()
	w := fakeissuer.New(t, fakeissuer.Config{Algorithm: "ES256", Layout: fakeissuer.OneIssuer})
	keys, err := jwks.New([]issuer.Provider{w.Provider()}, jwks.Config{HTTPClient: w.Client()})
	require.NoError(t, err)
	v, err := verifier.New([]verifier.Policy{
		{Provider: w.Provider(), Audience: verifier.Audience(fakeissuer.Audience)},
	}, keys, verifier.Config{})
	require.NoError(t, err)
	return func(cnf any) *verifier.Token {
		c := fakeissuer.Claims{}
		if cnf != nil {
			c.Set = map[string]any{"cnf": cnf}
		}
		token, err := v.Verify(t.Context(), w.Issue("us-east-1", c))
		require.NoError(t, err)
		return token
	}
}

func TestConfirmationOf(t *testing.T) {
	t.Parallel()
	token := bound(t)
	for _, c := range []struct {
		cnf  any
		want authz.Confirmation
		ok   bool
	}{
		{nil, authz.Confirmation{}, true},
		{map[string]any{}, authz.Confirmation{}, true},
		{map[string]any{"jkt": "a"}, authz.Confirmation{JWK: "a"}, true},
		{map[string]any{"x5t#S256": "b"}, authz.Confirmation{Certificate: "b"}, true},
		{map[string]any{"jkt": "a", "x5t#S256": "b"}, authz.Confirmation{JWK: "a", Certificate: "b"}, true},
		{map[string]any{"jkt": "a", "kid": "b"}, authz.Confirmation{}, false},
		{map[string]any{"JKT": "a"}, authz.Confirmation{}, false},
		{map[string]any{"jkt": ""}, authz.Confirmation{}, false},
		{map[string]any{"jkt": nil}, authz.Confirmation{}, false},
		{map[string]any{"jkt": 1}, authz.Confirmation{}, false},
		{map[string]any{"x5t#S256": []string{"b"}}, authz.Confirmation{}, false},
		{map[string]any{"jkt": "a", "x": json.Number("1e999")}, authz.Confirmation{}, false},
		{map[string]any{"jkt": json.Number("1e999")}, authz.Confirmation{}, false},
	} {
		got, err := authz.ConfirmationOf(token(c.cnf))
		require.Equal(t, c.ok, err == nil, "%v", c.cnf)
		require.Equal(t, c.want, got, "%v", c.cnf)
		if err != nil {
			require.Equal(t, verifier.ReasonProofFailed, reason(err))
			status, code, _ := middleware.Classify(err)
			require.Equal(t, 401, status)
			require.Equal(t, "invalid_token", code)
		}
	}
}

func TestCheckCertificate(t *testing.T) {
	t.Parallel()
	token := bound(t)(nil)
	sum := sha256.Sum256([]byte("mine"))
	mine := authz.Confirmation{Certificate: base64.RawURLEncoding.EncodeToString(sum[:])}
	none, failed := authz.Confirmation{}, errors.New("the proxy is not configured")
	for i, c := range []struct {
		bound    authz.Confirmation
		required bool
		raw      string
		err      error
		want     bool
	}{
		{mine, false, "mine", nil, true},
		{mine, true, "mine", nil, true},
		{mine, false, "other", nil, false},
		{mine, false, "", nil, false},
		{mine, false, "mine", failed, false},
		{none, false, "", failed, true},
		{none, true, "mine", nil, false},
	} {
		err := authz.CheckCertificate(token, c.bound, c.required, func() (*x509.Certificate, error) {
			if c.raw == "" {
				return nil, c.err
			}
			return &x509.Certificate{Raw: []byte(c.raw)}, c.err
		})
		require.Equal(t, c.want, err == nil, i)
		if c.err != nil && !c.want {
			require.ErrorIs(t, err, failed)
		}
	}
}
