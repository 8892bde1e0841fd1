package issuertest

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/jose/josetest"
)

// Claims describes a token. The zero Claims is a valid access token of a user; each field spoils or changes one thing.
type Claims struct {
	Use      string   // "access" (the default) or "id"
	Machine  bool     // of a machine client: no user name, no groups, and the subject is the client
	Subject  string   // sub
	ClientID string   // client_id, and aud of ID tokens
	Audience []string // aud
	Scope    string   // scope of access tokens
	Groups   []string // cognito:groups, or groups
	Issuer   string   // iss

	ExpiresIn time.Duration // until exp; 0 means an hour, negative has it expired
	IssuedAgo time.Duration // since iat; 0 means a minute

	// Set adds or replaces claims; a nil value removes one.
	Set map[string]any
	// Header adds or replaces header parameters; a nil value removes one.
	Header map[string]any

	KeyOf  string // signs with the key of another region, under that key's kid
	Signer *World // signs with the key that the same region has in another world, under that key's kid
	Forge  bool   // signs with a key that nobody has published, under the kid of the right one
}

// Token mints a token in a region with the key that it signs with now.
func (w *World) Token(name string, c Claims) string {
	w.mu.Lock()
	r := w.region(name)
	key := w.signerOf(name, c)
	header := map[string]any{"alg": key.Algorithm, "kid": key.ID}
	payload := w.payload(r, c)
	w.mu.Unlock()
	change(header, c.Header)
	change(payload, c.Set)
	if c.Forge {
		forged, err := josetest.NewSigner(key.Algorithm)
		if err != nil {
			w.fatalf("%v", err)
			return ""
		}
		key = forged
	}
	h, errH := json.Marshal(header)
	p, errP := json.Marshal(payload)
	token, err := key.Sign(h, p)
	if errH != nil || errP != nil || err != nil {
		w.fatalf("the token cannot be made: %v %v %v", errH, errP, err)
	}
	return token
}

func (w *World) signerOf(name string, c Claims) *josetest.Signer {
	if c.KeyOf != "" {
		name = c.KeyOf
	}
	if c.Signer != nil && c.Signer != w {
		c.Signer.mu.Lock()
		defer c.Signer.mu.Unlock()
		return c.Signer.region(name).signer()
	}
	return w.region(name).signer()
}

func (r *region) signer() *josetest.Signer { return r.ring.signers[len(r.ring.signers)-1] }

// payload makes the claims, shaped as the authority's kind has them. The caller holds mu.
func (w *World) payload(r *region, c Claims) map[string]any {
	now := time.Now()
	p := map[string]any{
		"iss": or(c.Issuer, w.issuerOf(r)),
		"sub": or(c.Subject, Subject),
		"jti": jti(),
		"iat": now.Add(-orDuration(c.IssuedAgo, time.Minute)).Unix(),
		"exp": now.Add(orDuration(c.ExpiresIn, time.Hour)).Unix(),
	}
	client := or(c.ClientID, ClientID)
	cognito := w.config.Layout == Cognito
	if c.Machine {
		p["sub"] = or(c.Subject, client)
	}
	if c.Use == "id" {
		p["aud"] = client
	} else {
		p["client_id"] = client
		p["scope"] = or(c.Scope, Scope)
		if c.Machine && c.Scope == "" {
			p["scope"] = "orders/read"
		}
		if !cognito {
			p["aud"] = Audience
		}
	}
	if cognito {
		p["token_use"] = or(c.Use, "access")
		if !c.Machine {
			p["auth_time"] = p["iat"]
			p[map[bool]string{true: "cognito:username", false: "username"}[c.Use == "id"]] = "alice"
		}
	}
	if len(c.Groups) > 0 {
		p[map[bool]string{true: "cognito:groups", false: "groups"}[cognito]] = c.Groups
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

func or(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

func orDuration(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return d
}

// KeyID tells the kid that the region signs with now.
func (w *World) KeyID(name string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.region(name).signer().ID
}

// Tamper returns token with one bit of its signature changed.
func Tamper(token string) string {
	i := strings.LastIndexByte(token, '.') + 1
	signature, err := base64.RawURLEncoding.DecodeString(token[i:])
	if err != nil || len(signature) == 0 {
		return token + "A"
	}
	signature[len(signature)/2] ^= 1
	return token[:i] + base64.RawURLEncoding.EncodeToString(signature)
}

func jti() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
