package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
)

const kmsPage = "../../docs/kms.md"

// recipe is what the page says: an event pattern, input paths, and the commands of the job.
func recipe(t *testing.T) (pattern map[string]any, paths map[string]string, commands string) {
	t.Helper()
	text, err := os.ReadFile(kmsPage)
	require.NoError(t, err)
	found := regexp.MustCompile("(?s)```(json|sh)\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	require.Len(t, found, 3)
	require.NoError(t, json.Unmarshal([]byte(found[1][2]), &pattern))
	require.NoError(t, json.Unmarshal([]byte(found[2][2]), &paths))
	require.Equal(t, "sh", found[0][1])
	return pattern, paths, found[0][2]
}

// matches is what EventBridge does: each member of a pattern is a list of values, of which the event has one, or a pattern.
func matches(pattern, event map[string]any) bool {
	for name, want := range pattern {
		switch want := want.(type) {
		case []any:
			if !slices.Contains(want, event[name]) {
				return false
			}
		case map[string]any:
			inner, ok := event[name].(map[string]any)
			if !ok || !matches(want, inner) {
				return false
			}
		}
	}
	return true
}

// at returns the text at a path such as $.detail.eventName.
func at(t *testing.T, event map[string]any, path string) string {
	t.Helper()
	names := strings.Split(strings.TrimPrefix(path, "$."), ".")
	for _, name := range names[:len(names)-1] {
		event, _ = event[name].(map[string]any)
	}
	text, ok := event[names[len(names)-1]].(string)
	require.True(t, ok, path)
	return text
}

// An event of KMS, played through the recipe of the page, ends the tokens that exist, and no later ones; an event that is delivered
// twice changes nothing. It works with one of two stores down as well.
func TestAKeyThatIsDisabledEndsTokens(t *testing.T) {
	t.Parallel()
	pattern, paths, commands := recipe(t)
	for _, file := range []string{"kms-disable-key.json", "kms-schedule-key-deletion.json"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(filepath.Join("testdata", file))
			require.NoError(t, err)
			event := decode[map[string]any](t, string(text))
			require.True(t, matches(pattern, event))
			for from, to := range map[string]string{
				`"EnableKey"`: `"DisableKey"`, `"kms.amazonaws.cn"`: `"kms.amazonaws.com"`, `key/mrk-00`: `key/mrk-12`, `"errorCode": "AccessDenied", "x"`: `"responseElements"`,
			} {
				changed := strings.ReplaceAll(strings.ReplaceAll(string(text), "ScheduleKeyDeletion", "DisableKey"), to, from)
				require.False(t, matches(pattern, decode[map[string]any](t, changed)), from)
			}

			w := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256", ID: "shop"})
			w.Serve()
			dir := t.TempDir()
			tool{}.ok(t, "keygen", "--out", filepath.Join(dir, "operators.key"))
			lost := filepath.Join(dir, "lost")
			require.NoError(t, os.WriteFile(lost, nil, 0o600)) // a store that cannot be reached
			s := newService(t, w, dir, "lost", "rules")
			issued := w.Issue("us-east-1", fakeissuer.Claims{})
			require.False(t, s.revoked(t, issued))

			env := []string{
				"REGIONJWT_STORE=dir:" + lost + ",dir:" + filepath.Join(dir, "rules"), "REGIONJWT_PROVIDER=shop", "REGIONJWT_FLEET=test",
				"REGIONJWT_SIGN_KEY=" + filepath.Join(dir, "operators.key"), "KMS_SETTLE=0",
			}
			for name, path := range paths {
				env = append(env, name+"="+at(t, event, path))
			}
			for range 2 {
				out := openShell(t, dir, env...).do(t, commands)
				require.Contains(t, out, "rejected from now on: tokens of provider shop, issued before ")
				require.True(t, s.revoked(t, issued))
				require.False(t, s.revoked(t, w.Issue("us-east-1", fakeissuer.Claims{IssuedAgo: -10 * time.Second})), "issued later")
			}
			rules := s.Revocation().Rules()
			require.NotEmpty(t, rules)
			for _, r := range rules {
				require.Contains(t, r.Note, at(t, event, "$.detail.eventName")+" of arn:aws:kms:us-east-1:111122223333:key/mrk-1234")
				require.WithinDuration(t, time.Now().Add(25*time.Hour), r.ExpiresAt, time.Minute)
			}
		})
	}
}
