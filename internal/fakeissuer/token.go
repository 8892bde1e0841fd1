package fakeissuer

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"time"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/jose/josetest"
)

// Claims describes a token. The zero Claims is a valid access token of a user; each field changes one thing.
type Claims struct {
	IDToken  bool     // an ID token; otherwise an access token
	Machine  bool     // of a machine client: no user name, no groups, and the subject is the client
	Subject  string   // sub
	ClientID string   // client_id, and aud of ID tokens
	Audience []string // aud
	Scope    string   // scope of access tokens
	Groups   []string // cognito:groups, or groups
	Issuer   string   // iss

	ExpiresIn time.Duration // until exp; 0 means 1 hour, negative is expired
	IssuedAgo time.Duration // since iat; 0 means 1 minute

	// Set adds or replaces claims; a nil value removes one.
	Set map[string]any
	// Header adds or replaces header parameters; a nil value removes one.
	Header map[string]any

	KeyOf  string  // signs with the key of another region, under that key's kid
	Signer *Server // signs with the key that the same region has in another Server, under that key's kid
	Forged bool    // signs with a key that is not published, under the kid of the right one
}

// Issue returns a token of a region, signed with its current key.
func (s *Server) Issue(name string, c Claims) string {
	key, payload := s.draft(name, c)
	header := map[string]any{"alg": key.Algorithm, "kid": key.ID}
	change(header, c.Header)
	change(payload, c.Set)
	if c.Forged {
		forged, err := josetest.NewSigner(key.Algorithm)
		if err != nil {
			s.Fatalf("%v", err)
			return ""
		}
		key = forged
	}
	h, errH := json.Marshal(header)
	p, errP := json.Marshal(payload)
	token, err := key.Sign(h, p)
	if errH != nil || errP != nil || err != nil {
		s.Fatalf("the token cannot be made: %v %v %v", errH, errP, err)
	}
	return token
}

// draft returns the key and the claims of a token. It releases mu also if the test fails, as Close locks it then.
func (s *Server) draft(name string, c Claims) (*josetest.Signer, map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.region(name)
	return s.signerOf(name, c), s.payload(r, c)
}

func (s *Server) signerOf(name string, c Claims) *josetest.Signer {
	if c.KeyOf != "" {
		name = c.KeyOf
	}
	if c.Signer != nil && c.Signer != s {
		c.Signer.mu.Lock()
		defer c.Signer.mu.Unlock()
		return c.Signer.region(name).signer()
	}
	return s.region(name).signer()
}

func (r *region) signer() *josetest.Signer { return r.ring.signers[len(r.ring.signers)-1] }

// payload returns the claims, shaped as those of a user pool or of another provider. The caller holds mu.
func (s *Server) payload(r *region, c Claims) map[string]any {
	now := s.now()
	p := map[string]any{
		"iss": cmp.Or(c.Issuer, r.iss),
		"sub": cmp.Or(c.Subject, Subject),
		"jti": jti(),
		"iat": now.Add(-cmp.Or(c.IssuedAgo, time.Minute)).Unix(),
		"exp": now.Add(cmp.Or(c.ExpiresIn, time.Hour)).Unix(),
	}
	client := cmp.Or(c.ClientID, s.config.ClientID)
	if c.Machine {
		p["sub"] = cmp.Or(c.Subject, client)
	}
	if c.IDToken {
		p["aud"] = client
	} else {
		p["client_id"] = client
		p["scope"] = cmp.Or(c.Scope, Scope)
		if c.Machine && c.Scope == "" {
			p["scope"] = "orders/read"
		}
		if !s.cognito {
			p["aud"] = s.config.Audience
		}
	}
	if s.cognito {
		p["token_use"] = map[bool]string{true: "id", false: "access"}[c.IDToken]
		if !c.Machine {
			p["auth_time"] = p["iat"]
			p[map[bool]string{true: "cognito:username", false: "username"}[c.IDToken]] = "alice"
		}
	}
	if len(c.Groups) > 0 {
		p[map[bool]string{true: "cognito:groups", false: "groups"}[s.cognito]] = c.Groups
	}
	if len(c.Audience) > 0 {
		p["aud"] = c.Audience
	}
	return p
}

func change(in, with map[string]any) {
	maps.Copy(in, with)
	maps.DeleteFunc(in, func(_ string, v any) bool { return v == nil })
}

// KeyID returns the kid of the key that the region signs with.
func (s *Server) KeyID(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.region(name).signer().ID
}

// Tamper returns token with one bit of its signature changed.
func Tamper(token string) string {
	compact, ok := jose.Split(token)
	signature, err := jose.AppendBase64(nil, compact.Signature)
	if !ok || err != nil {
		return token + "A"
	}
	signature[len(signature)/2] ^= 1
	return compact.Input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func jti() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
