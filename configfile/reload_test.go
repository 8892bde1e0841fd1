package configfile_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/configfile"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
)

// writeCA writes a new CA certificate.
func writeCA(t *testing.T, path string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
}

// one is a policy for a provider of one region.
func one(id, iss string) string {
	return `{"provider": {"id": "` + id + `", "regions": [{"name": "eu", "issuers": ["` + iss + `"], "jwksURLs": ["https://` + id + `.example/keys"]}]},
	  "audience": {"audience": ["client"]}, "algorithms": ["ES256"]}`
}

func file(policies ...string) string { return `{"policies": [` + strings.Join(policies, ",\n") + `]}` }

// stage is a file in use, and the fake providers that it names.
type stage struct {
	t       *testing.T
	file    *configfile.File
	path    string
	log     bytes.Buffer
	servers map[string]*issuertest.Server
	clients map[string]*http.Client
	reports recorder
	logger  *slog.Logger
}

// recorder keeps what the hook OnReload is called with.
type recorder struct {
	mu      sync.Mutex
	reports []error
}

// take returns the reports since the last call.
func (r *recorder) take() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.reports
	r.reports = nil
	return got
}

// report is the hook.
func (r *recorder) report(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reports = append(r.reports, err)
}

func newStage(t *testing.T, text string) *stage {
	t.Helper()
	s := &stage{t: t, path: filepath.Join(t.TempDir(), "regionjwt.json"), servers: map[string]*issuertest.Server{}, clients: map[string]*http.Client{}}
	for _, id := range []string{"one", "two"} {
		s.servers[id] = issuertest.New(t, issuer.Provider{ID: id, Regions: []issuer.Region{
			{Name: "eu", Issuers: []string{"urn:" + id}, JWKSURLs: []string{"https://" + id + ".example/keys"}},
		}}, issuertest.Config{Algorithm: "ES256", Audience: "client"})
		s.clients[id] = s.servers[id].Provider().HTTPClient
	}
	s.logger = slog.New(slog.NewTextHandler(&s.log, nil))
	s.write(text)
	f, err := configfile.Open(s.path, configfile.Options{Edit: s.edit, OnReload: s.reports.report})
	require.NoError(t, err)
	s.file = f
	return s
}

// edit connects the providers with the fake ones.
func (s *stage) edit(c *regionjwt.Config) error {
	c.Logger = s.logger
	for i := range c.Policies {
		c.Policies[i].Provider.HTTPClient = s.clients[c.Policies[i].Provider.ID]
	}
	return nil
}

func (s *stage) write(text string) {
	s.t.Helper()
	require.NoError(s.t, os.WriteFile(s.path, []byte(text), 0o600))
}

// accepts reports whether a token of a provider is accepted.
func (s *stage) accepts(id string) bool {
	_, err := s.file.Validator().Verify(s.t.Context(), s.servers[id].Issue("eu", issuertest.Claims{}))
	return err == nil
}

// A file that is right replaces the policies; keys that were fetched are not fetched again.
func TestReloadReplacesPoliciesAndKeepsKeys(t *testing.T) {
	t.Parallel()
	s := newStage(t, file(one("one", "urn:one")))
	require.True(t, s.accepts("one"))
	require.False(t, s.accepts("two"))
	s.servers["one"].Break("eu") // a key that was lost could not be fetched again
	s.write(file(one("two", "urn:two"), one("one", "urn:one")))
	require.NoError(t, s.file.Reload())
	require.True(t, s.accepts("one"))
	require.True(t, s.accepts("two"))
	require.Len(t, s.file.Config().Policies, 2)
	s.write(file(one("two", "urn:two")))
	require.NoError(t, s.file.Reload())
	require.False(t, s.accepts("one"))
	require.Equal(t, []error{nil, nil}, s.reports.take())
	require.Contains(t, s.log.String(), "configuration file is in effect")
}

