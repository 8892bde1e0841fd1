package dpop_test

import (
	"net/netip"
	neturl "net/url"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/middleware/dpop"
)

// Each line of spellings is one URL; different lines are different ones.
var sameURLs = [][]string{
	{
		"https://example.com/", "https://example.com", "HTTPS://Example.COM", "https://example.com:443", "https://example.com:/",
		"https://example.com/?a=b", "https://example.com?a=b", "https://example.com#c", "https://example.com/#a?b", "https://example.com/.",
		"https://example.com/./", "https://example.com/..", "https://example.com/a/..", "https://example.com/%2e",
		"https://example.com/?/a/%zz", "https://example.com?/@evil",
	},
	{"http://example.com/", "http://example.com:80"},
	{"http://example.com:443/"},
	{"https://example.com:80/"},
	{"https://example.com:8443/", "https://EXAMPLE.com:8443"},
	{"https://example.com./"},
	{"https://a_b.example.com/"},
	{"https://example.com/~a", "https://example.com/%7Ea", "https://example.com/%7ea", "https://example.com/%7E%61"},
	{"https://example.com/A"},
	{"https://example.com/a/b", "https://example.com/a/./b", "https://example.com/a/c/../b", "https://example.com/../a/b", "https://example.com/a/x/%2E%2e/b"},
	{"https://example.com/a/b/", "https://example.com/a/b/.", "https://example.com/a/b/c/.."},
	{"https://example.com/a//b"},
	{"https://example.com//"},
	{"https://example.com/a%2Fb", "https://example.com/a%2fb"},
	{"https://example.com/a%252Fb"},
	{"https://example.com/a!b"},
	{"https://example.com/a%21b"},
	{"https://example.com/a:@$&'()*+,;=b"},
	{"https://example.com/a%20b"},
	{"https://example.com/a+b"},
	{"https://example.com/%C3%A9", "https://example.com/é", "https://example.com/%c3%a9"},
	{"https://example.com/a%7Cb%5B%5D", "https://example.com/a|b[]"},
	{"https://example.com/a%5Cb", `https://example.com/a\b`},
	{"https://example.com/%00"},
	{"https://example.com/..."},
	{"https://example.com/a%3Fb", "https://example.com/a%3fb?c"},
	{"https://127.0.0.1/"},
	{"https://[::1]/", "https://[0:0:0:0:0:0:0:1]", "https://[::0001]:443/"},
	{"https://[2001:db8::a]:8443/x", "https://[2001:DB8:0::A]:8443/x"},
}

func TestURLs(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, same := range sameURLs {
		want, ok := dpop.NormalURL(same[0])
		require.True(t, ok, same[0])
		require.Empty(t, seen[want], "%s is not %s", same[0], seen[want])
		seen[want] = same[0]
		for _, s := range same {
			got, ok := dpop.NormalURL(s)
			require.True(t, ok, s)
			require.Equal(t, want, got, s)
		}
		again, ok := dpop.NormalURL(want)
		require.True(t, ok)
		require.Equal(t, want, again)
	}
}

func TestNotURLs(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", "/", "/a", "//example.com/a", "example.com", "https", "https:", "https:/", "https://", "https:///a", "https://:443/", "https:example.com",
		"ftp://example.com/", "wss://example.com/", " https://example.com/", "https://example.com/ ", "https://example.com/a b",
		"https://example.com/\n", "https://example.com/\x7f", "https://a@example.com/", "https://a:b@example.com/", "https://@example.com/",
		"https://example.com:x/", "https://example.com:+443/", "https://example.com:443:443/", "https://ex ample.com/", "https://exa%6Dple.com/",
		"https://exämple.com/", `https://example.com\@evil/`, "https://[::1/", "https://[::1]x/", "https://[::1]443/", "https://[::1%25eth0]/",
		"https://[::1%eth0]/", "https://[127.0.0.1]/", "https://[]/", "https://::1/", "https://example.com/%", "https://example.com/%4",
		"https://example.com/%4g", "https://example.com/%g4", "https://example.com/%-1", "\u212Attps://example.com/", "http\u017f://example.com/",
		"https://example.com/" + strings.Repeat("a", 16<<10),
	} {
		got, ok := dpop.NormalURL(s)
		require.False(t, ok, "%q", s)
		require.Empty(t, got)
	}
}

// FuzzURL compares with net/url: what is accepted names the same host and the same path, and its normal form is its own.
func FuzzURL(f *testing.F) {
	n := 0
	for _, same := range sameURLs {
		for _, s := range same {
			f.Add(s)
			n++
		}
	}
	require.Greater(f, n, 50)
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := dpop.NormalURL(s)
		if !ok {
			return
		}
		again, ok := dpop.NormalURL(got)
		require.True(t, ok, "%q", got)
		require.Equal(t, got, again)
		s, _, _ = strings.Cut(s, "#")
		s, _, _ = strings.Cut(s, "?") // a bad query is no matter here, but is one to net/url
		if strings.ContainsAny(s, "\\`\"<>[]^{|}") && !strings.Contains(s, "://[") {
			return // net/url is of several minds about these
		}
		want, err := neturl.Parse(s)
		require.NoError(t, err, "%q", s)
		mine, err := neturl.Parse(got)
		require.NoError(t, err, "%q", got)
		require.Equal(t, want.Scheme, mine.Scheme)
		if addr, err := netip.ParseAddr(want.Hostname()); err == nil && addr.Is6() {
			require.Equal(t, addr.String(), mine.Hostname())
		} else {
			require.Equal(t, strings.ToLower(want.Hostname()), mine.Hostname())
		}
		if p := want.Port(); p != "" && p != "443" && p != "80" {
			require.Equal(t, p, mine.Port())
		}
		if !strings.Contains(want.Path, "//") && !strings.Contains(strings.ToLower(s), "%2f") { // path.Clean is of another mind about them
			require.Equal(t, path.Clean("/"+want.Path), path.Clean(mine.Path))
		}
	})
}
