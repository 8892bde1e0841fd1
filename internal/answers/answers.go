// Package answers makes every kind of failure happen, and reads the table that says what clients are told of it, so that
// the adapters can be held against one list.
package answers

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/verifier"
)

// Row is what a client is told: a row of docs/answers.md.
type Row struct {
	Status                string // of HTTP
	Challenge, RetryAfter string
	Code, RetryInfo       string // of gRPC
	Reason                string
}

// Rows reads the table.
func Rows(t issuertest.TB, path string) map[string]Row {
	text, err := os.ReadFile(path) //nolint:gosec // a file of this repository
	if err != nil {
		t.Fatalf("%v", err)
	}
	rows := map[string]Row{}
	for line := range strings.SplitSeq(string(text), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 9 || strings.Contains(line, "---") || strings.Contains(line, "| what happened |") {
			continue
		}
		for i := range cells {
			cells[i] = strings.Trim(strings.TrimSpace(cells[i]), "`")
		}
		rows[cells[1]] = Row{
			Status: cells[2], Challenge: cells[3], RetryAfter: cells[4], Code: cells[5], RetryInfo: cells[6], Reason: cells[7],
		}
	}
	return rows
}

// Case is a request that fails, or one that passes where Name is Good.
type Case struct {
	Name          string
	Verifier      middleware.Verifier
	Authorization []string
	Requirements  []middleware.Requirement
	Certificates  middleware.Mode
}

// Good names the one case that passes.
const Good = "a good token"

// Secret is a text that every token holds, and that no answer may.
const Secret = "s3cr3t-subject"

const (
	east = "us-east-1"
	west = "us-west-2"
)

// fixture is what cases are made of.
type fixture struct {
	world *issuertest.World
	good  verifier.Config
	cases []Case
}

// Cases makes every failure of the table happen.
func Cases(t issuertest.TB) []Case {
	f := &fixture{world: issuertest.New(t, issuertest.Config{Algorithm: "ES256", Layout: issuertest.OneIssuer})}
	f.good = f.config(t, f.world)
	f.credentials(t)
	f.tokens(t)
	f.policies(t)
	f.requirements(t)
	f.outages(t)
	return f.cases
}

func (f *fixture) config(t issuertest.TB, w *issuertest.World) verifier.Config {
	return f.configOf(t, w, jwks.Config{HTTPClient: w.Client()})
}

func (f *fixture) configOf(t issuertest.TB, w *issuertest.World, c jwks.Config) verifier.Config {
	keys, err := jwks.New([]issuer.Provider{w.Provider()}, c)
	if err != nil {
		t.Fatalf("%v", err)
	}
	_ = keys.Preload(context.Background()) // some regions are dark
	return verifier.Config{Keys: keys, Policies: []verifier.Policy{{
		Provider: w.Provider(), Audience: verifier.Audience(issuertest.Audience),
		Names: verifier.ClaimNames{Groups: []string{"groups"}},
	}}}
}

// add adds a case in which a token is presented to the verifier of a configuration.
func (f *fixture) add(t issuertest.TB, name string, c verifier.Config, token string, more ...middleware.Requirement) *Case {
	v, err := verifier.New(c)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	f.cases = append(f.cases, Case{
		Name: name, Verifier: v, Authorization: []string{"Bearer " + token},
		Requirements: append([]middleware.Requirement{middleware.Scopes("orders/read")}, more...),
	})
	return &f.cases[len(f.cases)-1]
}

// token mints a token in east.
func (f *fixture) token(c issuertest.Claims) string {
	c.Subject = Secret
	return f.world.Token(east, c)
}

func (f *fixture) credentials(t issuertest.TB) {
	good := f.token(issuertest.Claims{})
	f.add(t, Good, f.good, good)
	for name, values := range map[string][]string{
		"no token":                         nil,
		"credentials of another scheme":    {"Basic " + Secret},
		"two Authorization values":         {"Bearer " + good, "Bearer " + good},
		"a list of tokens":                 {"Bearer " + good + ", Bearer " + good},
		"a control character in the token": {"Bearer " + good + "\x01"},
		"not a token":                      {"Bearer " + Secret},
		"a token of 20 KiB":                {"Bearer " + strings.Repeat(Secret, 20<<10/len(Secret)+1)},
	} {
		f.add(t, name, f.good, "").Authorization = values
	}
}

func (f *fixture) tokens(t issuertest.TB) {
	for name, c := range map[string]issuertest.Claims{
		"a bad signature":              {Forge: true},
		"an expired token":             {ExpiresIn: -time.Hour},
		"a token for another client":   {Audience: []string{Secret}},
		"a token of an unknown issuer": {Issuer: "https://elsewhere.example.com"},
	} {
		f.add(t, name, f.good, f.token(c))
	}
	unknown := f.token(issuertest.Claims{Header: map[string]any{"kid": "unknown"}})
	f.add(t, "a key that no region publishes", f.good, unknown)
	f.keys(t)
}

