package e2e_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"maps"
	"math/big"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/aws/albauth"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// both verifies tokens with the verifier of AWS and with ours.
type both struct {
	theirs *process
	rows   map[string][2]string // of docs/aws.md, by the case
	tried  map[string]bool
}

// verdicts reads the table of docs/aws.md that begins with a cell.
func verdicts(t *testing.T, first string) map[string][2]string {
	t.Helper()
	text, err := os.ReadFile("../docs/aws.md")
	require.NoError(t, err)
	_, table, found := strings.Cut(string(text), "| "+first+" |")
	require.True(t, found)
	table, _, _ = strings.Cut(table, "\n\n")
	rows := map[string][2]string{}
	for _, line := range strings.Split(table, "\n")[2:] {
		cells := strings.Split(line, "|")
		if len(cells) == 5 {
			rows[strings.TrimSpace(cells[1])] = [2]string{strings.TrimSpace(cells[2]), strings.TrimSpace(cells[3])}
		}
	}
	require.NotEmpty(t, rows)
	return rows
}

// compare demands what the table says of one token: accepted or rejected by each.
func (b *both) compare(t *testing.T, name string, command map[string]any, ours error) {
	t.Helper()
	line, err := json.Marshal(command)
	require.NoError(t, err)
	_, err = b.theirs.stdin.Write(append(line, '\n'))
	require.NoError(t, err)
	var a struct{ Event, Verdict string }
	require.NoError(t, json.Unmarshal(b.theirs.line(t), &a))
	require.Equal(t, "verdict", a.Event)
	verdict := func(accepted bool) string { return map[bool]string{true: "accepted", false: "rejected"}[accepted] }
	got := [2]string{verdict(a.Verdict == "accepted"), verdict(ours == nil)}
	t.Logf("%-60s %-40s %v", name, a.Verdict, ours)
	require.Contains(t, b.rows, name)
	if got != b.rows[name] {
		t.Errorf("%s: %v, and not %v: %s, %v", name, got, b.rows[name], a.Verdict, ours)
	}
	require.True(t, ours == nil || errors.Is(ours, verifier.ErrInvalid), name)
	b.tried[name] = true
}

func newBoth(t *testing.T, table string) *both {
	t.Helper()
	require.NoError(t, installed())
	return &both{launch(t, "idp", nil, "node", "awsverify.js"), verdicts(t, table), map[string]bool{}}
}

// jws signs a header and a payload, which may be texts, and spells them with an encoding.
func jws(t *testing.T, spell *base64.Encoding, header, payload any, sign func(input []byte) []byte) string {
	t.Helper()
	part := func(v any) string {
		if text, ok := v.(string); ok {
			return spell.EncodeToString([]byte(text))
		}
		text, err := json.Marshal(v)
		require.NoError(t, err)
		return spell.EncodeToString(text)
	}
	input := part(header) + "." + part(payload)
	return input + "." + spell.EncodeToString(sign([]byte(input)))
}

type members = map[string]any

// changed returns a copy with other members; nil removes one.
func changed(m, change members) members {
	c := maps.Clone(m)
	for name, v := range change {
		if c[name] = v; v == nil {
			delete(c, name)
		}
	}
	return c
}

// pemServer answers every request with one key.
type pemServer string

func (s pemServer) RoundTrip(r *http.Request) (*http.Response, error) {
	body := io.NopCloser(bytes.NewReader([]byte(s)))
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: body, Request: r}, nil
}

// The verifier of AWS and ours judge the tokens of load balancers as docs/aws.md says.
func TestALBTokensBesideTheVerifierOfAWS(t *testing.T) {
	t.Parallel()
	b := newBoth(t, "token of a load balancer")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	require.NoError(t, err)
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	const (
		arn      = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/shop/50dc6c495c0c9188"
		elsewise = "arn:aws:elasticloadbalancing:us-west-2:123456789012:loadbalancer/app/shop/73e2d6bc24d8a067"
		kid      = "c2f80c8b-c05c-4068-af14-17299f7896b1"
	)
	now := time.Now().Unix()
	header := members{"typ": "JWT", "alg": "ES256", "kid": kid, "signer": arn, "client": "app", "iss": issEast, "exp": now + 120}
	payload := members{"sub": "alice", "iss": issEast, "exp": now + 120}
	sign := func(input []byte) []byte {
		sum := sha256.Sum256(input)
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		require.NoError(t, err)
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	}
	config := albauth.Config{
		Provider: issuer.Cognito(pool), LoadBalancers: []albauth.LoadBalancer{{ARN: arn}}, Clients: []string{"app"},
		HTTPClient: &http.Client{Transport: pemServer(text)},
	}
	try := func(name string, token string, balancers ...string) {
		c, options := config, members{"albArn": arn, "issuer": issEast, "clientId": "app"}
		for _, arn := range balancers {
			c.LoadBalancers = append(c.LoadBalancers, albauth.LoadBalancer{ARN: arn})
			options["albArn"] = append([]string{config.LoadBalancers[0].ARN}, balancers...)
		}
		v, err := albauth.New(c)
		require.NoError(t, err)
		_, err = v.Verify(context.Background(), token)
		b.compare(t, name, members{"kind": "alb", "options": options, "pem": text, "token": token}, err)
	}
	for name, change := range map[string][2]members{
		"a good token": {},
		"exp of the header has passed, that of the payload has not": {{"exp": now - 3600}},
		"exp of the header has passed, the payload has none":        {{"exp": now - 3600}, {"exp": nil}},
		"exp of both has passed":                                    {{"exp": now - 3600}, {"exp": now - 3600}},
		"exp passed 10 seconds ago":                                 {{"exp": now - 10}, {"exp": now - 10}},
		"iss of the header is another":                              {{"iss": "https://elsewhere.example"}},
		"iss of the payload is another":                             {nil, {"iss": "https://elsewhere.example"}},
		"the payload has no iss":                                    {nil, {"iss": nil}},
		"another signer":                                            {{"signer": elsewise}},
		"another client":                                            {{"client": "other"}},
		"no client":                                                 {{"client": nil}},
		"no sub":                                                    {nil, {"sub": nil}},
		"kid in upper case":                                         {{"kid": strings.ToUpper(kid)}},
		"kid that is no UUID":                                       {{"kid": "../" + kid}},
		"a critical extension that nobody knows":                    {{"crit": []string{"x"}, "x": 1}},
	} {
		try(name, jws(t, base64.URLEncoding, changed(header, change[0]), changed(payload, change[1]), sign))
	}
	good := jws(t, base64.URLEncoding, header, payload, sign)
	try("a signature that does not match", jws(t, base64.URLEncoding, header, payload, func([]byte) []byte { return sign([]byte("x")) }))
	try("the padding is removed after signing", strings.ReplaceAll(jws(t, base64.URLEncoding, header, changed(payload, members{"p": pad(t, payload)}), sign), "=", ""))
	try("signed without padding", jws(t, base64.RawURLEncoding, header, payload, sign))
	try("load balancers of two Regions for one issuer", good, elsewise)
	require.Len(t, b.tried, len(b.rows))
}

