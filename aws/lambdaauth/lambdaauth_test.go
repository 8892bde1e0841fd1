package lambdaauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/aws/lambdaauth"
	"github.com/regionjwt/regionjwt/internal/answers"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// events are the files of testdata.
var events = []string{"rest-token", "rest-request", "websocket-connect", "http-1.0", "http-2.0"}

// event is a documented event with another value of the header Authorization.
func event(t *testing.T, name, authorization string) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".json")
	require.NoError(t, err)
	quoted, err := json.Marshal(authorization)
	require.NoError(t, err)
	return []byte(strings.ReplaceAll(string(text), "TOKEN-HERE", strings.Trim(string(quoted), `"`)))
}

// outcome is what a client of an API is told: the status.
func outcome(t *testing.T, answer []byte, err error) string {
	t.Helper()
	if err != nil {
		require.Nil(t, answer)
		if err.Error() == "Unauthorized" {
			return "401"
		}
		return "500"
	}
	var a struct {
		IsAuthorized   *bool
		PrincipalID    string
		PolicyDocument struct {
			Version   string
			Statement []struct{ Action, Effect, Resource string }
		}
		Context map[string]any
	}
	require.NoError(t, json.Unmarshal(answer, &a))
	if a.IsAuthorized != nil {
		return map[bool]string{true: "passes", false: "403"}[*a.IsAuthorized]
	}
	require.NotEmpty(t, a.PrincipalID)
	require.Equal(t, "2012-10-17", a.PolicyDocument.Version)
	require.Len(t, a.PolicyDocument.Statement, 1)
	s := a.PolicyDocument.Statement[0]
	require.Equal(t, []string{"execute-api:Invoke", "*"}, []string{s.Action, s.Resource})
	return map[string]string{"Allow": "passes", "Deny": "403"}[s.Effect]
}

// Every failure has the answer that docs/answers.md lists, for each kind of event, and that it cannot be found out is an error.
func TestAnswers(t *testing.T) {
	t.Parallel()
	rows := answers.Rows(t, "../../docs/answers.md")
	tried := 0
	for _, c := range answers.Cases(t) {
		row, listed := rows[c.Name]
		if c.RequireCertificate {
			require.Equal(t, "-", row.REST, c.Name)
			continue
		}
		authorization := strings.Join(c.Authorization, ",")
		for _, name := range events {
			if len(c.Authorization) == 0 && name != "rest-request" && name != "rest-token" {
				continue // an identity source is missing: the function is not called
			}
			a := lambdaauth.NewOf(c.Verifier, lambdaauth.Config{Requirements: c.Requirements})
			answer, err := a.Invoke(t.Context(), event(t, name, authorization))
			if err != nil {
				require.NotContains(t, err.Error(), answers.Secret, c.Name)
			}
			got := outcome(t, answer, err)
			tried++
			if c.Name == answers.Good {
				require.Equal(t, "passes", got, name)
				continue
			}
			require.NotContains(t, string(answer), answers.Secret, c.Name)
			require.True(t, listed, c.Name)
			want := row.REST
			if strings.HasPrefix(name, "http") {
				want = row.HTTPAPI
			}
			require.Equal(t, want, got, "%s: %s", c.Name, name)
			if strings.HasPrefix(row.Status, "5") || row.Status == "429" {
				require.Equal(t, "500", got, "never an answer that is kept")
			}
		}
	}
	require.Greater(t, tried, 100)
}

// server is a fake provider of two regions with issuers of their own.
func server(t *testing.T) *issuertest.Server {
	t.Helper()
	return issuertest.New(t, issuer.Provider{ID: "shop", Regions: []issuer.Region{
		{Name: "eu", Issuers: []string{"urn:eu"}, JWKSURLs: []string{"https://eu.example/keys"}},
		{Name: "us", Issuers: []string{"urn:us"}, JWKSURLs: []string{"https://us.example/keys"}},
	}}, issuertest.Config{Algorithm: "ES256"})
}

