package jwks_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
)

const oauthURL = "https://idp.example/.well-known/oauth-authorization-server/p" // RFC 8414, section 3.1

// says makes a server answer with a document.
func (s *server) says(doc string) {
	s.set(func(s *server) {
		s.answer = func(r *http.Request) *http.Response { return response(r, http.StatusOK, nil, []byte(doc)) }
	})
}

// metadata is a document of the issuer whose keys are at a URL.
func metadata(jwksURI string) string {
	return `{"issuer":"` + movedIssuer + `","jwks_uri":"` + jwksURI + `"}`
}

// tenant is a provider whose JWKS URL is discovered.
func tenant() issuer.Provider {
	return issuer.Provider{ID: "p", Regions: []issuer.Region{{Name: "a", Issuers: []string{movedIssuer}}}}
}

// badMetadata are documents that are not believed.
var badMetadata = map[string]string{
	"another issuer":          `{"issuer":"https://idp.example/q","jwks_uri":"` + keysURL + `"}`,
	"issuer with a slash":     `{"issuer":"` + movedIssuer + `/","jwks_uri":"` + keysURL + `"}`,
	"issuer in upper case":    `{"issuer":"https://IDP.example/p","jwks_uri":"` + keysURL + `"}`,
	"issuer with a port":      `{"issuer":"https://idp.example:443/p","jwks_uri":"` + keysURL + `"}`,
	"issuer with a space":     `{"issuer":"` + movedIssuer + ` ","jwks_uri":"` + keysURL + `"}`,
	"no issuer":               `{"jwks_uri":"` + keysURL + `"}`,
	"issuer is no text":       `{"issuer":["` + movedIssuer + `"],"jwks_uri":"` + keysURL + `"}`,
	"ISSUER":                  `{"ISSUER":"` + movedIssuer + `","jwks_uri":"` + keysURL + `"}`,
	"issuer twice":            `{"issuer":"x","issuer":"` + movedIssuer + `","jwks_uri":"` + keysURL + `"}`,
	"jwks_uri twice":          `{"issuer":"` + movedIssuer + `","jwks_uri":"https://x.example","jwks_uri":"` + keysURL + `"}`,
	"no jwks_uri":             `{"issuer":"` + movedIssuer + `"}`,
	"empty jwks_uri":          metadata(""),
	"relative jwks_uri":       metadata("/jwks.json"),
	"jwks_uri is no text":     `{"issuer":"` + movedIssuer + `","jwks_uri":["` + keysURL + `"]}`,
	"jwks_uri over http":      metadata("http://keys.example/jwks.json"),
	"jwks_uri on loopback":    metadata("http://127.0.0.1:8500/jwks.json"),
	"jwks_uri of a file":      metadata("file:///etc/passwd"),
	"jwks_uri of 3,000 bytes": metadata(keysURL + "?" + strings.Repeat("x", 3000)),
	"a key set":               `{"keys":[]}`,
	"a list":                  `[` + metadata(keysURL) + `]`,
	"not JSON":                `issuer: ` + movedIssuer,
	"more than JSON":          metadata(keysURL) + `{}`,
	"nothing":                 ``,
}

func TestDiscoveryIsStrict(t *testing.T) {
	t.Parallel()
	for name, doc := range badMetadata {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				defer time.Sleep(time.Minute)
				n := newServers()
				n.at(metadataURL).says(doc)
				n.at(keysURL).list("one")
				c := newCache(t, n, jwks.Config{}, tenant())
				require.Equal(t, 503, ask(t.Context(), c, "p", "one"))
				require.Equal(t, 1, n.at(metadataURL).requests())
				require.Zero(t, n.at(keysURL).requests(), "no key set is fetched")
				require.Contains(t, []string{"discovery", "malformed"}, c.Status()[0].Failure)
				n.at(metadataURL).says(metadata(keysURL))
				require.LessOrEqual(t, until(t, c, "p", "one"), 2*time.Second)
			})
		})
	}
}

// An issuer that has only the metadata of OAuth (RFC 8414) is found, and those are as strict. A document that the region names
// is the only one that is asked for.
func TestOtherMetadata(t *testing.T) {
	t.Parallel()
	good := metadata(keysURL)
	for name, tc := range map[string]struct {
		openID, oauth, other string // documents; "" is not found
		discovery            string // URL of the region
		want                 int
		asked                []string
	}{
		"OpenID Connect":          {openID: good, want: 200, asked: []string{metadataURL}},
		"OAuth":                   {oauth: good, want: 200, asked: []string{metadataURL, oauthURL}},
		"both":                    {openID: good, oauth: metadata("https://x.example"), want: 200, asked: []string{metadataURL}},
		"first is bad":            {openID: `{}`, oauth: good, want: 503, asked: []string{metadataURL}},
		"OAuth of another issuer": {oauth: badMetadata["another issuer"], want: 503, asked: []string{metadataURL, oauthURL}},
		"neither":                 {want: 503, asked: []string{metadataURL, oauthURL}},
		"URL":                     {other: good, discovery: newKeysURL, want: 200, asked: []string{newKeysURL}},
		"URL of another issuer": {
			other: badMetadata["another issuer"], discovery: newKeysURL, want: 503, asked: []string{newKeysURL},
		},
		"URL that is not found": {openID: good, oauth: good, discovery: newKeysURL, want: 503, asked: []string{newKeysURL}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				defer time.Sleep(time.Minute)
				n := newServers()
				n.at(keysURL).list("one")
				documents := map[string]string{metadataURL: tc.openID, oauthURL: tc.oauth, newKeysURL: tc.other}
				for url, doc := range documents {
					if n.at(url).set(func(s *server) { s.status = http.StatusNotFound }); doc != "" {
						n.at(url).says(doc)
					}
				}
				p := tenant()
				p.Regions[0].DiscoveryURL = tc.discovery
				c := newCache(t, n, jwks.Config{}, p)
				require.Equal(t, tc.want, ask(t.Context(), c, "p", "one"))
				var asked []string
				for _, url := range []string{metadataURL, oauthURL, newKeysURL} {
					if n.at(url).requests() > 0 {
						asked = append(asked, url)
					}
				}
				require.Equal(t, tc.asked, asked)
				require.Equal(t, movedIssuer, c.Status()[0].URL)
			})
		})
	}
}

