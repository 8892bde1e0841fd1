package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/jose/josetest"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/observe/audit"
	"github.com/regionjwt/regionjwt/verifier"
)

// output is what a handler writes to; it may be full.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	full bool
}

var errFull = errors.New("no space left")

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.full {
		return 0, errFull
	}
	return o.text.Write(b)
}

func (o *output) setFull(full bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.full = full
}

// lines decodes what was written.
func (o *output) lines(t *testing.T) (all []map[string]any) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	for line := range strings.Lines(o.text.String()) {
		var one map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &one))
		all = append(all, one)
	}
	return all
}

// rules revoke the tokens of one subject.
type rules struct {
	mu      sync.Mutex
	subject string
}

func (r *rules) Revoked(t *verifier.Token) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.subject != "" && t.Subject() == r.subject {
		return "rule-1", nil
	}
	return "", nil
}

func (*rules) Changed() <-chan struct{} { return nil }

func (r *rules) revoke(subject string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.subject = subject
}

const (
	providerID = "shop"
	region     = "east"
	issuerName = "https://east.idp.example"
	audience   = "https://api.example.com"
)

// audited is a verifier whose decisions are recorded.
type audited struct {
	*verifier.Verifier
	*audit.Log
	out    *output
	rules  *rules
	signer *josetest.Signer
}

func newAudited(t *testing.T, c audit.Config) *audited {
	t.Helper()
	out := &output{}
	return newAuditedTo(t, out, slog.NewJSONHandler(out, nil), c)
}

func newAuditedTo(t *testing.T, out *output, h slog.Handler, c audit.Config) *audited {
	t.Helper()
	a := &audited{out: out, rules: &rules{}}
	var err error
	a.Log, err = audit.New(h, c)
	require.NoError(t, err)
	a.signer, err = josetest.NewSigner("ES256")
	require.NoError(t, err)
	set, err := josetest.Set(a.signer)
	require.NoError(t, err)
	keys, err := jwks.NewStatic(map[string][]byte{issuerName: set})
	require.NoError(t, err)
	provider := issuer.Provider{ID: providerID, Regions: []issuer.Region{
		{Name: region, Issuers: []string{issuerName}, JWKSURLs: []string{issuerName + "/jwks"}},
	}}
	a.Verifier, err = verifier.New([]verifier.Policy{{Provider: provider, Audience: verifier.Audience(audience)}}, keys,
		verifier.Config{Revocation: a.rules, OnDecision: a.Record})
	require.NoError(t, err)
	return a
}

// token signs the claims of a good token with changes; a nil value removes a member.
func (a *audited) token(t *testing.T, changes map[string]any) string {
	t.Helper()
	return a.sign(t, a.signer, nil, changes)
}

func (a *audited) sign(t *testing.T, s *josetest.Signer, header, changes map[string]any) string {
	t.Helper()
	now := time.Now()
	h := map[string]any{"alg": s.Algorithm, "kid": a.signer.ID}
	maps.Copy(h, header)
	p := map[string]any{
		"iss": issuerName, "aud": audience, "sub": "alice", "client_id": "web", "jti": "one",
		"iat": now.Add(-time.Minute).Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	maps.Copy(p, changes)
	head, errHead := json.Marshal(h)
	payload, errPayload := json.Marshal(p)
	require.NoError(t, errors.Join(errHead, errPayload))
	raw, err := s.Sign(head, payload)
	require.NoError(t, err)
	return raw
}

// present calls Verify.
func (a *audited) present(raw string, times int) {
	for range times {
		_, _ = a.Verify(context.Background(), raw)
	}
}
