package routes_test

import (
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/serve/routes"
)

// table reads a file that must have no problem.
func table(t testing.TB, doc string) *routes.Table {
	t.Helper()
	read, err := routes.Read([]byte(doc))
	require.NoError(t, err)
	return read
}

// hostile are paths with which protected paths of other products were reached.
var hostile = []string{
	"", "admin", "*", "http://app.example/admin", "/a b", "/a\tb", "/a\x00b", "/a#b", "/a\x7f",
	"/public/%2e%2e/admin", "/public/%2E./admin", "/public/../admin", "/public/..", "/public/.", "/./admin", "/public/./x",
	"//admin", "/public//admin", "/public/..;/admin", "/public/;/admin", "/admin;x=y", "/admin%3bx", "/;/admin", "/..;a=b/admin",
	"/public%2fadmin", "/public%2Fadmin", "/public/..%2fadmin", "/public%5cadmin", "/public/..%5Cadmin", `/public\admin`, `/public/..\admin`,
	"/admin%00.png", "/admin%0a", "/admin%0d%0aX-Auth-Subject: root", "/admin%09", "/admin%7f", "/%00/admin",
	"/public/%252e%252e/admin", "/%2561dmin", "/public/%252fadmin", "/%25%36%31dmin", "/%256%31dmin", "/public/%255cadmin",
	"/%", "/%2", "/%zz", "/%u002e%u002e/admin", "/%25u002fadmin", "/%%32%65%%32%65/admin", "/.%%32%65/admin",
	"/public/%c0%ae%c0%ae/admin", "/public/%c0%afadmin", "/%e0%80%af", "/\xff", "/%ff",
}

func TestHostilePathsAreRejected(t *testing.T) {
	t.Parallel()
	read := table(t, `{"routes": [{"path": "/", "token": "ignored"}, {"path": "/admin", "scopes": ["a"]}, {"path": "/admin/", "scopes": ["a"]}]}`)
	for _, p := range hostile {
		_, err := read.Find("GET", p)
		require.Error(t, err, "%q", p)
		if !strings.ContainsAny(p, "?#") {
			_, err = read.Find("GET", p+"?q=1")
			require.Error(t, err, "%q", p)
		}
	}
	for _, p := range []string{
		"/", "/x?q=../admin", "/x?q=%2f%00;//", "/a.b", "/...", "/.well-known/x", "/a..b", "/..a", "/caf%c3%a9", "/café", "/a%20b", "/100%25",
		"/~u", "/a%2Cb", "/%41",
	} {
		e, err := read.Find("GET", p)
		require.NoError(t, err, p)
		require.Equal(t, routes.Ignored, e.Token, p)
	}
}

// Whatever a server makes of a path with encodings or other letters, it needs what the route for that needs.
func TestEncodedAndUpperCaseLettersLeadToTheProtectedRoute(t *testing.T) {
	t.Parallel()
	read := table(t, `{"routes": [{"path": "/", "token": "ignored"}, {"path": "/admin/", "scopes": ["a"]}]}`)
	for _, p := range []string{"/admin", "/admin/", "/admin/x", "/%61dmin/x", "/%61%64%6d%69%6E", "/ADMIN/x", "/Admin", "/%41dmin/"} {
		e, err := read.Find("GET", p)
		require.NoError(t, err, p)
		require.Equal(t, routes.Required, e.Token, p)
		require.NotEmpty(t, e.Requirements, p)
	}
	twins := table(t, `{"routes": [{"path": "/Files/", "token": "ignored"}, {"path": "/files/", "scopes": ["a"]}]}`)
	for _, p := range []string{"/files/x", "/Files/x", "/FILES/x"} {
		e, err := twins.Find("GET", p)
		require.NoError(t, err, p)
		require.Equal(t, routes.Required, e.Token, "%s: whichever route is first", p)
		require.Len(t, e.Requirements, 1, p)
	}
}