func authorizer(t *testing.T, c regionjwt.Config, own lambdaauth.Config) *lambdaauth.Authorizer {
	t.Helper()
	v, err := regionjwt.New(c)
	require.NoError(t, err)
	a, err := lambdaauth.New(v, own)
	require.NoError(t, err)
	return a
}

// The integrations get what the token says, as texts.
func TestContext(t *testing.T) {
	t.Parallel()
	s := server(t)
	token := "Bearer " + s.Issue("eu", issuertest.Claims{Subject: "alice"})
	config := regionjwt.Config{Policies: []verifier.Policy{s.Policy()}}
	for name, want := range map[string]string{
		"rest-token": `"principalId":"shop alice"`, "http-1.0": `"effect":`, "http-2.0": `"isAuthorized":true`,
	} {
		answer, err := authorizer(t, config, lambdaauth.Config{}).Invoke(t.Context(), event(t, name, token))
		require.NoError(t, err)
		require.Contains(t, strings.ToLower(string(answer)), strings.ToLower(want))
		require.Contains(t, string(answer), `"subject":"alice"`)
		require.Contains(t, string(answer), `"region":"eu"`)
	}
	own := lambdaauth.Config{IAMPolicies: true, Context: func(t *verifier.Token) map[string]any {
		return map[string]any{"user": t.Subject(), "n": 1, "ok": true}
	}}
	answer, err := authorizer(t, config, own).Invoke(t.Context(), event(t, "http-2.0", token))
	require.NoError(t, err)
	require.Contains(t, string(answer), `"context":{"n":1,"ok":true,"user":"alice"}`)
	require.Contains(t, string(answer), "principalId")
	for _, wrong := range []func(*verifier.Token) map[string]any{
		func(*verifier.Token) map[string]any { return map[string]any{"list": []string{"a"}} },
		func(*verifier.Token) map[string]any { panic("boom") },
	} {
		_, err = authorizer(t, config, lambdaauth.Config{Context: wrong}).Invoke(t.Context(), event(t, "rest-token", token))
		require.Error(t, err)
		require.NotEqual(t, "Unauthorized", err.Error())
	}
}

// A token that is not in the key of the cache is not judged: the answer would be another sender's.
func TestTheTokenIsAnIdentitySource(t *testing.T) {
	t.Parallel()
	s := server(t)
	a := authorizer(t, regionjwt.Config{Policies: []verifier.Policy{s.Policy()}}, lambdaauth.Config{})
	token := "Bearer " + s.Issue("eu", issuertest.Claims{})
	for name, identity := range map[string]string{"http-1.0": `"identitySource": "TOKEN-HERE,192.0.2.7"`, "http-2.0": `"identitySource": ["TOKEN-HERE", "192.0.2.7"]`} {
		text, err := os.ReadFile("testdata/" + name + ".json")
		require.NoError(t, err)
		require.Contains(t, string(text), identity)
		for other, want := range map[string]string{
			strings.ReplaceAll(identity, "TOKEN-HERE", "user1"): "500",
			strings.ReplaceAll(identity, "TOKEN-HERE", "x"):     "500",
			`"identitySource": null`:                            "passes", // nothing is kept
			`"identitySource": 1`:                               "500",
			`"identitySource": []`:                              "500",
			identity:                                            "passes",
		} {
			e := strings.ReplaceAll(strings.Replace(string(text), identity, other, 1), "TOKEN-HERE", token)
			answer, err := a.Invoke(t.Context(), []byte(e))
			require.Equal(t, want, outcome(t, answer, err), "%s %s", name, other)
		}
	}
}

