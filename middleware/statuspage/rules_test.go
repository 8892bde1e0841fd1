package statuspage_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/middleware/statuspage"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// The rules in effect are under a path of their own, and nothing of what they match is anywhere else.
func TestRules(t *testing.T) {
	t.Parallel()
	v, err := regionjwt.New(regionjwt.Config{
		Policies: []verifier.Policy{{
			Provider: issuer.Provider{ID: "a", Regions: []issuer.Region{{Name: "r", Issuers: []string{"https://idp.example"}}}},
			Audience: verifier.Audience("api"),
		}},
		Revocation: &revocation.Config{},
	})
	require.NoError(t, err)
	p := statuspage.Handler(v, "")
	require.JSONEq(t, `{"rules":[]}`, ask(p, http.MethodGet, "/rules.json", "").Body.String())
	rule := revocation.Rule{Provider: "a", Subject: "<m>\u202e", Note: "INC"}
	id, err := v.Revocation().Add(t.Context(), rule)
	require.NoError(t, err)
	w := ask(p, http.MethodGet, "/rules.json", "")
	require.Equal(t, 200, w.Code)
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	require.Contains(t, w.Body.String(), `{"rules":[{"id":"`+id+`","created":"`)
	require.Contains(t, w.Body.String(), `"sub":"\u003cm\u003e`)
	for _, path := range []string{"/", "/status.json"} {
		text := ask(p, http.MethodGet, path, "").Body.String()
		require.NotContains(t, text, "INC")
		require.NotContains(t, text, id)
	}
}

// The page tells the state of the documents of receivers of security events.
func TestThePageTellsOfSignals(t *testing.T) {
	t.Parallel()
	signals := revocation.Status{Name: "regionjwt/signals", Rules: 1, Refused: 1, Ignored: true, Replica: store.ReplicaStatus{
		Origin: "store", Stale: true, StoreProblem: "lost",
	}}
	st := regionjwt.Status{Ready: true, Revocation: &revocation.Status{
		Replica: store.ReplicaStatus{Origin: "store"}, Signals: []revocation.Status{signals, {Name: "b", Replica: store.ReplicaStatus{Origin: "none"}}},
	}}
	p, _ := statuspage.New(func() regionjwt.Status { return st }, "T")
	text := page(t, p, "/")
	for _, words := range []string{
		"Security events, regionjwt/signals: 1 rule is in effect.", "Operators have them ignored",
		"1 rule is not applied: the receiver may not make it", "withholds no rule", "the store has lost its document",
		`Security events, b: <strong class="wrong">the rules are not known`,
	} {
		require.Contains(t, text, words)
	}
	require.Contains(t, text, `<div class="warn"><dt>Revocation rules`)
}
