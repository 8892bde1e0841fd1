package sharedsignals_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/revocation/sharedsignals"
	"github.com/regionjwt/regionjwt/revocation/sharedsignals/signalstest"
)

func newCache(t *testing.T, p issuer.Provider) *jwks.Cache {
	t.Helper()
	c, err := jwks.New([]issuer.Provider{p}, jwks.Config{})
	require.NoError(t, err)
	return c
}

// An event rejects the tokens that it is about within a second, and no others.
func TestAnEventRejectsWithinASecond(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		old, later := w.token("alice", "s1", time.Minute), w.token("alice", "s2", time.Minute)
		other := w.token("bob", "s3", time.Minute)
		for _, token := range []string{old, later, other} {
			require.False(t, w.rejected(token))
		}
		require.Equal(t, []int{202}, w.push(w.sender.Issue(signalstest.Event{Subject: inSession("alice", "s1")})))
		w.settle()
		require.True(t, w.rejected(old))
		require.False(t, w.rejected(later), "another session")
		require.Equal(t, []int{202}, w.push(w.sender.Issue(signalstest.Event{Type: "risc/account-disabled", Subject: user("alice")})))
		w.settle()
		require.True(t, w.rejected(later))
		require.False(t, w.rejected(other), "another user")
		time.Sleep(2 * time.Second)
		require.False(t, w.rejected(w.token("alice", "s4", 0)), "who signs in again is not locked out")
		require.Equal(t, []string{"session-revoked applied", "account-disabled applied"}, w.told())
	})
}

// A repeat, a late event and another order change nothing for the worse.
func TestRepeatsAndOrderDoNotMatter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		early := w.sender.Issue(signalstest.Event{Subject: user("alice"), Ago: time.Hour})
		late := w.sender.Issue(signalstest.Event{Subject: user("alice"), Ago: time.Minute})
		between := w.token("alice", "", 30*time.Minute)
		require.Equal(t, []int{202, 202, 202, 202}, w.push(late, early, late, early))
		w.settle()
		require.True(t, w.rejected(between), "the later one is in effect")
		require.Len(t, w.rules.Rules(), 1, "one rule for one subject")
		require.Equal(t, []string{"session-revoked applied", "session-revoked repeated", "session-revoked repeated", "session-revoked repeated"}, w.told())
		require.Equal(t, []int{202}, w.push(w.sender.Issue(signalstest.Event{Subject: user("alice"), Ago: 30 * time.Hour})))
		require.Equal(t, []string{"session-revoked ended"}, w.told())
	})
}

// What an operator removes stays removed for that event, and operators can have all of it ignored.
func TestOperatorsEndRules(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		set := w.sender.Issue(signalstest.Event{Subject: user("alice"), Ago: time.Second})
		token := w.token("alice", "", time.Minute)
		w.push(set)
		w.settle()
		require.True(t, w.rejected(token))
		rules := w.operator.Rules()
		require.Len(t, rules, 1)
		require.Equal(t, "regionjwt/signals", rules[0].Signals, "it says who made it")
		require.NoError(t, w.operator.Remove(t.Context(), rules[0].ID()))
		w.settle()
		require.False(t, w.rejected(token))
		require.Empty(t, w.rules.Rules())
		require.Equal(t, []int{202, 202}, w.push(set, set), "a replay")
		w.settle()
		require.False(t, w.rejected(token))
		w.push(w.sender.Issue(signalstest.Event{Subject: user("alice")}))
		w.settle()
		require.True(t, w.rejected(token), "another event")
		require.NoError(t, w.operator.IgnoreSignals(t.Context(), "", time.Hour))
		w.settle()
		require.False(t, w.rejected(token))
		require.True(t, w.rules.Status().Signals[0].Ignored)
		time.Sleep(time.Hour)
		require.False(t, w.rules.Status().Signals[0].Ignored)
		require.Len(t, w.rules.Rules(), 1)
	})
}