// What is no event of an authorizer is an error, and no panic.
func TestOtherEvents(t *testing.T) {
	t.Parallel()
	s := server(t)
	a := authorizer(t, regionjwt.Config{Policies: []verifier.Policy{s.Policy()}}, lambdaauth.Config{})
	token := "Bearer " + s.Issue("eu", issuertest.Claims{})
	for _, text := range []string{
		"", "null", "[]", "{}", `{"type": "TOKEN"}`, `{"type": "REQUEST"}`, `{"version": "3.0", "type": "REQUEST", "routeArn": "a"}`,
		`{"version": "2.0", "methodArn": "a"}`, `{"version": "1.0", "routeArn": "a"}`, `{"type": 1}`, `{"headers": "` + token + `"}`,
		`{"type": "TOKEN", "methodArn": "a", "methodArn": "b", "authorizationToken": "` + token + `"}`,
		`{"TYPE": "TOKEN", "METHODARN": "a", "AUTHORIZATIONTOKEN": "` + token + `"}`,
	} {
		answer, err := a.Invoke(t.Context(), []byte(text))
		require.Equal(t, "500", outcome(t, answer, err), text)
		require.NotContains(t, err.Error(), token)
	}
	for headers, want := range map[string]string{
		`"multiValueHeaders": {"authorization": ["` + token + `"]}`:                         "passes",
		`"headers": {"AUTHORIZATION": "` + token + `"}`:                                     "passes",
		`"headers": {"Authorization": "` + token + `", "authorization": "` + token + `"}`:   "401",
		`"multiValueHeaders": {"Authorization": ["` + token + `", "` + token + `"]}`:        "401",
		`"multiValueHeaders": {"X": ["y"]}, "headers": {"Authorization": "` + token + `"}`:  "401",
		`"headers": {"Authorization": "DPoP ` + strings.TrimPrefix(token, "Bearer ") + `"}`: "401",
		`"headers": {"Authorization": "` + strings.TrimPrefix(token, "Bearer ") + `"}`:      "401",
		`"authorizationToken": "` + token + `"`:                                             "401",
	} {
		answer, err := a.Invoke(t.Context(), []byte(`{"type": "REQUEST", "methodArn": "a", `+headers+`}`))
		require.Equal(t, want, outcome(t, answer, err), headers)
	}
}

func TestMisuse(t *testing.T) {
	t.Parallel()
	for _, v := range []*regionjwt.Validator{nil, {}} {
		_, err := lambdaauth.New(v, lambdaauth.Config{Wait: time.Minute, Requirements: []middleware.Requirement{{}}})
		for _, want := range []string{"regionjwt.New", "Wait is 1m0s", "Requirement"} {
			require.ErrorContains(t, err, want)
		}
	}
	for _, a := range []*lambdaauth.Authorizer{nil, {}} {
		_, err := a.Invoke(t.Context(), nil)
		require.ErrorContains(t, err, "lambdaauth.New")
	}
}

// asked invokes a with a token.
func asked(t *testing.T, a *lambdaauth.Authorizer, token string) string {
	t.Helper()
	answer, err := a.Invoke(t.Context(), event(t, "rest-token", "Bearer "+token))
	return outcome(t, answer, err)
}

// A process that was frozen for hours refreshes keys before it answers: a key that was withdrawn meanwhile is not used.
func TestAFrozenProcessRefreshesBeforeItAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := server(t)
		a := authorizer(t, regionjwt.Config{Policies: []verifier.Policy{s.Policy()}}, lambdaauth.Config{})
		old := s.Issue("eu", issuertest.Claims{ExpiresIn: 20 * time.Hour})
		require.Equal(t, "passes", asked(t, a, old))
		time.Sleep(5 * time.Minute)
		s.Rotate("eu")
		s.Withdraw("eu")
		require.Equal(t, "passes", asked(t, a, old), "no refresh is overdue")
		time.Sleep(3 * time.Hour)
		_ = asked(t, a, old) // the first good answer without the key
		time.Sleep(2 * time.Hour)
		require.NotEqual(t, "passes", asked(t, a, old), "the second one, before the answer")
		require.Equal(t, "passes", asked(t, a, s.Issue("eu", issuertest.Claims{})))
	})
}

