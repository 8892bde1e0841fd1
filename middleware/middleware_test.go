package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/verifier"
)

func TestBearer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		header []string
		token  string
		reason verifier.Reason
	}{
		"a token":            {[]string{"Bearer abc.def-_~+/="}, "abc.def-_~+/=", 0},
		"scheme in any case": {[]string{"bEARER abc"}, "abc", 0},
		"several spaces":     {[]string{"Bearer   abc"}, "abc", 0},
		"no header":          {nil, "", verifier.ReasonTokenMissing},
		"empty header":       {[]string{""}, "", verifier.ReasonTokenMissing},
		"other scheme":       {[]string{"Basic YTpi"}, "", verifier.ReasonTokenMissing},
		"longer scheme":      {[]string{"Bearers abc"}, "", verifier.ReasonTokenMissing},
		"tab":                {[]string{"Bearer\tabc"}, "", verifier.ReasonTokenMissing},
		"no token":           {[]string{"Bearer"}, "", verifier.ReasonBadRequest},
		"only a space":       {[]string{"Bearer "}, "", verifier.ReasonBadRequest},
		"two headers":        {[]string{"Bearer abc", "Bearer abc"}, "", verifier.ReasonBadRequest},
		"two schemes":        {[]string{"Basic YTpi", "Bearer abc"}, "", verifier.ReasonBadRequest},
		"list":               {[]string{"Bearer abc,Bearer def"}, "", verifier.ReasonBadRequest},
		"list with spaces":   {[]string{"Bearer abc, Bearer def"}, "", verifier.ReasonBadRequest},
		"two tokens":         {[]string{"Bearer abc def"}, "", verifier.ReasonBadRequest},
		"trailing space":     {[]string{"Bearer abc "}, "", verifier.ReasonBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token, err := middleware.Bearer(c.header)
			require.Equal(t, c.token, token)
			if c.reason == 0 {
				require.NoError(t, err)
				return
			}
			var e *verifier.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, c.reason, e.Reason)
		})
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err   error
		want  middleware.Outcome
		after time.Duration
	}{
		{&verifier.Error{Reason: verifier.ReasonTokenMissing}, middleware.Missing, 0},
		{&verifier.Error{Reason: verifier.ReasonBadRequest}, middleware.BadRequest, 0},
		{&verifier.Error{Reason: verifier.ReasonExpired}, middleware.Invalid, 0},
		{fmt.Errorf("wrapped: %w", &verifier.Error{Reason: verifier.ReasonBadSignature}), middleware.Invalid, 0},
		{&verifier.Error{Reason: verifier.ReasonInsufficientScope}, middleware.Forbidden, 0},
		{&verifier.Error{Reason: verifier.ReasonKeysUnavailable, RetryAfter: 7 * time.Second}, middleware.Unavailable, 7 * time.Second},
		{&verifier.Error{Reason: verifier.ReasonRulesUnavailable}, middleware.Unavailable, time.Second},
		{&verifier.Error{Reason: verifier.ReasonUnknownKeyRateLimited, RetryAfter: 7 * time.Second}, middleware.RateLimited, 7 * time.Second},
		{&verifier.Error{Reason: verifier.ReasonUnknownKeyRateLimited}, middleware.RateLimited, time.Second},
		{&verifier.Error{Reason: verifier.ReasonCheckFailed, Err: verifier.ErrRateLimited}, middleware.RateLimited, time.Second},
		{&verifier.Error{Reason: verifier.ReasonKeyNotAllowed}, middleware.Invalid, 0},
		{verifier.ErrRateLimited, middleware.RateLimited, time.Second},
		{verifier.ErrForbidden, middleware.Forbidden, 0},
		{verifier.ErrInvalid, middleware.Invalid, 0},
		{verifier.ErrUnavailable, middleware.Unavailable, time.Second},
		{errors.New("whatever"), middleware.Unavailable, time.Second},
	} {
		o, after := middleware.Classify(c.err)
		require.Equal(t, c.want, o, "%v", c.err)
		require.Equal(t, c.after, after, "%v", c.err)
	}
}

