package speed_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"
)

// kind is a shape of tokens.
type kind string

const (
	user    kind = "user"    // of a user, about 1 KB, with two groups
	machine kind = "machine" // of a client that acts for itself
	groups  kind = "groups"  // of a user in 100 groups
)

// claims is what an access token of a user pool says. Machine tokens have neither groups nor a user.
func claims(s *site, k kind) map[string]any {
	now := time.Now()
	c := map[string]any{
		"sub": "a4b8c4d8-7051-70e3-9f2a-1c2d3e4f5a6b", "iss": s.iss, "version": 2, "client_id": clientID,
		"token_use": "access", "scope": "openid email phone orders/read orders/write", "jti": randomText(27),
		"auth_time": now.Add(-time.Minute).Unix(), "iat": now.Add(-time.Minute).Unix(), "exp": now.Add(6 * time.Hour).Unix(),
		"origin_jti": "6f7e8d9c-5b4a-4392-8170-a1b2c3d4e5f6", "event_id": "0f1e2d3c-4b5a-4697-8877-665544332211",
		"username": "a4b8c4d8-7051-70e3-9f2a-1c2d3e4f5a6b", "cognito:groups": []string{"customers", "beta-testers"},
	}
	switch k {
	case machine:
		c["sub"], c["scope"] = clientID, "orders/read orders/write"
		for _, name := range []string{"username", "cognito:groups", "origin_jti", "event_id"} {
			delete(c, name)
		}
	case groups:
		var names []string
		for i := range 100 {
			names = append(names, fmt.Sprintf("tenant-%04d-readers", i))
		}
		c["cognito:groups"] = names
	case user:
	}
	return c
}

// issue makes a token of the claims, with changes; a nil value removes a claim.
func issue(tb testing.TB, s *site, c map[string]any, changes map[string]any) string {
	tb.Helper()
	c = maps.Clone(c)
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return s.keys[0].sign(tb, map[string]any{"kid": s.keys[0].kid, "alg": s.alg}, marshal(tb, c))
}

// poolSize is how many tokens a benchmark takes turns with.
const poolSize = 32

// ring hands out its elements over and over.
type ring[T any] struct {
	all []T
	at  int
}

func (r *ring[T]) next() T {
	if r.at == len(r.all) {
		r.at = 0
	}
	e := r.all[r.at]
	r.at++
	return e
}

// mintPool makes different tokens of one kind.
func mintPool(tb testing.TB, s *site, k kind, changes map[string]any) []string {
	tb.Helper()
	tokens := make([]string, poolSize)
	for i := range tokens {
		tokens[i] = issue(tb, s, claims(s, k), changes)
	}
	return tokens
}

// parts returns the signing input of a token, and its signature.
func parts(tb testing.TB, token string) (input, signature []byte) {
	tb.Helper()
	i := strings.LastIndexByte(token, '.')
	signature, err := base64.RawURLEncoding.DecodeString(token[i+1:])
	if err != nil {
		tb.Fatal(err)
	}
	return []byte(token[:i]), signature
}

// tamper returns token with one bit of its signature changed.
func tamper(tb testing.TB, token string) string {
	tb.Helper()
	input, signature := parts(tb, token)
	signature[len(signature)/2] ^= 1
	return string(input) + "." + b64(signature)
}

// withKid returns a token of that kid which nobody has signed.
func withKid(tb testing.TB, s *site, kid string) string {
	tb.Helper()
	signature := make([]byte, 256)
	copy(signature[1:], randomText(192)) // the first byte keeps it below the modulus
	header := marshal(tb, map[string]any{"kid": kid, "alg": s.alg})
	return b64(header) + "." + b64(marshal(tb, claims(s, user))) + "." + b64(signature)
}
