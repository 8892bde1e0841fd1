package lambdaauth_test

import (
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/aws/lambdaauth"
	"github.com/regionjwt/regionjwt/internal/answers"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// doors are the events of each column of the table in docs/aws.md.
var doors = map[string][]string{
	"REST TOKEN": {"rest-token"}, "REST REQUEST": {"rest-request", "websocket-connect"}, "HTTP 1.0": {"http-1.0"}, "HTTP 2.0": {"http-2.0"},
}

// Each door answers in an outage, a rotation, a revocation and a flood as docs/aws.md says.
func TestTheDoorsAnswerAsDocumented(t *testing.T) {
	t.Parallel()
	table := answers.Doors(t, "../../docs/aws.md")
	require.Len(t, table, 8)
	for door, names := range doors {
		for _, name := range names {
			dir := filepath.Join(t.TempDir(), "rules")
			synctest.Test(t, func(t *testing.T) {
				for what, got := range happenings(t, name, dir) {
					require.Contains(t, table, what)
					require.Equal(t, table[what][door], got, "%s: %s", door, what)
					delete(table[what], door)
				}
			})
			for what := range table {
				require.NotContains(t, table[what], door, "%s: %s", door, what)
				if name != names[len(names)-1] { // the next event is of the same door
					table[what] = answers.Doors(t, "../../docs/aws.md")[what]
				}
			}
		}
	}
}

// happenings lets an outage, a rotation, a revocation and a flood happen, and returns what one kind of event was answered with.
func happenings(t *testing.T, name, dir string) map[string]string {
	t.Helper()
	s := server(t)
	shared := store.ReplicaConfig{Stores: []store.Trusted{store.Dir(dir)}}
	a := authorizer(t, regionjwt.Config{
		Policies: []verifier.Policy{s.Policy()}, Revocation: &revocation.Config{Replica: shared},
	}, lambdaauth.Config{})
	ask := func(token string) string {
		answer, err := a.Invoke(t.Context(), event(t, name, "Bearer "+token))
		return outcome(t, answer, err)
	}
	issue := func(region, user string) string {
		return s.Issue(region, issuertest.Claims{Subject: user, ExpiresIn: 20 * time.Hour})
	}
	got := map[string]string{}
	require.Equal(t, "passes", ask(issue("eu", "alice")))
	require.Equal(t, "passes", ask(issue("us", "alice")))

	s.Rotate("eu")
	got["a rotation: the first token of the new key"] = ask(issue("eu", "alice"))

	s.Break("eu")
	time.Sleep(time.Hour)
	got["one Region is unavailable: a token of a known key"] = ask(issue("eu", "alice"))
	got["one Region is unavailable: a token of the other Region"] = ask(issue("us", "alice"))
	s.Rotate("eu")
	got["one Region is unavailable: a token of a new key"] = ask(issue("eu", "alice"))
	s.Restore("eu")
	time.Sleep(time.Minute)

	rules, err := revocation.New(revocation.Config{Replica: shared})
	require.NoError(t, err)
	require.NoError(t, rules.Load(t.Context()))
	_, err = rules.Add(t.Context(), revocation.Rule{Provider: "shop", Subject: "bob"})
	require.NoError(t, err)
	time.Sleep(time.Second)
	got["a revoked token"] = ask(issue("us", "bob"))

	flood := map[string]bool{}
	all := make(chan string, 60)
	for n := range cap(all) {
		token := s.Issue("us", issuertest.Claims{Header: map[string]any{"kid": strconv.Itoa(n)}})
		go func() { all <- ask(token) }()
	}
	got["a flood: a token of a known key"] = ask(issue("us", "alice"))
	s.Rotate("us")
	require.Eventually(t, func() bool { return ask(issue("us", "alice")) == "passes" }, 10*time.Second, time.Second)
	got["a flood: a token of a new key, within 10 seconds"] = "passes"
	for range cap(all) {
		flood[<-all] = true
	}
	got["a flood: a token of a made-up key"] = strings.Join(slices.Sorted(maps.Keys(flood)), " or ")
	return got
}
