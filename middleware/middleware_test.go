package middleware_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/verifier"
)

func TestBearerToken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		header []string
		token  string
		reason verifier.Reason
	}{
		"a token":            {[]string{"Bearer abc.def-_~+/="}, "abc.def-_~+/=", ""},
		"scheme in any case": {[]string{"bEARER abc"}, "abc", ""},
		"several spaces":     {[]string{"Bearer   abc"}, "abc", ""},
		"no header":          {nil, "", verifier.ReasonTokenMissing},
		"empty header":       {[]string{""}, "", verifier.ReasonTokenMissing},
		"other scheme":       {[]string{"Basic YTpi"}, "", verifier.ReasonTokenMissing},
		"longer scheme":      {[]string{"Bearers abc"}, "", verifier.ReasonTokenMissing},
		"tab":                {[]string{"Bearer\tabc"}, "", verifier.ReasonTokenMissing},
		"no token":           {[]string{"Bearer"}, "", verifier.ReasonBadRequest},
		"only a space":       {[]string{"Bearer "}, "", verifier.ReasonBadRequest},
		"not a token":        {[]string{`Bearer a"b`}, "", verifier.ReasonBadRequest},
		"only padding":       {[]string{"Bearer ="}, "", verifier.ReasonBadRequest},
		"two headers":        {[]string{"Bearer abc", "Bearer abc"}, "", verifier.ReasonBadRequest},
		"two schemes":        {[]string{"Basic YTpi", "Bearer abc"}, "", verifier.ReasonBadRequest},
		"list":               {[]string{"Bearer abc,Bearer def"}, "", verifier.ReasonBadRequest},
		"list with spaces":   {[]string{"Bearer abc, Bearer def"}, "", verifier.ReasonBadRequest},
		"two tokens":         {[]string{"Bearer abc def"}, "", verifier.ReasonBadRequest},
		"trailing space":     {[]string{"Bearer abc "}, "", verifier.ReasonBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token, err := middleware.BearerToken(c.header...)
			require.Equal(t, c.token, token)
			if c.reason == "" {
				require.NoError(t, err)
				return
			}
			require.Equal(t, c.reason, reason(err))
		})
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	const unavailable, limited = "temporarily_unavailable", "rate_limited"
	for _, c := range []struct {
		err    error
		status int
		code   string
		after  time.Duration
	}{
		{&verifier.Error{Reason: verifier.ReasonTokenMissing}, 401, "token_missing", 0},
		{&verifier.Error{Reason: verifier.ReasonBadRequest}, 400, "invalid_request", 0},
		{&verifier.Error{Reason: verifier.ReasonExpired}, 401, "invalid_token", 0},
		{fmt.Errorf("wrapped: %w", &verifier.Error{Reason: verifier.ReasonBadSignature}), 401, "invalid_token", 0},
		{&verifier.Error{Reason: verifier.ReasonInsufficientScope}, 403, "insufficient_scope", 0},
		{&verifier.Error{Reason: verifier.ReasonInsufficientUserAuthentication}, 401, "insufficient_user_authentication", 0},
		{&verifier.Error{Reason: verifier.ReasonProofFailed}, 401, "invalid_token", 0},
		{&verifier.Error{Reason: verifier.ReasonProofFailed, Detail: "dpop"}, 401, "invalid_dpop_proof", 0},
		{&verifier.Error{Reason: verifier.ReasonNonceRequired}, 401, "use_dpop_nonce", 0},
		{&verifier.Error{Reason: verifier.ReasonProofUnavailable, RetryAfter: 2 * time.Second}, 503, unavailable, 2 * time.Second},
		{&verifier.Error{Reason: verifier.ReasonKeysUnavailable, RetryAfter: 7 * time.Second}, 503, unavailable, 7 * time.Second},
		{&verifier.Error{Reason: verifier.ReasonRulesUnavailable}, 503, unavailable, time.Second},
		{&verifier.Error{Reason: verifier.ReasonUnknownKeyRateLimited, RetryAfter: 7 * time.Second}, 429, limited, 7 * time.Second},
		{&verifier.Error{Reason: verifier.ReasonUnknownKeyRateLimited}, 429, limited, time.Second},
		{&verifier.Error{Reason: verifier.ReasonCheckFailed, Err: verifier.ErrRateLimited}, 429, limited, time.Second},
		{&verifier.Error{Reason: verifier.ReasonKeyNotAllowed}, 401, "invalid_token", 0},
		{verifier.ErrRateLimited, 429, limited, time.Second},
		{verifier.ErrForbidden, 403, "insufficient_scope", 0},
		{verifier.ErrInvalid, 401, "invalid_token", 0},
		{verifier.ErrUnavailable, 503, unavailable, time.Second},
		{errors.New("another error"), 503, unavailable, time.Second},
		{(*verifier.Error)(nil), 503, unavailable, time.Second},
		{nil, 503, unavailable, time.Second},
	} {
		status, code, after := middleware.Classify(c.err)
		require.Equal(t, c.status, status, "%v", c.err)
		require.Equal(t, c.code, code, "%v", c.err)
		require.Equal(t, c.after, after, "%v", c.err)
	}
}