// Letters whose other case is an ASCII letter lead to its route, too: an application that compares paths as strings.EqualFold
// does takes "/uſers" for "/users".
func TestLettersThatFoldLeadToTheProtectedRoute(t *testing.T) {
	t.Parallel()
	read := table(t, `{"routes": [{"path": "/", "token": "ignored"}, {"path": "/keys/", "scopes": ["a"]}, {"path": "/Maße/", "scopes": ["a"]}]}`)
	for _, p := range []string{"/keys/", "/KEYS/x", "/keyſ/", "/\u212aeys", "/%E2%84%AAey%C5%BF/x", "/MAẞE/", "/maße/x"} {
		e, err := read.Find("GET", p)
		require.NoError(t, err, p)
		require.Equal(t, routes.Required, e.Token, p)
	}
	e, err := read.Find("GET", "/keyß/")
	require.NoError(t, err)
	require.Equal(t, routes.Ignored, e.Token)
}

// Each oddity passes if it is allowed, alone, and what it hides does not.
func TestWhatIsAllowedOpensNoOtherRoute(t *testing.T) {
	t.Parallel()
	for odd, c := range map[string]struct{ passes, protected []string }{
		"%2f":  {[]string{"/public/a%2fb", "/public%2Fa"}, []string{"/x%2f", "/%2fadmin/x", "/admin%2fx", "/%61dmin%2Fx"}},
		"%5c":  {[]string{"/public/a%5cb"}, []string{"/admin%5c"}},
		`\`:    {[]string{`/public/a\b`}, []string{`/admin\x`}},
		"%2e":  {[]string{"/public/a%2eb"}, nil},
		"%00":  {[]string{"/public/a%0ab"}, []string{"/admin/%00"}},
		"%25":  {[]string{"/public/a%2541"}, []string{"/%2561dmin/", "/%25%36%31dmin/"}},
		"//":   {[]string{"/public//a"}, []string{"//admin/x", "/admin//x"}},
		"/./":  {[]string{"/public/./a", "/public/."}, []string{"/./admin/x", "/admin/./x"}},
		"/../": {[]string{"/public/a/../b"}, []string{"/public/../admin/x", "/public/../admin/", "/a/b/../../admin/"}},
		";":    {[]string{"/public/a;b=c", "/public/a%3bb"}, []string{"/admin;a/x", "/admin/;a", "/admin%3bx/y"}},
	} {
		escaped := strings.ReplaceAll(odd, `\`, `\\`)
		read := table(t, `{"routes": [{"path": "/", "scopes": ["x"]}, {"path": "/public/", "token": "ignored"}, {"path": "/public", "token": "ignored"},
			{"path": "/admin/", "scopes": ["a"]}], "allowInPaths": ["`+escaped+`"]}`)
		strict := table(t, `{"routes": [{"path": "/", "token": "ignored"}]}`)
		for _, p := range c.passes {
			e, err := read.Find("GET", p)
			require.NoError(t, err, p)
			if !strings.Contains(p, "2F") {
				require.Equal(t, routes.Ignored, e.Token, p)
			}
			_, err = strict.Find("GET", p)
			require.Error(t, err, p)
		}
		for _, p := range c.protected {
			e, err := read.Find("GET", p)
			if err == nil {
				require.Equal(t, routes.Required, e.Token, p)
			}
		}
	}
	// Dots that only an allowed slash sets free, or allowed parameters.
	for allowed, p := range map[string]string{"%2f": "/public/..%2fadmin/", ";": "/public/..;/admin/", `%5c`: "/public/..%5cadmin", "%2e": "/public/%2e%2e/admin", "%25": "/public/%252e%252e/admin"} {
		_, err := routes.Readings(p, allowed)
		require.Error(t, err, p)
	}
}

func TestTheMostSpecificPathDecides(t *testing.T) {
	t.Parallel()
	read := table(t, `{"routes": [
		{"path": "/", "token": "ignored"},
		{"path": "/orders/", "methods": ["GET"], "scopes": ["read"]},
		{"path": "/orders/", "methods": ["POST", "PUT"], "scopes": ["write"]},
		{"path": "/orders/public", "token": "optional"},
		{"path": "/users/", "stepUp": {"maxAge": "5m", "acr": ["mfa"]}, "anyGroup": ["admins"], "clients": ["c"], "noActor": true, "anyScope": ["s"]}
	]}`)
	all := read.Entries()
	for request, want := range map[string]int{
		"GET /": 0, "DELETE /x": 0, "GET /orders": 1, "GET /orders/": 1, "HEAD /orders/1": 1, "POST /orders/1": 2, "HEAD /orders/public": 3,
		"PATCH /orders/public": 3, "GET /orders/public/x": 1, "DELETE /orders/1": 5, "get /orders/1": 5, "OPTIONS /orders/": 5, "GET /users/1": 4,
		"PATCH /orders/public/": 3,
	} {
		method, uri, _ := strings.Cut(request, " ")
		e, err := read.Find(method, uri)
		require.NoError(t, err, request)
		require.Same(t, all[want], e, request)
	}
	strictest := all[5]
	require.Equal(t, routes.Required, strictest.Token)
	require.Len(t, strictest.Requirements, 7, "those of all routes")

	only := table(t, `{"routes": [{"path": "/a", "token": "ignored"}]}`)
	e, err := only.Find("GET", "/b")
	require.NoError(t, err)
	require.Equal(t, routes.Required, e.Token, "the strictest is a valid token at least")
}

func FuzzPath(f *testing.F) {
	for _, p := range hostile {
		f.Add(p, uint16(0))
		f.Add(p, uint16(1<<10-1))
	}
	const doc = `{"routes": [{"path": "/", "token": "ignored"}, {"path": "/admin/", "scopes": ["a"]}]`
	f.Fuzz(func(t *testing.T, uri string, bits uint16) {
		var allowed []string
		for i, odd := range routes.Oddities() {
			if bits>>i&1 == 1 {
				allowed = append(allowed, strings.ReplaceAll(odd, `\`, `\\`))
			}
		}
		text := doc + "}"
		if allowed != nil {
			text = doc + `, "allowInPaths": ["` + strings.Join(allowed, `","`) + `"]}`
		}
		e, err := table(t, text).Find("GET", uri)
		if err != nil {
			return
		}
		raw, _, _ := strings.Cut(uri, "?")
		plain, err := url.PathUnescape(raw)
		require.NoError(t, err)
		if bits == 0 {
			require.Equal(t, plain, path.Clean(plain)+strings.Repeat("/", strings.Count(plain[max(1, len(plain)-1):], "/")), "%q is not clean", uri)
		}
		if slices.ContainsFunc(servers, func(read func(string) string) bool { return strings.HasPrefix(read(raw), "/admin/") }) {
			require.Equal(t, routes.Required, e.Token, "%q", uri)
		}
	})
}

// servers are ways to read a raw path.
var servers = []func(string) string{
	func(p string) string { return p },
	unescape,
	func(p string) string { return unescape(unescape(p)) },
	func(p string) string { return path.Clean(unescape(p)) + "/" },
	func(p string) string { return unescape(path.Clean(p)) + "/" },
	func(p string) string { return path.Clean(strings.ReplaceAll(unescape(p), `\`, "/")) + "/" },
	func(p string) string { return path.Clean(withoutParameters(unescape(p))) + "/" },
	func(p string) string { return path.Clean(unescape(withoutParameters(p))) + "/" },
	func(p string) string { return strings.ToLower(path.Clean(unescape(p))) + "/" },
	func(p string) string { return path.Clean(unescape(unescape(strings.ReplaceAll(p, `\`, "/")))) + "/" },
}

func unescape(p string) string {
	if s, err := url.PathUnescape(p); err == nil {
		return s
	}
	return p
}

func withoutParameters(p string) string {
	segments := strings.Split(p, "/")
	for i := range segments {
		segments[i], _, _ = strings.Cut(segments[i], ";")
	}
	return strings.Join(segments, "/")
}
