package sharedsignals_test

import (
	"encoding/json"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/revocation/sharedsignals/signalstest"
)

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// logoutToken returns a logout token of the provider; a typ in set is that of its header.
func logoutToken(w *world, set map[string]any) string {
	claims := map[string]any{
		"aud": "services", "sub": nil, "exp": time.Now().Add(2 * time.Minute).Unix(), "iat": time.Now().Unix(), "client_id": nil,
		"scope": nil, "events": map[string]any{logoutEvent: map[string]any{}},
	}
	header := map[string]any{"typ": "logout+jwt"}
	maps.Copy(claims, set)
	if typ, ok := claims["typ"]; ok {
		header["typ"] = typ
		delete(claims, "typ")
	}
	return w.server.Issue("eu", issuertest.Claims{Set: claims, Header: header})
}

// A logout token rejects the session that it names, or the user, and nobody else (OpenID Connect Back-Channel Logout 1.0).
func TestLogoutTokens(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		one, two, other := w.token("alice", "s1", time.Minute), w.token("alice", "s2", time.Minute), w.token("bob", "s3", time.Minute)
		answer := w.logout(logoutToken(w, map[string]any{"sid": "s1"}))
		require.Equal(t, 200, answer.Code)
		require.Equal(t, "no-store", answer.Header().Get("Cache-Control"))
		w.settle()
		require.True(t, w.rejected(one))
		require.False(t, w.rejected(two))
		require.Equal(t, 200, w.logout(logoutToken(w, map[string]any{"sub": "alice", "typ": "JWT"})).Code)
		w.settle()
		require.True(t, w.rejected(two))
		require.False(t, w.rejected(other))
		require.Equal(t, 200, w.logout(logoutToken(w, map[string]any{"sub": "bob", "sid": "s9", "typ": nil})).Code)
		w.settle()
		require.False(t, w.rejected(other), "both must match")
	})
}

// What is no logout token of the provider for this client makes no rule.
func TestWhatIsNoLogoutToken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		for name, token := range map[string]string{
			"an ID token":    w.server.Issue("eu", issuertest.Claims{IDToken: true, Subject: "alice", Set: map[string]any{"aud": "services"}}),
			"nobody":         logoutToken(w, nil),
			"a nonce":        logoutToken(w, map[string]any{"sub": "alice", "nonce": "n"}),
			"expired":        logoutToken(w, map[string]any{"sub": "alice", "exp": time.Now().Add(-time.Minute).Unix()}),
			"another aud":    logoutToken(w, map[string]any{"sub": "alice", "aud": "others"}),
			"another event":  logoutToken(w, map[string]any{"sub": "alice", "events": map[string]any{"x": map[string]any{}}}),
			"an event text":  logoutToken(w, map[string]any{"sub": "alice", "events": map[string]any{logoutEvent: "x"}}),
			"two events":     logoutToken(w, map[string]any{"sub": "alice", "events": map[string]any{logoutEvent: map[string]any{}, "x": map[string]any{}, "https://schemas.openid.net/secevent/caep/event-type/session-revoked": map[string]any{}}}),
			"typ of a SET":   logoutToken(w, map[string]any{"sub": "alice", "typ": "secevent+jwt"}),
			"typ of another": logoutToken(w, map[string]any{"sub": "alice", "typ": "at+jwt"}),
			"no jti":         logoutToken(w, map[string]any{"sub": "alice", "jti": nil}),
			"sid a number":   logoutToken(w, map[string]any{"sub": "alice", "sid": 7}),
			"a SET":          w.sender.Issue(signalstest.Event{Subject: user("alice")}),
			"":               "",
		} {
			answer := w.logout(token)
			require.Equal(t, 400, answer.Code, name)
			var body struct{ Error string }
			require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &body))
			require.NotEmpty(t, body.Error, name)
		}
		w.settle()
		require.Empty(t, w.rules.Rules())
	})
}