func TestRequirements(t *testing.T) {
	t.Parallel()
	issue := tokens(t)
	tok := issue(fakeissuer.Claims{Scope: "a b", Groups: []string{"g"}})
	for name, c := range map[string]struct {
		requirement middleware.Requirement
		met         bool
	}{
		"nothing":                {middleware.Requirement{}, false},
		"all scopes":             {middleware.Scopes("a", "b"), true},
		"one scope more":         {middleware.Scopes("a", "c"), false},
		"any scope":              {middleware.AnyScope("c", "b"), true},
		"none of them":           {middleware.AnyScope("c"), false},
		"group":                  {middleware.AnyGroup("x", "g"), true},
		"other group":            {middleware.AnyGroup("G"), false},
		"client":                 {middleware.Clients("x", fakeissuer.ClientID), true},
		"other client":           {middleware.Clients("x"), false},
		"a function, met":        {middleware.RequirementFunc(func(*verifier.Token) error { return nil }), true},
		"a function, not met":    {middleware.RequirementFunc(func(*verifier.Token) error { return errors.New("no") }), false},
		"a function, by invalid": {middleware.RequirementFunc(func(*verifier.Token) error { return verifier.ErrInvalid }), false},
	} {
		err := middleware.Check(tok, c.requirement)
		require.Equal(t, c.met, err == nil, name)
		if err != nil {
			require.ErrorIs(t, err, verifier.ErrForbidden, name)
			require.Equal(t, verifier.ReasonInsufficientScope, reason(err), name)
		}
	}
	require.NoError(t, middleware.Check(tok))
	require.Error(t, middleware.Check(tok, middleware.Scopes("a"), middleware.Scopes("c")), "all are required")
}

// Without a token, nothing is met, not even if nothing is required.
func TestCheckOfNoToken(t *testing.T) {
	t.Parallel()
	require.Equal(t, verifier.ReasonTokenMissing, reason(middleware.Check(nil)))
	require.Equal(t, verifier.ReasonTokenMissing, reason(middleware.Check(nil, middleware.Scopes("a"))))
}

// If a function cannot tell whether its requirement is met, the answer is not that the token does not grant it.
func TestARequirementThatCannotTellIsNotUnmet(t *testing.T) {
	t.Parallel()
	issue := tokens(t)
	tok := issue(fakeissuer.Claims{})
	for status, cause := range map[int]error{503: verifier.ErrUnavailable, 429: verifier.ErrRateLimited} {
		err := middleware.Check(tok, middleware.RequirementFunc(func(*verifier.Token) error {
			return fmt.Errorf("the database: %w", cause)
		}))
		require.ErrorIs(t, err, cause)
		got, _, after := middleware.Classify(err)
		require.Equal(t, status, got)
		require.Equal(t, time.Second, after)
	}
}

