// Package answers causes every kind of failure, and reads the table of what clients are told, so that the adapters are tested
// against one list.
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

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
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
	REST, HTTPAPI         string // the status of API Gateway with a Lambda authorizer; - if there is no such case
}

// Rows reads the table.
func Rows(t fakeissuer.TB, path string) map[string]Row {
	text, err := os.ReadFile(path) //nolint:gosec // a file of this repository
	if err != nil {
		t.Fatalf("%v", err)
	}
	rows := map[string]Row{}
	for line := range strings.SplitSeq(string(text), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 11 || strings.Contains(line, "---") || strings.Contains(line, "| what happened |") {
			continue
		}
		for i := range cells {
			cells[i] = strings.Trim(strings.TrimSpace(cells[i]), "`")
		}
		rows[cells[1]] = Row{
			Status: cells[2], Challenge: cells[3], RetryAfter: cells[4], Code: cells[5], RetryInfo: cells[6], Reason: cells[7],
			REST: cells[8], HTTPAPI: cells[9],
		}
	}
	return rows
}

// Case is a request that fails, or one that passes where Name is Good.
type Case struct {
	Name               string
	Verifier           middleware.Verifier
	Authorization      []string
	Requirements       []middleware.Requirement
	RequireCertificate bool
}

// Good names the one case that passes.
const Good = "a good token"

// Secret is a text that every token contains, and that no answer may contain.
const Secret = "s3cr3t-subject"

const (
	east = "us-east-1"
	west = "us-west-2"
)

// parts are the arguments of verifier.New.
type parts struct {
	verifier.Config
	policies []verifier.Policy
	keys     jwks.Source
}

// fixture makes the cases.
type fixture struct {
	fake  *fakeissuer.Server
	good  parts
	cases []Case
}

// Cases causes every failure of the table.
func Cases(t fakeissuer.TB) []Case {
	f := &fixture{fake: fakeissuer.New(t, fakeissuer.Config{Algorithm: "ES256", Layout: fakeissuer.OneIssuer})}
	f.good = f.config(t, f.fake)
	f.credentials(t)
	f.tokens(t)
	f.policies(t)
	f.requirements(t)
	f.outages(t)
	return f.cases
}

func (f *fixture) config(t fakeissuer.TB, w *fakeissuer.Server) parts {
	return f.configOf(t, w, jwks.Config{HTTPClient: w.Client()})
}

func (f *fixture) configOf(t fakeissuer.TB, w *fakeissuer.Server, c jwks.Config) parts {
	keys, err := jwks.New([]issuer.Provider{w.Provider()}, c)
	if err != nil {
		t.Fatalf("%v", err)
	}
	_ = keys.Preload(context.Background()) // some regions are unavailable
	return parts{keys: keys, policies: []verifier.Policy{{
		Provider: w.Provider(), Audience: verifier.Audience(fakeissuer.Audience),
		GroupClaims: []string{"groups"},
	}}}
}

// add adds a case in which a token is presented to the verifier of a configuration.
func (f *fixture) add(t fakeissuer.TB, name string, c parts, token string, more ...middleware.Requirement) *Case {
	v, err := verifier.New(c.policies, c.keys, c.Config)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	f.cases = append(f.cases, Case{
		Name: name, Verifier: v, Authorization: []string{"Bearer " + token},
		Requirements: append([]middleware.Requirement{middleware.Scopes("orders/read")}, more...),
	})
	return &f.cases[len(f.cases)-1]
}

// token issues a token in east.
func (f *fixture) token(c fakeissuer.Claims) string {
	c.Subject = Secret
	return f.fake.Issue(east, c)
}

