package verifier_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/verifier"
)

// policySpec describes a policy and the rest of a configuration.
type policySpec struct {
	Issuers   []string
	Audience  audienceSpec
	Fields    json.RawMessage // of verifier.Policy
	Check     map[string]any  // claims that must have a value
	Scopes    []string        // of which a token needs one
	Groups    []string        // of which a token needs one
	Leeway    int             // seconds; negative means none
	Discovery bool            // keys are found by discovery
}

// audienceSpec describes an AudiencePolicy.
type audienceSpec struct {
	Aud, ID, CognitoAccess, CognitoID []string
}

func (a *audienceSpec) policy() verifier.AudiencePolicy {
	switch {
	case a.ID != nil:
		return verifier.IDToken(a.ID...)
	case a.CognitoID != nil:
		return verifier.CognitoID(a.CognitoID...)
	case a.CognitoAccess != nil:
		return verifier.CognitoAccess(a.CognitoAccess...)
	case a.Aud != nil:
		return verifier.Audience(a.Aud...)
	}
	return verifier.AudiencePolicy{}
}

const suiteKeysURL = "https://keys.example.com/jwks"

// keyServer answers as the last step said.
type keyServer struct {
	status int
	body   []byte
}

var errUnreachable = errors.New("no connection")

func (s *keyServer) RoundTrip(req *http.Request) (*http.Response, error) {
	if s.status < 0 {
		return nil, errUnreachable
	}
	return &http.Response{
		StatusCode: s.status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(s.body)), Request: req,
		ContentLength: int64(len(s.body)),
	}, nil
}

// verifier returns a Verifier of the policy, or the error of a constructor.
func (p *policySpec) verifier(t *testing.T, server *keyServer) (*verifier.Verifier, error) {
	t.Helper()
	issuers := p.Issuers
	if len(issuers) == 0 {
		issuers = []string{"https://issuer.example.com"}
	}
	region := issuer.Region{Name: "default", Issuers: issuers, JWKSURLs: []string{suiteKeysURL}}
	if p.Discovery {
		region.JWKSURLs = nil
	}
	policy := verifier.Policy{
		Provider: issuer.Provider{ID: "p", Regions: []issuer.Region{region}}, Audience: p.Audience.policy(),
	}
	if p.Fields != nil {
		d := json.NewDecoder(bytes.NewReader(p.Fields))
		d.DisallowUnknownFields()
		if err := d.Decode(&policy); err != nil {
			return nil, err
		}
	}
	if p.Check != nil {
		policy.Check = p.check
	}
	keys, err := jwks.New([]issuer.Provider{policy.Provider}, jwks.Config{
		HTTPClient: &http.Client{Transport: server},
	})
	if err != nil {
		return nil, err
	}
	return verifier.New([]verifier.Policy{policy}, keys, verifier.Config{
		Leeway: time.Duration(p.Leeway) * time.Second,
	})
}

func (p *policySpec) check(_ context.Context, tok *verifier.Token) error {
	for name, want := range p.Check {
		if got := tok.Claim(name); fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("%s is not what it must be", name) //nolint:err113 // of a test
		}
	}
	return nil
}

// outcome names what Verify and the requirements say: "accept" or a reason.
func (p *policySpec) outcome(t *testing.T, v *verifier.Verifier, raw string) (string, *verifier.Token) {
	t.Helper()
	tok, err := v.Verify(t.Context(), raw)
	if err == nil && p.Scopes != nil {
		err = middleware.Check(tok, middleware.AnyScope(p.Scopes...))
	}
	if err == nil && p.Groups != nil {
		err = middleware.Check(tok, middleware.RequirementFunc(func(tok *verifier.Token) error {
			if slices.ContainsFunc(p.Groups, tok.HasGroup) {
				return nil
			}
			return &verifier.Error{Reason: verifier.ReasonInsufficientScope}
		}))
	}
	if err == nil {
		return "accept", tok
	}
	var e *verifier.Error
	require.ErrorAs(t, err, &e)
	return string(e.Reason), nil
}

// stepSpec is one token at one time, and what the key server answers from then on.
type stepSpec struct {
	tokenSpec
	After  int       // seconds since the step before
	Keys   []keySpec // published from now on
	Body   *string   // served instead
	Status int       // 0 is 200, negative no answer

	Theirs, Ours string
}