// A requirement that no token can meet, or that no challenge can name, is found when the routes are made.
func TestMisuseOfRequirementsPanicsAtTheCall(t *testing.T) {
	t.Parallel()
	for text, call := range map[string]func(){
		"middleware: Scopes: no scope":                                    func() { middleware.Scopes() },
		"middleware: Scopes: a scope is empty":                            func() { middleware.Scopes("a", "") },
		"middleware: Scopes: a scope is empty or has a character":         func() { middleware.Scopes("a b") },
		"middleware: AnyScope: no scope":                                  func() { middleware.AnyScope() },
		"middleware: AnyScope: a scope is empty or has":                   func() { middleware.AnyScope(`a"b`) },
		"middleware: AnyGroup: no group":                                  func() { middleware.AnyGroup() },
		"middleware: AnyGroup: a group is empty":                          func() { middleware.AnyGroup("a", "") },
		"middleware: Clients: no client":                                  func() { middleware.Clients() },
		"middleware: Clients: a client is empty":                          func() { middleware.Clients("") },
		"middleware: Actors: no subject":                                  func() { middleware.Actors() },
		"middleware: Actors: a subject is empty":                          func() { middleware.Actors("a", "") },
		"middleware: RequirementFunc: check is nil":                       func() { middleware.RequirementFunc(nil) },
		"middleware: StepUp: neither maxAge nor a class is set":           func() { middleware.StepUp(0) },
		"middleware: StepUp: maxAge is negative":                          func() { middleware.StepUp(-time.Second, "mfa") },
		"middleware: StepUp: maxAge is negative or not whole seconds":     func() { middleware.StepUp(time.Millisecond) },
		"middleware: StepUp: a class is empty or has a character that is": func() { middleware.StepUp(0, "a b") },
	} {
		value := panics(call)
		require.Contains(t, value, text)
	}
	for _, scopes := range [][]string{{"ä"}, {"a\\b"}, {"a\x7f"}, {"\t"}} {
		require.Panics(t, func() { middleware.Scopes(scopes...) }, scopes)
	}
	require.NotPanics(t, func() { middleware.AnyGroup("a group with spaces") })
	scopes := []string{"a"}
	r := middleware.Scopes(scopes...)
	scopes[0] = "b"
	issue := tokens(t)
	require.NoError(t, middleware.Check(issue(fakeissuer.Claims{Scope: "a"}), r), "the arguments are copied")
}

func panics(call func()) (value any) {
	defer func() { value = recover() }()
	call()
	return nil
}

func TestStepUp(t *testing.T) {
	t.Parallel()
	issue := tokens(t)
	now := time.Now()
	for _, c := range []struct {
		acr, auth any
		maxAge    time.Duration
		classes   []string
		met       bool
	}{
		{"mfa", now.Unix(), time.Minute, []string{"phr", "mfa"}, true},
		{"pwd", now.Unix(), 0, []string{"mfa"}, false},
		{nil, now.Unix(), 0, []string{"mfa"}, false},
		{1, now.Unix(), 0, []string{"mfa"}, false},
		{nil, now.Add(-time.Hour).Unix(), time.Minute, nil, false},
		{nil, now.Add(-time.Hour).Unix(), 2 * time.Hour, nil, true},
		{"mfa", now.Add(-time.Hour).Unix(), time.Minute, []string{"mfa"}, false},
		{nil, nil, 2 * time.Hour, nil, false},
		{nil, "yesterday", 2 * time.Hour, nil, false},
		{nil, now.Add(20 * time.Second).Unix(), time.Minute, nil, true}, // clocks differ
		{nil, now.Add(time.Hour).Unix(), time.Minute, nil, false},
	} {
		tok := issue(fakeissuer.Claims{Set: map[string]any{"acr": c.acr, "auth_time": c.auth}})
		err := middleware.Check(tok, middleware.StepUp(c.maxAge, c.classes...))
		require.Equal(t, c.met, err == nil, "%+v", c)
		if err != nil {
			status, code, _ := middleware.Classify(err)
			require.Equal(t, 401, status)
			require.Equal(t, "insufficient_user_authentication", code)
		}
	}
}

// tokens returns a function that issues and verifies a token.
func tokens(t *testing.T) func(fakeissuer.Claims) *verifier.Token {
	t.Helper()
	w := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256"})
	cache, err := jwks.New([]issuer.Provider{w.Provider()}, jwks.Config{HTTPClient: w.Client()})
	require.NoError(t, err)
	v, err := verifier.New([]verifier.Policy{
		{Provider: w.Provider(), Audience: verifier.Audience(fakeissuer.Audience)},
	}, cache, verifier.Config{})
	require.NoError(t, err)
	return func(c fakeissuer.Claims) *verifier.Token {
		tok, err := v.Verify(t.Context(), w.Issue("us-east-1", c))
		require.NoError(t, err)
		return tok
	}
}
