package sharedsignals_test

import (
	"bytes"
	"crypto/ed25519"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/revocation/sharedsignals"
	"github.com/regionjwt/regionjwt/revocation/sharedsignals/signalstest"
	"github.com/regionjwt/regionjwt/store"
)

// New reports every problem at once, by the name of the field.
func TestNewReportsEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := sharedsignals.New(sharedsignals.Config{})
	require.ErrorContains(t, err, "Transmitters is empty")
	require.ErrorContains(t, err, "Replica.Stores is empty")
	public, _, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	var typed *memory
	_, err = sharedsignals.New(sharedsignals.Config{
		Replica: store.ReplicaConfig{Stores: []store.Trusted{
			store.Signed(&memory{}, "f", nil, store.PublicKey{Key: public}), store.InsecureTrust(typed),
		}},
		TokenLifetime: -time.Second, Keys: jwks.Config{MaxKeys: -1, Logger: new(slog.Logger)},
		Transmitters: []sharedsignals.Transmitter{
			{Provider: issuer.Provider{ID: "a"}, Issuers: map[string]string{"": "*"}, Authorization: []string{" x"}, Ignore: []string{"user"}},
			{
				Provider: issuer.OIDC(realm), Audience: []string{""}, Ignore: []string{"verification", "sessionrevoked"},
				PollURL: "http://idp.example.com/", VerificationURL: "ftp://x",
			},
			{Provider: issuer.OIDC(realm), Audience: []string{"a"}, Issuers: map[string]string{realm: "p"}, StreamID: "s"},
		},
	})
	for _, text := range []string{
		"has no private key", "Stores[1]", "TokenLifetime", "MaxKeys", "Keys.Logger", `transmitter "a"`, `Issuers maps "" to "*"`,
		"Authorization", `Ignore names "user"`, "Audience is empty", "Issuers is empty", `Ignore names "verification"`,
		`Ignore names "sessionrevoked"`, "PollURL: https", "VerificationURL: https", "need each other", "two transmitters have the ID",
	} {
		require.ErrorContains(t, err, text)
	}
}

// The zero Receiver says how to make one.
func TestTheZeroReceiver(t *testing.T) {
	t.Parallel()
	for _, r := range []*sharedsignals.Receiver{nil, {}} {
		require.ErrorContains(t, r.Run(t.Context()), "New")
		require.Empty(t, r.Status())
		require.Equal(t, 503, pushTo(t, r.Handler("x")))
	}
}

// A wrong ID is logged at the start. The transmitter keeps what it sends, as after any other 503.
func TestAHandlerNeedsATransmitter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log bytes.Buffer
		w := newWorld(t, func(c *sharedsignals.Config) { c.Keys.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		h := w.receiver.Handler("x")
		require.Contains(t, log.String(), "there is no such transmitter")
		require.Equal(t, 503, pushTo(t, h))
	})
}

func pushTo(t *testing.T, h http.Handler) int {
	t.Helper()
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/", strings.NewReader("set")))
	return answer.Code
}

// A hook that panics, and a body that does not end, harm nobody.
func TestFaultsOfOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, func(c *sharedsignals.Config) {
			c.OnEvent = func(_, _, _, _ string) { panic("hook") }
		})
		require.Equal(t, []int{202}, w.push(w.sender.Issue(signalstest.Event{Subject: user("alice")})))
		req := httptest.NewRequest(http.MethodPost, "/", endless{})
		req.Header.Set("Content-Type", "application/secevent+jwt")
		answer := httptest.NewRecorder()
		w.receiver.Handler("shop").ServeHTTP(answer, req)
		require.Equal(t, 413, answer.Code)
		require.Equal(t, 400, w.logout(strings.Repeat("%", 3)).Code)
	})
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// A hostile but authentic transmitter signs out users of its own provider, for a time; it locks nobody out, takes no room that
// another needs, and touches no other provider.
func TestAHostileTransmitterDoesBoundedHarm(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		victim, other := w.token("user-1", "s1", time.Minute), w.token("nobody", "s2", time.Minute)
		var sets []string
		for _, subject := range []map[string]any{
			user("user-1"), user("*"), inSession("user-1", "ALL"),
			{"format": "complex", "group": user("admins")},
			{"format": "iss_sub", "iss": "https://bank.example.com", "sub": "nobody"},
			{"format": "opaque", "id": "nobody"},
			{"format": "complex", "tenant": map[string]any{"format": "opaque", "id": "all"}},
		} {
			for _, ahead := range []time.Duration{0, time.Minute, 24 * time.Hour} {
				sets = append(sets, w.sender.Issue(signalstest.Event{
					Subject: subject, Members: map[string]any{"event_timestamp": time.Now().Add(ahead).Unix()},
				}))
			}
		}
		require.True(t, only(w.push(sets...), 202))
		w.settle()
		require.True(t, w.rejected(victim))
		require.False(t, w.rejected(other))
		for _, r := range w.rules.Rules() {
			require.Contains(t, []string{"user-1", "*"}, r.Subject, "'*' is a user of that name")
			require.False(t, r.IssuedBefore.After(time.Now().Add(time.Second)))
			require.LessOrEqual(t, r.ExpiresAt.Sub(r.Created), 25*time.Hour)
		}
		time.Sleep(2 * time.Second)
		require.False(t, w.rejected(w.token("user-1", "s3", 0)), "who signs in again is not locked out")
		w.stop()
		time.Sleep(25 * time.Hour)
		require.Empty(t, w.rules.Rules(), "everything ends")
		require.Zero(t, w.rules.Status().Signals[0].Refused)
	})
}