func TestRequirements(t *testing.T) {
	t.Parallel()
	w := issuertest.New(t, issuertest.Config{Layout: issuertest.IssuerPerRegion, Algorithm: "ES256"})
	cache, err := jwks.New([]issuer.Provider{w.Provider()}, jwks.Config{HTTPClient: w.Client()})
	require.NoError(t, err)
	v, err := verifier.New(verifier.Config{Keys: cache, Policies: []verifier.Policy{
		{Provider: w.Provider(), Audience: verifier.Audience(issuertest.Audience)},
	}})
	require.NoError(t, err)
	tok, err := v.Verify(t.Context(), w.Token("us-east-1", issuertest.Claims{Scope: "a b", Groups: []string{"g"}}))
	require.NoError(t, err)
	refused := errors.New("no")
	for name, c := range map[string]struct {
		requirement middleware.Requirement
		met         bool
	}{
		"nothing":         {middleware.Requirement{}, false},
		"no scopes":       {middleware.Scopes(), false},
		"nil check":       {middleware.Custom(nil), false},
		"all scopes":      {middleware.Scopes("a", "b"), true},
		"one scope more":  {middleware.Scopes("a", "c"), false},
		"any scope":       {middleware.AnyScope("c", "b"), true},
		"none of them":    {middleware.AnyScope("c"), false},
		"of no scopes":    {middleware.AnyScope(), false},
		"group":           {middleware.Groups("x", "g"), true},
		"other group":     {middleware.Groups("G"), false},
		"of no groups":    {middleware.Groups(), false},
		"client":          {middleware.Clients("x", issuertest.ClientID), true},
		"other client":    {middleware.Clients("x"), false},
		"of no clients":   {middleware.Clients(), false},
		"custom, met":     {middleware.Custom(func(*verifier.Token) error { return nil }), true},
		"custom, not met": {middleware.Custom(func(*verifier.Token) error { return refused }), false},
	} {
		err := middleware.Require(tok, []middleware.Requirement{c.requirement})
		require.Equal(t, c.met, err == nil, name)
		if err != nil {
			require.ErrorIs(t, err, verifier.ErrForbidden)
		}
	}
	require.NoError(t, middleware.Require(nil, nil))
	require.Equal(t, verifier.ReasonTokenMissing, reason(middleware.Require(nil, []middleware.Requirement{middleware.Scopes("a")})))
	require.Equal(t, []string{"a", "b", "c"}, middleware.ScopesOf([]middleware.Requirement{
		middleware.Scopes("a", "b"), middleware.Groups("g"), middleware.AnyScope("b", "c"),
	}))
}

// answers is a Verifier that always says the same.
type answers struct {
	token *verifier.Token
	err   error
}

func (a answers) Verify(context.Context, string) (*verifier.Token, error) { return a.token, a.err }

// What the glance of Presented lets pass is still a bad request, where the Verifier calls it malformed, and nobody is let in by
// a Verifier that says nothing.
func TestVerifyTellsWhatIsNoToken(t *testing.T) {
	t.Parallel()
	reason := func(presented string, a answers) verifier.Reason {
		_, err := middleware.Verify(t.Context(), a, presented)
		var e *verifier.Error
		if !errors.As(err, &e) {
			require.Error(t, err)
			return 0
		}
		return e.Reason
	}
	malformed := answers{err: &verifier.Error{Reason: verifier.ReasonMalformed}}
	require.Equal(t, verifier.ReasonMalformed, reason("a.b.c", malformed))
	for _, junk := range []string{"a\"b", "=", "a=b", "ä", "a\x00", ""} {
		require.Equal(t, verifier.ReasonBadRequest, reason(junk, malformed), junk)
	}
	require.Equal(t, verifier.ReasonExpired, reason("a\"b", answers{err: &verifier.Error{Reason: verifier.ReasonExpired}}))
	require.Zero(t, reason("a.b.c", answers{}))
	for _, junk := range []string{"", "a b", "a,b", strings.Repeat("a", 1<<20+1)} {
		_, err := middleware.Presented([]string{"Bearer " + junk}, "Bearer")
		require.Error(t, err)
	}
	token, err := middleware.Presented([]string{"bearer a\"b"}, "Bearer")
	require.NoError(t, err)
	require.Equal(t, `a"b`, token)
}
