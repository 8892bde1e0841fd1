package albauth_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/aws/albauth"
	"github.com/regionjwt/regionjwt/configfile"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/verifier"
)

const theFile = `{
  "policies": [
    {
      "provider": {"cognito": {"pool": "us-east-1_AbCdEf123", "replicas": ["us-west-2"]}},
      "audience": {"cognitoAccess": ["` + client + `"]}
    }
  ],
  "loadBalancers": {
    "us-east-1_AbCdEf123": {
      "arns": ["` + east + `", "` + west + `"],
      "clients": ["` + client + `"],
      "keysURLs": {"` + west + `": "https://proxy.example/"}
    }
  },
  "revocation": {"replica": {"stores": ["rules"]}},
  "stores": {"rules": {"url": "dir:rules"}}
}`

// One file says what the Validator and the load balancers accept, and its rules revoke both.
func TestFromFile(t *testing.T) {
	t.Parallel()
	s, k := newServer(), key(t)
	s.publish(t, eastKeys+uuid(1), k)
	s.publish(t, "https://proxy.example/"+uuid(2), k)
	open := func(text string) *configfile.File {
		path := filepath.Join(t.TempDir(), "regionjwt.json")
		require.NoError(t, os.Mkdir(filepath.Join(filepath.Dir(path), "rules"), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		f, err := configfile.Open(path, configfile.Options{})
		require.NoError(t, err)
		return f
	}
	f := open(theFile)
	v, err := albauth.FromFile(f, "us-east-1_AbCdEf123", func(c *albauth.Config) { c.HTTPClient = &http.Client{Transport: s} })
	require.NoError(t, err)
	require.Equal(t, "rules_unavailable", outcome(v, signed(east, uuid(1), k).String()), "the Validator does not run")
	go func() { _ = f.Validator().Run(t.Context()) }()
	accepted := func(signer, kid string) func() bool {
		return func() bool { return outcome(v, signed(signer, kid, k).String()) == "accepted" }
	}
	require.Eventually(t, accepted(east, uuid(1)), 10*time.Second, 10*time.Millisecond)
	require.Eventually(t, accepted(west, uuid(2)), 10*time.Second, 10*time.Millisecond)
	_, err = f.Validator().Revocation().Add(t.Context(), revocation.Rule{Provider: "us-east-1_AbCdEf123", Subject: "alice"})
	require.NoError(t, err)
	require.Contains(t, outcome(v, signed(east, uuid(1), k).String()), "revoked")

	_, err = albauth.FromFile(f, "other", nil)
	require.ErrorContains(t, err, `has no member "other"`)
	_, err = albauth.FromFile(nil, "other", nil)
	require.Error(t, err)
	_, err = albauth.FromFile(f, "us-east-1_AbCdEf123", func(c *albauth.Config) { c.Clients = nil })
	require.ErrorContains(t, err, "Clients is empty")
}

// blocks is a verifier.Revocation of the application.
type blocks string

func (b blocks) Revoked(t *verifier.Token) (string, error) {
	if t.Subject() == string(b) {
		return "blocked", nil
	}
	return "", nil
}

func (blocks) Changed() <-chan struct{} { return nil }

// Rules that Options.Edit adds to those of the file revoke the tokens of load balancers, too, as they do those of the Validator.
func TestFromFileKeepsTheRulesOfTheApplication(t *testing.T) {
	t.Parallel()
	s, k := newServer(), key(t)
	s.publish(t, eastKeys+uuid(1), k)
	path := filepath.Join(t.TempDir(), "regionjwt.json")
	require.NoError(t, os.Mkdir(filepath.Join(filepath.Dir(path), "rules"), 0o700))
	require.NoError(t, os.WriteFile(path, []byte(theFile), 0o600))
	f, err := configfile.Open(path, configfile.Options{Edit: func(c *regionjwt.Config) error {
		c.Tokens.Revocation = blocks("mallory")
		return nil
	}})
	require.NoError(t, err)
	v, err := albauth.FromFile(f, "us-east-1_AbCdEf123", func(c *albauth.Config) { c.HTTPClient = &http.Client{Transport: s} })
	require.NoError(t, err)
	require.NoError(t, f.Validator().Revocation().Load(t.Context()))
	alice := signed(east, uuid(1), k)
	require.Equal(t, "accepted", outcome(v, alice.String()))
	require.Contains(t, outcome(v, alice.with(nil, map[string]any{"sub": "mallory"}).String()), "revoked")
	_, err = f.Validator().Revocation().Add(t.Context(), revocation.Rule{Provider: "us-east-1_AbCdEf123", Subject: "alice"})
	require.NoError(t, err)
	require.Contains(t, outcome(v, alice.String()), "revoked")
}
