package albauth_test

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

	"github.com/regionjwt/regionjwt/internal/answers"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
)

// A service behind two load balancers answers in an outage, a rotation, a revocation and a flood as docs/aws.md says.
func TestTheDoorAnswersAsDocumented(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "rules")
	table := answers.Doors(t, "../../docs/aws.md")
	require.Len(t, table, 8)
	synctest.Test(t, func(t *testing.T) {
		s, k := newServer(), key(t)
		rules, err := revocation.New(revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{store.Dir(dir)}}})
		require.NoError(t, err)
		require.NoError(t, rules.Load(t.Context()))
		c := config(s)
		c.Tokens.Revocation = rules
		get := service(t, newVerifier(t, c))
		check := func(what, got string) {
			require.Contains(t, table, what)
			require.Equal(t, table[what]["load balancer"], got, what)
			delete(table, what)
		}
		ask := func(signer string, kid int, sub string) string {
			code := get(signed(signer, uuid(kid), k).with(nil, map[string]any{"sub": sub}).String()).Code
			if code == 200 {
				return "passes"
			}
			return strconv.Itoa(code)
		}
		for _, url := range []string{eastKeys + uuid(1), eastKeys + uuid(2), westKeys + uuid(1)} {
			s.publish(t, url, k)
		}
		require.Equal(t, "passes", ask(east, 1, "alice"))
		check("a rotation: the first token of the new key", ask(east, 2, "alice"))

		s.publish(t, eastKeys+uuid(3), k)
		s.fail("refuse")
		time.Sleep(time.Hour)
		check("one Region is unavailable: a token of a known key", ask(east, 1, "alice"))
		check("one Region is unavailable: a token of the other Region", ask(west, 1, "alice"))
		check("one Region is unavailable: a token of a new key", ask(east, 3, "alice"))
		s.mu.Lock()
		delete(s.broken, eastKeys)
		s.mu.Unlock()

		_, err = rules.Add(t.Context(), revocation.Rule{Provider: "us-east-1_AbCdEf123", Subject: "bob"})
		require.NoError(t, err)
		check("a revoked token", ask(east, 1, "bob"))

		time.Sleep(time.Minute)
		all := make(chan string, 60)
		for n := range cap(all) {
			go func() { all <- ask(east, 100+n, "alice") }()
		}
		check("a flood: a token of a known key", ask(east, 1, "alice"))
		s.publish(t, eastKeys+uuid(4), k)
		require.Eventually(t, func() bool { return ask(east, 4, "alice") == "passes" }, 10*time.Second, time.Second)
		check("a flood: a token of a new key, within 10 seconds", "passes")
		flood := map[string]bool{}
		for range cap(all) {
			flood[<-all] = true
		}
		check("a flood: a token of a made-up key", strings.Join(slices.Sorted(maps.Keys(flood)), " or "))
	})
	require.Empty(t, table)
}