// pad returns a text that makes the payload need padding.
func pad(t *testing.T, payload members) (text string) {
	t.Helper()
	for {
		doc, err := json.Marshal(changed(payload, members{"p": text}))
		require.NoError(t, err)
		if len(doc)%3 != 0 {
			return text
		}
		text += "x"
	}
}

// The verifier of AWS and ours judge the tokens of a user pool as docs/aws.md says.
func TestCognitoTokensBesideTheVerifierOfAWS(t *testing.T) {
	t.Parallel()
	b := newBoth(t, "access token of Cognito")
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	encode := base64.RawURLEncoding.EncodeToString
	keys := members{"keys": []members{{
		"kty": "RSA", "kid": "k1", "use": "sig", "alg": "RS256", "n": encode(key.N.Bytes()), "e": encode(big.NewInt(int64(key.E)).Bytes()),
	}}}
	document, err := json.Marshal(keys)
	require.NoError(t, err)
	source, err := jwks.NewStatic(map[string][]byte{issEast: document, issWest: document, issUpdated: document})
	require.NoError(t, err)
	v, err := verifier.New([]verifier.Policy{{Provider: cognito(t, issuer.CognitoAny), Audience: verifier.CognitoAccess("app")}}, source, verifier.Config{})
	require.NoError(t, err)
	sign := func(input []byte) []byte {
		sum := sha256.Sum256(input)
		signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
		require.NoError(t, err)
		return signature
	}
	now := time.Now().Unix()
	header := members{"alg": "RS256", "kid": "k1"}
	payload := members{
		"sub": "alice", "iss": issEast, "client_id": "app", "token_use": "access", "scope": scope, "exp": now + 3600, "iat": now, "jti": "1",
	}
	try := func(name, token string) {
		_, err := v.Verify(context.Background(), token)
		options := members{"userPoolId": pool, "tokenUse": "access", "clientId": "app"}
		b.compare(t, name, members{"kind": "cognito", "options": options, "jwks": keys, "token": token}, err)
	}
	for name, change := range map[string][2]members{
		"a good token of the primary Region":             {},
		"a good token of the replica":                    {nil, {"iss": issWest}},
		"a good token of the updated issuer":             {nil, {"iss": issUpdated}},
		"an ID token":                                    {nil, {"token_use": "id", "aud": "app", "client_id": nil}},
		"for another client":                             {nil, {"client_id": "other"}},
		"of another pool":                                {nil, {"iss": issEast + "x"}},
		"expired an hour ago":                            {nil, {"exp": now - 3600}},
		"expired 10 seconds ago":                         {nil, {"exp": now - 10}},
		"without exp":                                    {nil, {"exp": nil}},
		"not valid before an hour from now":              {nil, {"nbf": now + 3600}},
		"issued an hour from now":                        {nil, {"iat": now + 3600}},
		"for a resource that the policy does not name":   {nil, {"aud": "https://other.example"}},
		"an actor who has no name":                       {nil, {"act": members{}}},
		"a critical extension that nobody knows in crit": {{"crit": []string{"x"}, "x": 1}},
		"a nested token (cty)":                           {{"cty": "JWT"}},
		"alg none":                                       {{"alg": "none"}},
	} {
		try(name, jws(t, base64.RawURLEncoding, changed(header, change[0]), changed(payload, change[1]), sign))
	}
	good := jws(t, base64.RawURLEncoding, header, payload, sign)
	try("a signature of another text", jws(t, base64.RawURLEncoding, header, payload, func([]byte) []byte { return sign([]byte("x")) }))
	doc, err := json.Marshal(payload)
	require.NoError(t, err)
	twice := strings.Replace(string(doc), `"client_id":"app"`, `"client_id":"other","client_id":"app"`, 1)
	try("two members of one name", jws(t, base64.RawURLEncoding, header, twice, sign))
	try("padded segments", good+"==")
	require.Len(t, b.tried, len(b.rows))
}