// A warning about a policy is logged when the policy is new, not again for each file that still has it.
func TestReloadRepeatsNoWarning(t *testing.T) {
	t.Parallel()
	s := newStage(t, file(one("one", "urn:one")))
	const text = "access tokens and ID tokens cannot be told apart"
	require.Equal(t, 1, strings.Count(s.log.String(), text))
	s.write(file(one("one", "urn:one"), one("two", "urn:two")))
	require.NoError(t, s.file.Reload())
	require.Equal(t, 2, strings.Count(s.log.String(), text), "of the second provider")
	s.write(file(one("two", "urn:two"), one("one", "urn:one")))
	require.NoError(t, s.file.Reload())
	require.Equal(t, 2, strings.Count(s.log.String(), text))
}

// WrapKeys is called once: what only checks a file that has changed needs no source of keys.
func TestReloadWrapsNoKeysAgain(t *testing.T) {
	t.Parallel()
	path, wrapped := filepath.Join(t.TempDir(), "regionjwt.json"), 0
	require.NoError(t, os.WriteFile(path, []byte(file(one("one", "urn:one"))), 0o600))
	f, err := configfile.Open(path, configfile.Options{Edit: func(c *regionjwt.Config) error {
		c.WrapKeys = func(s jwks.Source) jwks.Source { wrapped++; return s }
		return nil
	}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte(file(one("one", "urn:one"), one("two", "urn:two"))), 0o600))
	require.NoError(t, f.Reload())
	require.Len(t, f.Config().Policies, 2)
	require.Equal(t, 1, wrapped)
}

// A file with a problem changes nothing, and the problem is told.
func TestAWrongFileChangesNothing(t *testing.T) {
	t.Parallel()
	s := newStage(t, file(one("one", "urn:one")))
	for _, text := range []string{
		"", "{", `{"policies": []}`, file(one("two", "urn:one"), one("one", "urn:one")), file(one("two", "urn:two")) + "x",
		strings.Replace(file(one("two", "urn:two")), `"algorithms"`, `"algos"`, 1),
		strings.TrimSuffix(file(one("two", "urn:two")), "}") + `, "keys": {"maxStale": "1ms"}}`,
	} {
		s.write(text)
		err := s.file.Reload()
		require.Error(t, err, text)
		require.NotErrorIs(t, err, configfile.ErrRestart)
		require.True(t, s.accepts("one"), text)
		require.False(t, s.accepts("two"), text)
		require.Len(t, s.file.Config().Policies, 1)
	}
	require.NoError(t, os.Remove(s.path))
	require.Error(t, s.file.Reload())
	require.True(t, s.accepts("one"))
	require.Contains(t, s.log.String(), "configuration file is not used")
}

// A change of anything else is told, by its path, until it is taken back; policies are replaced all the same.
func TestAChangeElsewhereNeedsARestart(t *testing.T) {
	t.Parallel()
	f, dir, err := openAll(t, all, configfile.Options{})
	require.NoError(t, err)
	path := filepath.Join(dir, "regionjwt.json")
	for old, c := range map[string]struct{ text, want string }{
		`"maxKeys": 10`:            {`"maxKeys": 11`, "a change of keys.maxKeys"},
		`"leeway": "10s", `:        {``, "a change of tokens.leeway"},
		`mem://here/0`:             {`mem://here/1`, "a change of stores.shared.url"},
		`"threshold": 2`:           {`"threshold": 3`, "a change of failover.p.threshold"},
		`"stores": ["shared", "o`:  {`"stores": ["o`, "a change of revocation.replica.stores"},
		`"maxAge": "1h", `:         {``, ""},
		`"$schema": "schema.json"`: {`"$schema": "x"`, ""},
		"  \"tokens\"":             {"\n\n\n  \"tokens\"", ""},
	} {
		require.Contains(t, all, old)
		require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(all, old, c.text)), 0o600))
		err := f.Reload()
		if c.want == "" {
			require.NoError(t, err, old)
			continue
		}
		require.ErrorIs(t, err, configfile.ErrRestart, old)
		require.ErrorContains(t, err, c.want)
		require.NotContains(t, err.Error(), ", keys")
	}
	require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(all, `"maxAge": "1h"`, `"maxAge": "30m"`)), 0o600))
	require.NoError(t, f.Reload())
	require.Equal(t, 30*time.Minute, f.Config().Policies[0].MaxAge)
	keyFiles(t, dir)
	err = f.Reload()
	require.ErrorIs(t, err, configfile.ErrRestart)
	require.ErrorContains(t, err, "the content of "+filepath.Join(dir, "operators.key.pub"))
}