// Nobody but the transmitter, in its own name and for its audience, can make a rule; each answer has the code of RFC 8935.
func TestForgedTokensMakeNoRule(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		another := issuertest.New(t, provider("shop", realm), issuertest.Config{Algorithm: "ES256"})
		event := signalstest.Event{Subject: user("alice")}
		with := func(set map[string]any) string {
			e := event
			e.Set = set
			return w.sender.Issue(e)
		}
		typed := func(typ any) string {
			return w.server.Issue("eu", issuertest.Claims{Header: map[string]any{"typ": typ}, Set: map[string]any{
				"aud": "services", "exp": nil, "sub": nil, "sub_id": user("alice"), "events": events("caep/event-type/session-revoked"),
			}})
		}
		good := w.sender.Issue(event)
		header, rest, _ := strings.Cut(good, ".")
		payload, _, _ := strings.Cut(rest, ".")
		none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"secevent+jwt","kid":"k"}`))
		forged := event
		forged.Forged = true
		for name, c := range map[string]struct {
			set, code string
			status    int
		}{
			"forged":             {w.sender.Issue(forged), "authentication_failed", 400},
			"of another server":  {signalstest.New(another, "eu", "services").Issue(event), "invalid_key", 400},
			"alg none":           {none + "." + payload + ".AA", "invalid_request", 400},
			"no signature":       {header + "." + payload + ".", "invalid_request", 400},
			"another iss":        {with(map[string]any{"iss": "https://other.example.com"}), "invalid_issuer", 400},
			"no iss":             {with(map[string]any{"iss": nil}), "invalid_request", 400},
			"another aud":        {with(map[string]any{"aud": "others"}), "invalid_audience", 400},
			"no aud":             {with(map[string]any{"aud": nil}), "invalid_audience", 400},
			"aud of nobody":      {with(map[string]any{"aud": []string{}}), "invalid_audience", 400},
			"exp":                {with(map[string]any{"exp": time.Now().Add(time.Hour).Unix()}), "invalid_request", 400},
			"sub":                {with(map[string]any{"sub": "alice"}), "invalid_request", 400},
			"no jti":             {with(map[string]any{"jti": nil}), "invalid_request", 400},
			"no iat":             {with(map[string]any{"iat": nil}), "invalid_request", 400},
			"no events":          {with(map[string]any{"events": nil}), "invalid_request", 400},
			"events is an array": {with(map[string]any{"events": []string{"x"}}), "invalid_request", 400},
			"empty events":       {with(map[string]any{"events": map[string]any{}}), "invalid_request", 400},
			"not yet":            {with(map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}), "invalid_request", 400},
			"no subject":         {w.sender.Issue(signalstest.Event{}), "invalid_request", 400},
			"typ JWT":            {typed("JWT"), "invalid_request", 400},
			"typ at+jwt":         {typed("at+jwt"), "invalid_request", 400},
			"no typ":             {typed(nil), "invalid_request", 400},
			"an access token":    {w.token("alice", "s1", 0), "invalid_request", 400},
			"a logout event":     {with(map[string]any{"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}}), "invalid_request", 400},
			"a logout token":     {logoutToken(w, map[string]any{"sub": "alice"}), "invalid_request", 400},
			"nothing":            {"", "invalid_request", 400},
			"two tokens":         {good + "\n" + good, "invalid_request", 400},
			"too long":           {w.sender.Issue(signalstest.Event{Subject: user(strings.Repeat("a", 50_000))}), "", 413},
			"far too long":       {strings.Repeat("a", 70_000), "", 413},
			"a wrong signature":  {fakeissuer.Tamper(good), "authentication_failed", 400},
		} {
			req := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(c.set))
			req.Header.Set("Content-Type", "application/secevent+jwt")
			answer := httptest.NewRecorder()
			w.receiver.Handler("shop").ServeHTTP(answer, req)
			require.Equal(t, c.status, answer.Code, name)
			if c.code != "" {
				var body struct{ Err, Description string }
				require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &body), name)
				require.Equal(t, c.code, body.Err, "%s: %s", name, body.Description)
				require.NotEmpty(t, body.Description)
				require.Equal(t, "application/json", answer.Header().Get("Content-Type"))
				require.Equal(t, "en", answer.Header().Get("Content-Language"))
			}
		}
		w.settle()
		require.Empty(t, w.rules.Rules())
		require.Equal(t, []int{202}, w.push(good))
		require.Equal(t, 405, w.get(http.MethodGet, ""))
		require.Equal(t, 415, w.get(http.MethodPost, "application/json"))
	})
}

func (w *world) get(method, contentType string) int {
	req := httptest.NewRequest(method, "/", strings.NewReader("x"))
	req.Header.Set("Content-Type", contentType)
	answer := httptest.NewRecorder()
	w.receiver.Handler("shop").ServeHTTP(answer, req)
	return answer.Code
}

func events(path string) map[string]any {
	return map[string]any{"https://schemas.openid.net/secevent/" + path: map[string]any{}}
}

// A transmitter speaks for the issuers that are listed, and for no other.
func TestATransmitterSpeaksForItsOwnSubjects(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		token := w.token("alice", "s1", time.Minute)
		other := map[string]any{"format": "iss_sub", "iss": "https://bank.example.com", "sub": "alice"}
		all := map[string]any{
			"format": "complex", "user": map[string]any{"format": "email", "email": "a@example.com"},
			"session": map[string]any{"format": "opaque", "id": "ALL"},
		}
		require.Equal(t, []int{202, 202}, w.push(
			w.sender.Issue(signalstest.Event{Subject: other}), w.sender.Issue(signalstest.Event{Subject: all}),
		), "told, and acknowledged")
		w.settle()
		require.Equal(t, []string{"session-revoked provider_not_allowed", "session-revoked subject_not_mapped"}, w.told())
		require.False(t, w.rejected(token))
		require.Empty(t, w.rules.Rules())
	})
}

// The Authorization header is judged before the token, and either of two values is right.
func TestAuthorizationIsJudgedFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, func(c *sharedsignals.Config) { c.Transmitters[0].Authorization = []string{"Bearer one", "Bearer two"} })
		set := w.sender.Issue(signalstest.Event{Subject: user("alice")})
		h := w.receiver.Handler("shop")
		for value, status := range map[string]int{"Bearer one": 202, "Bearer two": 202, "Bearer three": 400, "bearer one": 400, "": 400} {
			header := http.Header{}
			if value != "" {
				header.Set("Authorization", value)
			}
			require.Equal(t, []int{status}, w.sender.Push(h, header, set), value)
		}
		require.Equal(t, []int{400}, w.sender.Push(h, http.Header{"Authorization": {"Bearer one", "Bearer two"}}, set))
		w.told()
		w.server.Break("eu")
		w.server.Break("us")
		w.server.Rotate("eu")
		require.Equal(t, []int{400}, w.sender.Push(h, nil, w.sender.Issue(signalstest.Event{Subject: user("alice")})))
		require.Equal(t, []string{"authentication_failed"}, w.told(), "no key was asked for")
	})
}

// A token whose key cannot be fetched is not bad: the transmitter must send it again.
func TestCannotTellIsNotBad(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.server.Rotate("eu")
		w.server.Break("eu")
		w.server.Break("us")
		set := w.sender.Issue(signalstest.Event{Subject: user("alice")})
		req := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(set))
		req.Header.Set("Content-Type", "application/secevent+jwt")
		answer := httptest.NewRecorder()
		w.receiver.Handler("shop").ServeHTTP(answer, req)
		require.Equal(t, 503, answer.Code)
		require.NotEmpty(t, answer.Header().Get("Retry-After"))
		w.server.Restore("eu")
		w.server.Restore("us")
		time.Sleep(time.Minute)
		require.Equal(t, []int{202}, w.push(set))
	})
}

// The keys of a transmitter come through the loss of one of its regions.
func TestOneRegionOfTheTransmitterMayBeLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		require.Equal(t, []int{202}, w.push(w.sender.Issue(signalstest.Event{Subject: user("alice")})))
		w.server.Break("eu")
		time.Sleep(time.Hour)
		token := w.token("bob", "", time.Minute)
		require.Equal(t, []int{202}, w.push(w.sender.Issue(signalstest.Event{Subject: user("bob")})))
		w.settle()
		require.True(t, w.rejected(token))
	})
}

// 202 means that a store has the rule: while none answers, the transmitter must send the event again.
func TestAcceptedMeansDurable(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		token := w.token("alice", "", time.Minute)
		set := w.sender.Issue(signalstest.Event{Subject: user("alice")})
		w.memory.setDown(true)
		require.Equal(t, []int{503, 503}, w.push(set, set))
		require.Equal(t, []string{"session-revoked store_unavailable", "session-revoked store_unavailable"}, w.told())
		w.memory.setDown(false)
		require.Equal(t, []int{202}, w.push(set))
		w.settle()
		require.True(t, w.rejected(token))
	})
}

// Typ and exp can be waived for early transmitters, and then an access token is still no event.
func TestEarlyTransmitters(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, func(c *sharedsignals.Config) { c.Transmitters[0].Ignore = []string{"typ", "exp"} })
		issue := func(typ any, set map[string]any) string {
			claims := map[string]any{"aud": "services", "exp": nil, "sub": nil, "sub_id": user("alice"), "events": events("caep/event-type/session-revoked")}
			maps.Copy(claims, set)
			return w.server.Issue("eu", issuertest.Claims{Header: map[string]any{"typ": typ}, Set: claims})
		}
		soon, past := time.Now().Add(time.Hour).Unix(), time.Now().Add(-time.Hour).Unix()
		for _, c := range []struct {
			typ    any
			set    map[string]any
			status int
		}{
			{"JWT", nil, 202},
			{nil, nil, 202},
			{"secevent+jwt", map[string]any{"exp": soon}, 202},
			{"secevent+jwt", map[string]any{"exp": past}, 400},
			{"JWT", map[string]any{"exp": soon}, 400},
			{"at+jwt", nil, 400},
			{"logout+jwt", nil, 400},
			{"secevent+jwt", map[string]any{"iat": time.Now().UnixMilli()}, 400},
		} {
			require.Equal(t, []int{c.status}, w.push(issue(c.typ, c.set)), fmt.Sprint(c))
		}
	})
}