// playSteps runs in virtual time. It returns the first step that is wrong.
func playSteps(t *testing.T, p *policySpec, steps []stepSpec, want map[string]any, decided bool) (problem string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server := &keyServer{status: http.StatusOK, body: publish(t, []keySpec{{Key: "rsa"}})}
		v, err := p.verifier(t, server)
		differs := false
		for i := range steps {
			s := &steps[i]
			if err != nil {
				problem = judge(s.Theirs, s.Ours, "config", decided)
				if problem != "" {
					problem += ": " + err.Error()
				}
				return
			}
			time.Sleep(time.Duration(s.After) * time.Second)
			server.step(t, s)
			outcome, tok := p.outcome(t, v, s.build(t, time.Now()))
			same := judge(s.Theirs, s.Ours, outcome, false) == ""
			differs = differs || !same
			if problem = judge(s.Theirs, s.Ours, outcome, decided && !same); problem != "" {
				problem = fmt.Sprintf("step %d: %s", i+1, problem)
				return
			}
			for name, value := range want {
				if tok != nil && fmt.Sprint(reported(tok, name)) != fmt.Sprint(value) {
					problem = fmt.Sprintf("%s is %v", name, reported(tok, name))
				}
			}
		}
		if decided && !differs && problem == "" {
			problem = "we do not differ"
		}
	})
	return problem
}

// reported returns what a token says of itself: a claim, or what a method returns.
func reported(tok *verifier.Token, name string) any {
	switch name {
	case "Subject":
		return tok.Subject()
	case "ClientID":
		return tok.ClientID()
	case "Groups":
		return collect(tok.Groups())
	case "Scopes":
		return collect(tok.Scopes())
	case "Audience":
		return collect(tok.Audience())
	case "ID":
		return tok.ID()
	}
	return tok.Claim(name)
}

func collect(values func(func(string) bool)) (all []any) {
	for v := range values {
		all = append(all, v)
	}
	return all
}

// step makes the server answer as a step says.
func (s *keyServer) step(t *testing.T, step *stepSpec) {
	t.Helper()
	if step.Status != 0 {
		s.status = step.Status
	}
	switch {
	case step.Body != nil:
		s.status, s.body = max(step.Status, http.StatusOK), []byte(*step.Body)
	case len(step.Keys) > 0:
		s.status, s.body = http.StatusOK, publish(t, step.Keys)
	}
}

// httpSpec is a request to a handler that is protected.
type httpSpec struct {
	Headers  [][2]string // {token} stands for the token
	Method   string
	Optional bool
	Scopes   []string // that the handler requires
	Metadata bool
	Document bool // the request is for the document of RFC 9728
	Has      []string
	HasNot   []string // parts of WWW-Authenticate
}

// play returns the status, or what is wrong.
func (h *httpSpec) play(t *testing.T, p *policySpec, spec *tokenSpec, keys []keySpec) (outcome string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if keys == nil {
			keys = []keySpec{{Key: "rsa"}}
		}
		v, err := p.verifier(t, &keyServer{status: http.StatusOK, body: publish(t, keys)})
		require.NoError(t, err)
		c := httpauth.Config{}
		if h.Metadata {
			c.Metadata = &httpauth.Metadata{Resource: "https://api.example.com", AuthorizationServers: func() []string {
				return []string{"https://issuer.example.com"}
			}}
		}
		m, err := httpauth.New(v, c)
		require.NoError(t, err)
		outcome = h.request(t, m, spec.build(t, time.Now()))
	})
	return outcome
}

func (h *httpSpec) request(t *testing.T, m *httpauth.Middleware, raw string) string {
	t.Helper()
	protect := m.Optional()
	if !h.Optional {
		var reqs []middleware.Requirement
		if h.Scopes != nil {
			reqs = append(reqs, middleware.Scopes(h.Scopes...))
		}
		protect = m.Require(reqs...)
	}
	handler := protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	path := "https://api.example.com/orders"
	if h.Document {
		_, handler = m.ResourceMetadata()
		path = "https://api.example.com/.well-known/oauth-protected-resource"
	}
	method := http.MethodGet
	if h.Method != "" {
		method = h.Method
	}
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	for _, header := range h.Headers {
		r.Header.Add(header[0], strings.ReplaceAll(header[1], "{token}", raw))
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	challenge := w.Header().Get("WWW-Authenticate")
	for _, has := range h.Has {
		if !strings.Contains(challenge, has) {
			return fmt.Sprintf("%d without %s: %s", w.Code, has, challenge)
		}
	}
	for _, has := range h.HasNot {
		if strings.Contains(challenge, has) {
			return fmt.Sprintf("%d with %s: %s", w.Code, has, challenge)
		}
	}
	return strconv.Itoa(w.Code)
}