// A file is followed without signals: a change is applied when it has stood for one interval, and told once.
func TestFollow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, file(one("one", "urn:one")))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		signals := make(chan os.Signal, 1)
		go func() { done <- s.file.Follow(ctx, signals) }()
		after := func(d time.Duration) []error {
			time.Sleep(d)
			synctest.Wait()
			return s.reports.take()
		}
		require.Empty(t, after(time.Minute), "nothing has changed")
		s.write(file(one("two", "urn:two")))
		require.Empty(t, after(6*time.Second), "it may still be written")
		require.Equal(t, []error{nil}, after(5*time.Second))
		require.Equal(t, "two", s.file.Config().Policies[0].Provider.ID)
		require.Empty(t, after(time.Minute))

		s.write(`{`)
		require.Len(t, after(time.Minute), 1, "a problem is told once")
		s.write(`{"policies"`)
		require.Len(t, after(time.Minute), 1, "another one, too")
		s.write(file(one("two", "urn:two")))
		require.Equal(t, []error{nil}, after(time.Minute), "and its end")

		for i := range 12 { // a file that does not come to rest
			s.write(file(one("one", "urn:one")) + strings.Repeat(" ", i))
			require.Empty(t, after(5*time.Second))
		}
		require.Equal(t, []error{nil}, after(10*time.Second))

		s.write(file(one("two", "urn:two")))
		signals <- syscall.SIGHUP
		require.Equal(t, []error{nil}, after(0), "a signal does not wait")
		require.Empty(t, after(time.Minute))
		close(signals)
		require.Empty(t, after(time.Minute))
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
	})
}

// The files that a file names are followed, too, also after a problem with one of them.
func TestFollowSeesNamedFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	writeCA(t, ca)
	text := strings.ReplaceAll(least, `.example"}`, `.example", "caFile": "ca.pem"}`)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "regionjwt.json"), []byte(text), 0o600))
	synctest.Test(t, func(t *testing.T) {
		var reports recorder
		f, err := configfile.Open(filepath.Join(dir, "regionjwt.json"), configfile.Options{
			PollInterval: time.Second, OnReload: func(err error) { reports.report(err); panic("boom") },
		})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { _ = f.Follow(ctx, nil); close(done) }()
		for i, change := range []func(){
			func() { require.NoError(t, os.Remove(ca)) },
			func() { writeCA(t, ca) },
			func() { require.NoError(t, os.Chmod(ca, 0o666)) },
			func() { require.NoError(t, os.Chmod(ca, 0o600)) },
		} {
			change()
			time.Sleep(10 * time.Second)
			synctest.Wait()
			got := reports.take()
			require.Len(t, got, 1)
			require.Equal(t, i%2 == 1, got[0] == nil, "%d: %v", i, got[0])
		}
		cancel()
		<-done
	})
}

// Without polling, only signals count.
func TestFollowSignalsOnly(t *testing.T) {
	t.Parallel()
	path := write(t, "regionjwt.json", least)
	synctest.Test(t, func(t *testing.T) {
		n := 0
		f, err := configfile.Open(path, configfile.Options{PollInterval: -1, OnReload: func(error) { n++ }})
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		signals := make(chan os.Signal, 1)
		require.NoError(t, os.WriteFile(path, []byte("{"), 0o600))
		time.AfterFunc(time.Minute, func() { signals <- syscall.SIGHUP })
		require.ErrorIs(t, f.Follow(ctx, signals), context.DeadlineExceeded)
		require.Equal(t, 1, n)
	})
}

var errPlanned = errors.New("planned")

// A problem of Edit at a reload is one of the file; what is in effect stays.
func TestEditAtReload(t *testing.T) {
	t.Parallel()
	fail := false
	f, err := open(t, least, configfile.Options{Edit: func(*regionjwt.Config) error {
		if fail {
			return errPlanned
		}
		return nil
	}})
	require.NoError(t, err)
	fail = true
	require.ErrorIs(t, f.Reload(), errPlanned)
	require.Len(t, f.Config().Policies, 1)
}
