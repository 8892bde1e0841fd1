package albauth_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/aws/albauth"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/verifier"
)

const (
	east     = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/shop/50dc6c495c0c9188"
	west     = "arn:aws:elasticloadbalancing:us-west-2:123456789012:loadbalancer/app/shop/73e2d6bc24d8a067"
	eastKeys = "https://public-keys.auth.elb.us-east-1.amazonaws.com/"
	westKeys = "https://public-keys.auth.elb.us-west-2.amazonaws.com/"
	iss      = "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_AbCdEf123"
	client   = "7abc0example1client2id"
)

// uuid returns the kid of a number.
func uuid(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012x", n) }

// key makes a key.
func key(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return k
}

func pemOf(t *testing.T, public any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// token is a token of a load balancer.
type token struct {
	header, payload map[string]any
	key             *ecdsa.PrivateKey
	spell           *base64.Encoding // padded by default
}

// signed returns a good token.
func signed(signer, kid string, k *ecdsa.PrivateKey) *token {
	exp := time.Now().Add(2 * time.Minute).Unix()
	return &token{
		header: map[string]any{
			"typ": "JWT", "alg": "ES256", "kid": kid, "iss": iss, "client": client, "signer": signer, "exp": exp,
		},
		payload: map[string]any{"sub": "alice", "email": "alice@example.com", "email_verified": "true", "iss": iss, "exp": exp},
		key:     k, spell: base64.URLEncoding,
	}
}

// with changes a member of the header, and one of the payload; nil removes it.
func (k *token) with(header, payload map[string]any) *token {
	c := *k
	c.header, c.payload = maps.Clone(k.header), maps.Clone(k.payload)
	for into, change := range map[*map[string]any]map[string]any{&c.header: header, &c.payload: payload} {
		for name, v := range change {
			(*into)[name] = v
			if v == nil {
				delete(*into, name)
			}
		}
	}
	return &c
}

// String signs the token.
func (k *token) String() string {
	encode := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return k.spell.EncodeToString(text)
	}
	input := encode(k.header) + "." + encode(k.payload)
	return input + "." + k.spell.EncodeToString(sign(k.key, input))
}

func sign(k *ecdsa.PrivateKey, input string) []byte {
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, k, sum[:])
	if err != nil {
		panic(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signature
}

// server is the servers of the keys of all Regions.
type server struct {
	mu       sync.Mutex
	keys     map[string]string // by URL
	broken   map[string]string // "hang", "refuse" or a status, by the beginning of the URL
	requests []request
	latency  time.Duration
}

type request struct {
	url string
	at  time.Time
}

func newServer() *server { return &server{keys: map[string]string{}, broken: map[string]string{}} }

// publish adds a key.
func (s *server) publish(t *testing.T, url string, k *ecdsa.PrivateKey) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[url] = pemOf(t, k.Public())
}

func (s *server) fail(how string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken[eastKeys] = how
}

// count returns how many requests there were.
func (s *server) count(where string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.requests {
		if strings.HasPrefix(r.url, where) {
			n++
		}
	}
	return n
}

var errRefused = errors.New("connection refused")

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	url := r.URL.String()
	s.mu.Lock()
	s.requests = append(s.requests, request{url, time.Now()})
	how, text, known := "", s.keys[url], s.keys[url] != ""
	for where, broken := range s.broken {
		if strings.HasPrefix(url, where) {
			how = broken
		}
	}
	latency := s.latency
	s.mu.Unlock()
	if latency > 0 {
		select {
		case <-time.After(latency):
		case <-r.Context().Done():
			return nil, context.Cause(r.Context())
		}
	}
	answer := func(status int, body string) (*http.Response, error) {
		return &http.Response{
			StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader([]byte(body))), Request: r,
		}, nil
	}
	switch {
	case how == "hang":
		<-r.Context().Done()
		return nil, context.Cause(r.Context())
	case how == "refuse":
		return nil, errRefused
	case how == "panic":
		panic("boom")
	case strings.HasPrefix(how, "retry "):
		resp, err := answer(503, "")
		resp.Header.Set("Retry-After", strings.TrimPrefix(how, "retry "))
		return resp, err
	case how != "":
		status := 0
		body := how
		if n, err := fmt.Sscan(how, &status); n == 1 && err == nil {
			body = ""
		} else {
			status = 200
		}
		return answer(status, body)
	case !known:
		return answer(404, "<Error/>")
	}
	return answer(200, text)
}

// config is one provider whose two Regions have a load balancer each.
func config(s *server) albauth.Config {
	return albauth.Config{
		Provider:      issuer.Cognito("us-east-1_AbCdEf123", "us-west-2"),
		LoadBalancers: []albauth.LoadBalancer{{ARN: east}, {ARN: west}},
		Clients:       []string{client},
		HTTPClient:    &http.Client{Transport: s},
	}
}

func newVerifier(t *testing.T, c albauth.Config) *albauth.Verifier {
	t.Helper()
	v, err := albauth.New(c)
	require.NoError(t, err)
	return v
}

// outcome is the reason of a rejection with its detail, or "accepted".
func outcome(v *albauth.Verifier, raw string) string {
	_, err := v.Verify(context.Background(), raw)
	var e *verifier.Error
	switch {
	case err == nil:
		return "accepted"
	case !errors.As(err, &e):
		return err.Error()
	case e.Detail != "":
		return string(e.Reason) + " " + e.Detail
	}
	return string(e.Reason)
}
