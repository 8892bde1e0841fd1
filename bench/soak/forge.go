package main

import (
	"encoding/base64"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/jose/josetest"
)

// forger makes tokens that must never be accepted, with keys that nobody has published.
type forger struct {
	like  *josetest.Signer // of the algorithm of the issuer
	cheap *josetest.Signer

	mu   sync.Mutex
	turn int
}

func newForger(alg string) (*forger, error) {
	like, err := josetest.NewSigner(alg)
	if err != nil {
		return nil, err
	}
	cheap, err := josetest.NewSigner("ES256")
	if err != nil {
		return nil, err
	}
	return &forger{like: like, cheap: cheap}, nil
}

// make returns a bad token of a kind: made from a good one, or for unknown keys from an iss. "" is none.
func (f *forger) make(what kind, from string) string {
	f.mu.Lock()
	f.turn++
	turn := f.turn
	f.mu.Unlock()
	switch what {
	case strangerKind:
		id := make([]byte, 32)
		for i := range id {
			id[i] = byte(rand.Uint32()) //nolint:gosec // a name, not a secret
		}
		return sign(f.cheap, "ES256", base64.StdEncoding.EncodeToString(id), from)
	case issuerKind:
		return sign(f.cheap, "ES256", f.cheap.ID, "https://idp.example.net")
	case forgedKind:
		return f.forged(turn, from)
	case malformedKind:
		return [...]string{
			from[:len(from)/2], "a.b.c", "..", "x", from + "=", strings.Replace(from, ".", "..", 1),
			from + from[strings.LastIndexByte(from, '.'):],
		}[turn%7]
	default:
		return ""
	}
}

// forged changes what a signature ought to protect, or makes another signature.
func (f *forger) forged(turn int, from string) string {
	var buffer jose.Buffer
	compact, ok := jose.Split(from)
	jws, decoded := buffer.Decode(compact)
	if !ok || !decoded {
		return ""
	}
	switch turn % 4 {
	case 0: // another key under the right name
		raw, err := f.like.Sign([]byte(jws.Header), []byte(jws.Payload))
		if err != nil {
			return ""
		}
		return raw
	case 1: // another subject under the right signature
		changed := strings.Replace(jws.Payload, `"user-`, `"root-`, 1)
		return compact.Header + "." + base64.RawURLEncoding.EncodeToString([]byte(changed)) + "." + compact.Signature
	case 2: // a bit of the signature
		jws.Signature[rand.IntN(len(jws.Signature))] ^= 1 << rand.IntN(8) //nolint:gosec // any bit will do
		return compact.Input + "." + base64.RawURLEncoding.EncodeToString(jws.Signature)
	default: // no signature
		none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt"}`))
		return none + "." + compact.Payload + "."
	}
}

// sign makes a token for api that is good in all but its key and, perhaps, its issuer.
func sign(s *josetest.Signer, alg, kid, iss string) string {
	now := time.Now()
	head, errHead := json.Marshal(map[string]any{"alg": alg, "kid": kid, "typ": "at+jwt"})
	payload, errPayload := json.Marshal(map[string]any{
		"iss": iss, "aud": api, "sub": "mallory", "client_id": clientMachine, "scope": scope, "jti": kid,
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	})
	raw, err := s.Sign(head, payload)
	if errHead != nil || errPayload != nil || err != nil {
		return ""
	}
	return raw
}