// In an outage, keys that are known serve: an event waits once a minute, at most for Wait.
func TestOneRegionIsUnavailable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := server(t)
		a := authorizer(t, regionjwt.Config{Policies: []verifier.Policy{s.Policy()}}, lambdaauth.Config{Wait: 300 * time.Millisecond})
		eu, us := s.Issue("eu", issuertest.Claims{ExpiresIn: 20 * time.Hour}), s.Issue("us", issuertest.Claims{ExpiresIn: 20 * time.Hour})
		require.Equal(t, "passes", asked(t, a, eu))
		require.Equal(t, "passes", asked(t, a, us))
		s.Hang("eu")
		time.Sleep(3 * time.Hour)
		took := func(token string) time.Duration {
			begin := time.Now()
			require.Equal(t, "passes", asked(t, a, token))
			return time.Since(begin)
		}
		require.Equal(t, 300*time.Millisecond, took(eu))
		for range 5 {
			time.Sleep(9 * time.Second)
			require.Zero(t, took(eu), "its refresh fails")
		}
		time.Sleep(2 * time.Minute)
		require.Less(t, took(us), 50*time.Millisecond, "its region answers")
		time.Sleep(24 * time.Hour)
		require.Equal(t, "500", asked(t, a, s.Issue("eu", issuertest.Claims{})), "it cannot be found out")
		require.Equal(t, "passes", asked(t, a, s.Issue("us", issuertest.Claims{})))
	})
}

// A flood of tokens with unknown keys, and a rotation.
func TestFloodAndRotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, other := server(t), server(t)
		a := authorizer(t, regionjwt.Config{Policies: []verifier.Policy{s.Policy()}}, lambdaauth.Config{})
		require.Equal(t, "passes", asked(t, a, s.Issue("eu", issuertest.Claims{})))
		seen, all := map[string]int{}, make(chan string, 50)
		for range cap(all) {
			other.Rotate("eu")
			token := other.Issue("eu", issuertest.Claims{})
			go func() { all <- asked(t, a, token) }()
		}
		for range cap(all) {
			seen[<-all]++
		}
		require.Zero(t, seen["passes"])
		require.Equal(t, "passes", asked(t, a, s.Issue("eu", issuertest.Claims{})))
		time.Sleep(time.Minute)
		s.Rotate("eu")
		require.Eventually(t, func() bool { return asked(t, a, s.Issue("eu", issuertest.Claims{})) == "passes" }, time.Minute, time.Second)
	})
}

// A rule is in effect at the first event that begins a second after it is written, without Run; a store that fails changes nothing.
func TestARevokedToken(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "rules")
	synctest.Test(t, func(t *testing.T) {
		s := server(t)
		shared := store.ReplicaConfig{Stores: []store.Trusted{store.Dir(dir)}}
		a := authorizer(t, regionjwt.Config{
			Policies: []verifier.Policy{s.Policy()}, Revocation: &revocation.Config{Replica: shared},
		}, lambdaauth.Config{})
		token := s.Issue("eu", issuertest.Claims{Subject: "alice", ExpiresIn: 20 * time.Hour})
		require.Equal(t, "passes", asked(t, a, token))
		rules, err := revocation.New(revocation.Config{Replica: shared})
		require.NoError(t, err)
		require.NoError(t, rules.Load(t.Context()))
		_, err = rules.Add(t.Context(), revocation.Rule{Provider: "shop", Subject: "alice"})
		require.NoError(t, err)
		time.Sleep(time.Second)
		require.Equal(t, "401", asked(t, a, token))
		require.NoError(t, os.Chmod(dir, 0o777)) // a store that is not trusted any more
		time.Sleep(time.Minute)
		require.Equal(t, "401", asked(t, a, token))
		require.Equal(t, "passes", asked(t, a, s.Issue("eu", issuertest.Claims{Subject: "bob"})))
	})
}

var errContext = errors.New("the caller gave up")

// A caller that gives up gets an error, and no answer.
func TestACallerThatGivesUp(t *testing.T) {
	t.Parallel()
	s := server(t)
	s.Hang("eu")
	a := authorizer(t, regionjwt.Config{Policies: []verifier.Policy{s.Policy()}}, lambdaauth.Config{})
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errContext)
	answer, err := a.Invoke(ctx, event(t, "http-2.0", "Bearer "+s.Issue("eu", issuertest.Claims{})))
	require.Equal(t, "500", outcome(t, answer, err))
}