func (f *fixture) credentials(t fakeissuer.TB) {
	good := f.token(fakeissuer.Claims{})
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

func (f *fixture) tokens(t fakeissuer.TB) {
	for name, c := range map[string]fakeissuer.Claims{
		"a bad signature":              {Forged: true},
		"an expired token":             {ExpiresIn: -time.Hour},
		"a token for another client":   {Audience: []string{Secret}},
		"a token of an unknown issuer": {Issuer: "https://elsewhere.example.com"},
	} {
		f.add(t, name, f.good, f.token(c))
	}
	unknown := f.token(fakeissuer.Claims{Header: map[string]any{"kid": "unknown"}})
	f.add(t, "a key that no region publishes", f.good, unknown)
	f.keys(t)
}

// keys adds tokens of keys that are published but not allowed, and of too many that are not published.
func (f *fixture) keys(t fakeissuer.TB) {
	leaky := fakeissuer.New(t, fakeissuer.Config{Algorithm: "ES256", Layout: fakeissuer.IssuerPerRegion})
	leaky.Rotate(east)
	leaky.Corrupt(east, leak(t, leaky))
	token := leaky.Issue(east, fakeissuer.Claims{Subject: Secret})
	f.add(t, "a key that is published with its private half", f.config(t, leaky), token)

	busy := f.configOf(t, f.fake, jwks.Config{HTTPClient: f.fake.Client(), UnknownKeyInterval: time.Hour, UnknownKeyWait: -1})
	token = f.token(fakeissuer.Claims{Header: map[string]any{"kid": "unknown"}})
	limited := f.add(t, "too many unknown keys are asked for", busy, token)
	for i := range 100_000 { // until the burst is used up
		other := f.token(fakeissuer.Claims{Header: map[string]any{"kid": fmt.Sprint("unknown-", i)}})
		_, err := limited.Verifier.Verify(context.Background(), other)
		var e *verifier.Error
		if errors.As(err, &e) && e.RetryAfter == time.Minute {
			break
		}
	}
}

// leak returns the key set of east, whose last key contains its private half.
func leak(t fakeissuer.TB, w *fakeissuer.Server) []byte {
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

// noRegion rejects every region.
func noRegion(string, []string, time.Time) error { return errors.New(Secret) }

// revoker has one answer for every token.
type revoker struct {
	rule string
	err  error
}

func (r revoker) Revoked(*verifier.Token) (string, error) { return r.rule, r.err }
func (revoker) Changed() <-chan struct{}                  { return nil }

func (f *fixture) policies(t fakeissuer.TB) {
	good := f.token(fakeissuer.Claims{})
	changed := func(change func(*parts)) parts {
		c := f.good
		c.policies = []verifier.Policy{f.good.policies[0]}
		change(&c)
		return c
	}
	f.add(t, "a revoked token", changed(func(c *parts) { c.Revocation = revoker{rule: Secret} }), good)
	unknown := changed(func(c *parts) { c.Revocation = revoker{err: errors.New(Secret)} })
	f.add(t, "the revocation rules are not known", unknown, good)
	f.add(t, "a token of an inactive region", changed(func(c *parts) { c.policies[0].RegionPolicy = noRegion }), good)
	for name, category := range map[string]error{
		"Policy.Check rejects":     errors.New(Secret),
		"Policy.Check forbids":     verifier.ErrForbidden,
		"Policy.Check cannot tell": verifier.ErrUnavailable,
		"Policy.Check is limited":  verifier.ErrRateLimited,
	} {
		f.add(t, name, changed(func(c *parts) {
			err := errors.Join(errors.New(Secret), category)
			c.policies[0].Check = func(context.Context, *verifier.Token) error { return err }
		}), good)
	}
	f.cases = append(f.cases, Case{
		Name: "an unknown error", Verifier: odd{}, Authorization: []string{"Bearer " + good},
	})
}

// odd is a Verifier with an error of its own.
type odd struct{}

func (odd) Verify(context.Context, string) (*verifier.Token, error) { return nil, errors.New(Secret) }
func (odd) Recheck(context.Context, *verifier.Token) error          { return nil }
func (odd) Changed() <-chan struct{}                                { return nil }

func (f *fixture) requirements(t fakeissuer.TB) {
	good := f.token(fakeissuer.Claims{})
	writes := f.add(t, "a scope is missing", f.good, good)
	writes.Requirements = []middleware.Requirement{middleware.Scopes("orders/write")}
	groups := f.add(t, "a group is missing", f.good, good)
	groups.Requirements = []middleware.Requirement{middleware.AnyGroup("admins")}
	f.add(t, "the user signed in too long ago", f.good,
		f.token(fakeissuer.Claims{Set: map[string]any{"acr": "mfa", "auth_time": time.Now().Add(-time.Hour).Unix()}}),
		middleware.StepUp(5*time.Minute, "mfa"))
	acted := f.token(fakeissuer.Claims{Set: map[string]any{"act": map[string]any{"sub": Secret}}})
	f.add(t, "an agent acts for the user, and may not", f.good, acted, middleware.NoActor())
	f.add(t, "another agent acts for the user", f.good, acted, middleware.Actors("agent"))
	f.add(t, "the actor of the token cannot be read", f.good,
		f.token(fakeissuer.Claims{Set: map[string]any{"act": map[string]any{"client_id": Secret}}}))
	bound := f.token(fakeissuer.Claims{Set: map[string]any{"cnf": map[string]any{"x5t#S256": Secret}}})
	f.add(t, "bound to a certificate, and the client has none", f.good, bound)
	f.add(t, "not bound to a certificate, and it must be", f.good, good).RequireCertificate = true
}

func (f *fixture) outages(t fakeissuer.TB) {
	down := fakeissuer.New(t, fakeissuer.Config{Algorithm: "ES256", Layout: fakeissuer.IssuerPerRegion})
	down.Break(east)
	f.add(t, "the region is unavailable from the start", f.config(t, down), down.Issue(east, fakeissuer.Claims{Subject: Secret}))
	half := fakeissuer.New(t, fakeissuer.Config{Algorithm: "ES256", Layout: fakeissuer.OneIssuer})
	half.Break(west)
	f.add(t, "an unknown key, and a region is unavailable", f.config(t, half),
		half.Issue(east, fakeissuer.Claims{Subject: Secret, Header: map[string]any{"kid": "unknown"}}))
	f.add(t, "a bad signature, and a region is unavailable from the start", f.config(t, half),
		half.Issue(east, fakeissuer.Claims{Subject: Secret, Forged: true}))
}

// Doors reads the table of docs/aws.md: what each door answers, by what happens and by the door. Answers that differ from token
// to token stand together, in alphabetical order.
func Doors(t fakeissuer.TB, path string) map[string]map[string]string {
	text, err := os.ReadFile(path) //nolint:gosec // a file of this repository
	if err != nil {
		t.Fatalf("%v", err)
	}
	var doors []string
	table := map[string]map[string]string{}
	for line := range strings.SplitSeq(string(text), "\n") {
		cells := strings.Split(line, "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case len(cells) != 8 || strings.Contains(line, "---"):
		case cells[1] == "what happens":
			doors = cells[2:7]
		case doors != nil:
			row := map[string]string{}
			for i, door := range doors {
				row[door] = cells[2+i]
			}
			table[cells[1]] = row
		}
	}
	return table
}
