package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/verifier"
)

// row is an operation whose instructions are counted.
type row struct {
	name       string
	limit      int // the most instructions that it may take
	alg        string
	cacheSize  int                               // of the Verifier; negative is none
	subtracted bool                              // what open returns for the floor is subtracted
	open       func(w *world, floor bool) func() // returns the operation
}

// rows lists the operations. A limit is what was counted with Go 1.27, and 3 % for others: raise one only with a reason.
func rows() []row {
	return []row{
		{"verify RS256, of a user", 22500, "RS256", -1, true, verifies(user)},
		{"verify RS256, of a machine", 17700, "RS256", -1, true, verifies(machine)},
		{"verify RS256, 100 groups", 50400, "RS256", -1, true, verifies(groups)},
		{"verify, bad signature", 27300, "RS256", -1, true, forged},
		{"verify, cached", 3050, "EdDSA", 0, false, verifies(user)},
		{"verify, expired", 14900, "EdDSA", -1, false, refused(verifier.ReasonExpired, expired)},
		{"verify, other issuer", 13400, "EdDSA", -1, false, refused(verifier.ReasonUnknownIssuer, otherIssuer)},
		{"verify, unknown kid", 27500, "EdDSA", -1, false, refused(anyReason, unknownKid)},
		{"httpauth, cached, over a context value", 4900, "EdDSA", 0, true, handles},
	}
}

// Shapes of tokens.
var (
	user = fakeissuer.Claims{
		Groups: []string{"customers", "beta-testers"}, Scope: "openid email orders/read orders/write", Set: more,
	}
	machine     = fakeissuer.Claims{Machine: true, Scope: "orders/read orders/write"}
	groups      = fakeissuer.Claims{Groups: hundred(), Scope: user.Scope, Set: more}
	expired     = fakeissuer.Claims{ExpiresIn: -time.Hour}
	otherIssuer = fakeissuer.Claims{Issuer: "https://other.example"}
	unknownKid  = fakeissuer.Claims{Header: map[string]any{"kid": "other"}}
	more        = map[string]any{
		"origin_jti": "6f7e8d9c-5b4a-4392-8170-a1b2c3d4e5f6", "event_id": "0f1e2d3c-4b5a-4697-8877-665544332211", "version": 2,
	}
)

func hundred() (names []string) {
	for i := range 100 {
		names = append(names, fmt.Sprintf("tenant-%04d-readers", i))
	}
	return names
}

const region = "us-east-1"

// world is an issuer, and a Verifier of its tokens with the keys in memory.
type world struct {
	*fakeissuer.Server
	*verifier.Verifier
	keys *jwks.Cache
	alg  string
}

func newWorld(alg string, key crypto.Signer, cacheSize int) *world {
	s := fakeissuer.New(nil, fakeissuer.Config{Algorithm: alg, Keys: map[string]crypto.Signer{region: key}})
	keys, err := jwks.New([]issuer.Provider{s.Provider()}, jwks.Config{HTTPClient: s.Client()})
	must(err)
	must(keys.Preload(context.Background()))
	v, err := verifier.New([]verifier.Policy{{
		Provider: s.Provider(), Audience: verifier.CognitoAccess(fakeissuer.ClientID), Algorithms: []string{alg},
	}}, keys, verifier.Config{CacheSize: cacheSize})
	must(err)
	return &world{s, v, keys, alg}
}

// verifies verifies a token; subtracted is the check of its signature.
func verifies(c fakeissuer.Claims) func(*world, bool) func() {
	return func(w *world, floor bool) func() {
		token := w.Issue(region, c)
		if floor {
			return w.checks(token, true)
		}
		return w.answers(token, "")
	}
}

// forged rejects a token that someone else has signed.
func forged(w *world, floor bool) func() {
	token := w.Issue(region, user)
	token = token[:len(token)-20] + "aaaaaaaaaa" + token[len(token)-10:]
	if floor {
		return w.checks(token, false)
	}
	return w.answers(token, verifier.ReasonBadSignature)
}

func refused(reason verifier.Reason, c fakeissuer.Claims) func(*world, bool) func() {
	return func(w *world, _ bool) func() {
		token := w.Issue(region, c)
		for range 100 { // what may be fetched for an unknown key has been
			_, _ = w.Verify(context.Background(), token)
		}
		return w.answers(token, reason)
	}
}

// anyReason stands for each of those that a token of an unknown key gets in turn.
const anyReason verifier.Reason = "any"

// answers verifies a token, with an expected answer.
func (w *world) answers(token string, reason verifier.Reason) func() {
	ctx := context.Background()
	return func() {
		_, err := w.Verify(ctx, token)
		got := verifier.Reason("")
		if e := (*verifier.Error)(nil); errors.As(err, &e) {
			got = e.Reason
		}
		if got != reason && (reason != anyReason || got == "") {
			must(fmt.Errorf("%w, not %q", err, reason))
		}
	}
}

// checks checks the signature of a token and nothing else.
func (w *world) checks(token string, good bool) func() {
	dot := strings.LastIndexByte(token, '.')
	input := []byte(token[:dot])
	signature, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
	must(err)
	kid := w.KeyID(region)
	iss := w.Provider().Regions[0].Issuers[0]
	found := w.keys.Lookup(context.Background(), jwks.Query{Issuer: iss, KeyID: kid, Algorithm: w.alg})
	public := found.Keys[0].Public()
	return func() {
		if verify(public, input, signature) != good {
			must(errors.New("the check of the signature has another result"))
		}
	}
}

func verify(public crypto.PublicKey, input, signature []byte) bool {
	switch k := public.(type) {
	case *rsa.PublicKey:
		sum := sha256.Sum256(input)
		return rsa.VerifyPKCS1v15(k, crypto.SHA256, sum[:], signature) == nil
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(input)
		return ecdsa.Verify(k, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
	case ed25519.PublicKey:
		return ed25519.Verify(k, input, signature)
	}
	return false
}

// handles serves a request with a cached token; subtracted is a request with a value in its context.
func handles(w *world, floor bool) func() {
	type key struct{}
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	if floor {
		next := h
		h = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, w)))
		})
	} else {
		h = httpauth.Require(w.Verifier)(h)
	}
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "/orders", nil)
	must(err)
	r.Header.Set("Authorization", "Bearer "+w.Issue(region, user))
	answer := &response{header: http.Header{}}
	return func() {
		answer.status = 0
		if h.ServeHTTP(answer, r); answer.status != http.StatusNoContent {
			must(fmt.Errorf("the answer is %d", answer.status))
		}
	}
}

// response notes the status of an answer and nothing else.
type response struct {
	header http.Header
	status int
}

func (r *response) Header() http.Header         { return r.header }
func (r *response) Write(b []byte) (int, error) { return len(b), nil }
func (r *response) WriteHeader(status int)      { r.status = status }

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "instructions:", err)
		os.Exit(1)
	}
}