// keys adds tokens of keys that are published and not allowed, and of too many that are not.
func (f *fixture) keys(t issuertest.TB) {
	leaky := issuertest.New(t, issuertest.Config{Algorithm: "ES256", Layout: issuertest.IssuerPerRegion})
	leaky.Rotate(east)
	leaky.Corrupt(east, leak(t, leaky))
	token := leaky.Token(east, issuertest.Claims{Subject: Secret})
	f.add(t, "a key that is published with its private half", f.config(t, leaky), token)

	busy := f.configOf(t, f.world, jwks.Config{HTTPClient: f.world.Client(), UnknownKeyInterval: time.Hour, UnknownKeyWait: -1})
	token = f.token(issuertest.Claims{Header: map[string]any{"kid": "unknown"}})
	limited := f.add(t, "too many unknown keys are asked for", busy, token)
	for i := range 100_000 { // until the burst is used up
		other := f.token(issuertest.Claims{Header: map[string]any{"kid": fmt.Sprint("unknown-", i)}})
		_, err := limited.Verifier.Verify(context.Background(), other)
		var e *verifier.Error
		if errors.As(err, &e) && e.RetryAfter == time.Minute {
			break
		}
	}
}

// leak returns the key set of east, whose last key tells its private half.
func leak(t issuertest.TB, w *issuertest.World) []byte {
	resp, err := w.Client().Get(w.Provider().Regions[0].JWKSURLs[0])
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer func() { _ = resp.Body.Close() }()
	doc, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%v", err)
	}
	d := `,"d":"` + base64.RawURLEncoding.EncodeToString(make([]byte, 32)) + `"}]}` // any number of that size
	return []byte(strings.TrimSuffix(string(doc), "}]}") + d)
}

// policy refuses every region.
type policy struct{}

func (policy) Admit(string, []string, time.Time) error { return errors.New(Secret) }

// revoker has one answer for all.
type revoker struct {
	rule string
	err  error
}

func (r revoker) Revoked(*verifier.Token) (string, error) { return r.rule, r.err }
func (revoker) Version() uint64                           { return 1 }
func (revoker) Changed() <-chan struct{}                  { return nil }

func (f *fixture) policies(t issuertest.TB) {
	good := f.token(issuertest.Claims{})
	changed := func(change func(*verifier.Config)) verifier.Config {
		c := f.good
		c.Policies = []verifier.Policy{f.good.Policies[0]}
		change(&c)
		return c
	}
	f.add(t, "a revoked token", changed(func(c *verifier.Config) { c.Revocation = revoker{rule: Secret} }), good)
	dark := changed(func(c *verifier.Config) { c.Revocation = revoker{err: errors.New(Secret)} })
	f.add(t, "the revocation rules are not known", dark, good)
	f.add(t, "a token of an inactive region", changed(func(c *verifier.Config) { c.Policies[0].Regions = policy{} }), good)
	for name, category := range map[string]error{
		"Policy.Check refuses":     errors.New(Secret),
		"Policy.Check forbids":     verifier.ErrForbidden,
		"Policy.Check cannot tell": verifier.ErrUnavailable,
		"Policy.Check is limited":  verifier.ErrRateLimited,
	} {
		f.add(t, name, changed(func(c *verifier.Config) {
			err := errors.Join(errors.New(Secret), category)
			c.Policies[0].Check = func(context.Context, *verifier.Token) error { return err }
		}), good)
	}
	f.cases = append(f.cases, Case{
		Name: "an error that nobody knows", Verifier: odd{}, Authorization: []string{"Bearer " + good},
	})
}

// odd is a verifier of somebody else.
type odd struct{}

func (odd) Verify(context.Context, string) (*verifier.Token, error) { return nil, errors.New(Secret) }

func (f *fixture) requirements(t issuertest.TB) {
	good := f.token(issuertest.Claims{})
	writes := f.add(t, "a scope is lacking", f.good, good)
	writes.Requirements = []middleware.Requirement{middleware.Scopes("orders/write")}
	groups := f.add(t, "a group is lacking", f.good, good)
	groups.Requirements = []middleware.Requirement{middleware.Groups("admins")}
	f.add(t, "the user signed in too long ago", f.good,
		f.token(issuertest.Claims{Set: map[string]any{"acr": "mfa", "auth_time": time.Now().Add(-time.Hour).Unix()}}),
		middleware.StepUp(middleware.StepUpChallenge{ACR: []string{"mfa"}, MaxAge: 5 * time.Minute}, nil))
	plain := f.token(issuertest.Claims{Header: map[string]any{"typ": "JWT"}})
	f.add(t, "not of the profile of RFC 9068", f.good, plain, middleware.AccessTokenProfile())
	bound := f.token(issuertest.Claims{Set: map[string]any{"cnf": map[string]any{middleware.CertificateThumbprint: Secret}}})
	f.add(t, "bound to a certificate, used without", f.good, bound).Certificates = middleware.Accepted
	f.add(t, "bound to nothing, where it has to be", f.good, good).Certificates = middleware.Required
}

func (f *fixture) outages(t issuertest.TB) {
	dark := issuertest.New(t, issuertest.Config{Algorithm: "ES256", Layout: issuertest.IssuerPerRegion})
	dark.Break(east)
	f.add(t, "the region is dark from the start", f.config(t, dark), dark.Token(east, issuertest.Claims{Subject: Secret}))
	half := issuertest.New(t, issuertest.Config{Algorithm: "ES256", Layout: issuertest.OneIssuer})
	half.Break(west)
	f.add(t, "an unknown key, and a region is dark", f.config(t, half),
		half.Token(east, issuertest.Claims{Subject: Secret, Header: map[string]any{"kid": "unknown"}}))
	f.add(t, "a bad signature, and a region has been dark from the start", f.config(t, half),
		half.Token(east, issuertest.Claims{Subject: Secret, Forge: true}))
}