// Metadata and a key set that begin with a byte order mark are read.
func TestByteOrderMark(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		n.at(metadataURL).says("\xEF\xBB\xBF" + metadata(keysURL))
		n.at(keysURL).says("\xEF\xBB\xBF" + string(document([]string{"one"}, nil)))
		c := newCache(t, n, jwks.Config{}, tenant())
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		n.at(keysURL).says("\xEF\xBB\xBF\xEF\xBB\xBF" + string(document([]string{"one", "two"}, nil)))
		require.Equal(t, 503, ask(t.Context(), c, "p", "two"), "one is enough")
	})
}

// Metadata that hang do not keep the keys from being fetched from the last URL. When the keys move and the old URL is dead,
// they are found.
func TestDiscoveryHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n := newServers()
		n.at(metadataURL).says(metadata(oldKeysURL))
		n.at(oldKeysURL).list("one")
		n.at(newKeysURL).list("two")
		c := newCache(t, n, jwks.Config{}, tenant())
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go func() { _ = c.Run(ctx) }()
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		n.at(metadataURL).set(func(s *server) { s.hangs = true })
		for range 72 {
			time.Sleep(time.Hour)
			require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		}
		require.Less(t, time.Since(c.Status()[0].LastSuccess), 20*time.Minute)
		n.at(metadataURL).set(heal)
		n.at(metadataURL).says(metadata(newKeysURL))
		n.at(oldKeysURL).set(func(s *server) { s.hangs = true })
		time.Sleep(time.Hour)
		require.Equal(t, 200, ask(t.Context(), c, "p", "two"))
	})
}

// An ETag belongs to its URL. After a move the new URL is asked without that of the old one, whatever comes between.
func TestETagIsThatOfItsURL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n := newServers()
		n.at(metadataURL).says(metadata(oldKeysURL))
		tagged := func(url, kid string) { // a server that takes its own version for that of anybody else
			body := document([]string{kid}, nil)
			n.at(url).set(func(s *server) {
				s.answer = func(r *http.Request) *http.Response {
					if r.Header.Get("If-None-Match") == `"v1"` {
						return response(r, http.StatusNotModified, nil, nil)
					}
					return response(r, http.StatusOK, http.Header{"Etag": {`"v1"`}}, body)
				}
			})
		}
		tagged(oldKeysURL, "one")
		c := newCache(t, n, jwks.Config{}, tenant())
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		n.at(metadataURL).says(metadata(newKeysURL))
		n.at(oldKeysURL).set(func(s *server) { s.status, s.answer = http.StatusGone, nil })
		n.at(newKeysURL).set(func(s *server) { s.status = http.StatusInternalServerError })
		time.Sleep(17 * time.Minute)
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"), "it is refreshed meanwhile")
		synctest.Wait()
		require.NotZero(t, n.at(newKeysURL).requests())
		require.Empty(t, n.at(newKeysURL).last().Get("If-None-Match"))
		tagged(newKeysURL, "two")
		time.Sleep(17 * time.Minute)
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		synctest.Wait()
		require.Equal(t, 200, ask(t.Context(), c, "p", "two"))
	})
}

// Keys that the last URL lists are used at once, also if a made-up key ID has the metadata read, which hang.
func TestKeysOfTheLastURLDoNotWaitForTheMetadata(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n := newServers()
		n.at(metadataURL).says(metadata(keysURL))
		n.at(keysURL).list("one")
		c := newCache(t, n, jwks.Config{}, tenant())
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		time.Sleep(10 * time.Minute)
		n.at(metadataURL).set(func(s *server) { s.hangs = true })
		n.at(keysURL).list("one", "two")
		n.at(keysURL).set(func(s *server) { s.delay = 10 * time.Millisecond })
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() { require.Contains(t, []int{429, 503}, ask(t.Context(), c, "p", "made-up")) })
		time.Sleep(time.Millisecond)
		took := timed(func() { require.Equal(t, 200, ask(t.Context(), c, "p", "two")) })
		require.Less(t, took, 50*time.Millisecond)
	})
}

// The key set has moved, the old URL goes on serving the old one, and the new set has other material under a kid of the old one.
// The refresh that a wrong signature causes reads the metadata, too.
func TestAWrongSignatureFindsAKeySetThatHasMoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n := newServers()
		old, fresh := as(material("old"), "k", "ES256"), as(material("fresh"), "k", "ES256")
		n.at(metadataURL).says(metadata(oldKeysURL))
		n.at(oldKeysURL).publish(old)
		n.at(newKeysURL).publish(fresh)
		c := newCache(t, n, jwks.Config{}, tenant())
		require.Equal(t, []string{thumbprint(t, old)}, thumbprints(look(t, c, "k", "ES256")))
		time.Sleep(10 * time.Minute)
		n.at(metadataURL).says(metadata(newKeysURL))
		look(t, c, "k", "ES256", thumbprint(t, old))
		synctest.Wait()
		require.Equal(t, []string{thumbprint(t, fresh)}, thumbprints(look(t, c, "k", "ES256", thumbprint(t, old))))
	})
}
