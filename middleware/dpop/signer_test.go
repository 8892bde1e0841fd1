package dpop_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/middleware/dpop"
	"github.com/regionjwt/regionjwt/verifier"
)

// The request that good proofs are for.
const (
	method = "GET"
	url    = "https://api.example.com/orders"
	token  = "token.of.alice"
)

var issued = time.Unix(1_800_000_000, 0)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func ath(token string) string {
	sum := sha256.Sum256([]byte(token))
	return b64(sum[:])
}

// signer is a client's key. It does not use the library, so that both do not make the same mistake.
type signer struct {
	alg        string
	private    crypto.Signer
	jwk        map[string]any
	thumbprint string
}

// keys makes one key for each algorithm.
var keys = struct {
	sync.Mutex
	of map[string]*signer
}{of: map[string]*signer{}}

func signerFor(t testing.TB, alg string) *signer {
	t.Helper()
	keys.Lock()
	defer keys.Unlock()
	if keys.of[alg] == nil {
		keys.of[alg] = newSigner(t, alg, 2048)
	}
	return keys.of[alg]
}

func newSigner(t testing.TB, alg string, bits int) *signer {
	t.Helper()
	s := &signer{alg: alg}
	var err error
	switch alg {
	case "Ed25519", "EdDSA":
		_, s.private, err = ed25519.GenerateKey(rand.Reader)
	case "ES256":
		s.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		s.private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		s.private, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "ML-DSA-44", "ML-DSA-65", "ML-DSA-87":
		s.private, err = newMLDSA(alg)
	default:
		s.private, err = rsa.GenerateKey(rand.Reader, bits)
	}
	require.NoError(t, err)
	s.describe(t)
	return s
}

// describe sets the JWK and its thumbprint.
func (s *signer) describe(t testing.TB) {
	t.Helper()
	switch p := s.private.Public().(type) {
	case ed25519.PublicKey:
		s.jwk = map[string]any{"kty": "OKP", "crv": "Ed25519", "x": b64(p)}
	case *ecdsa.PublicKey:
		point, err := p.Bytes()
		require.NoError(t, err)
		half := len(point) / 2
		s.jwk = map[string]any{"kty": "EC", "crv": p.Params().Name, "x": b64(point[1 : 1+half]), "y": b64(point[1+half:])}
	case *rsa.PublicKey:
		s.jwk = map[string]any{"kty": "RSA", "n": b64(p.N.Bytes()), "e": b64(big.NewInt(int64(p.E)).Bytes())}
	default:
		s.jwk = map[string]any{"kty": "AKP", "alg": s.alg, "pub": b64(publicMLDSA(p))}
	}
	s.setJWK(t, s.jwk)
}

// setJWK replaces the key that the signer shows: a JWK with the required members only.
func (s *signer) setJWK(t testing.TB, jwk map[string]any) {
	t.Helper()
	canonical, err := json.Marshal(jwk) // its names are sorted
	require.NoError(t, err)
	sum := sha256.Sum256(canonical)
	s.jwk, s.thumbprint = jwk, b64(sum[:])
}

func (s *signer) sign(t testing.TB, header, payload string) string {
	t.Helper()
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[s.alg[2:]] // 0: none
	digest := []byte(input)
	if hash != 0 {
		h := hash.New()
		h.Write(digest)
		digest = h.Sum(nil)
	}
	var signature []byte
	var err error
	switch k := s.private.(type) {
	case *ecdsa.PrivateKey:
		r, v, failed := ecdsa.Sign(rand.Reader, k, digest)
		width := (k.Params().BitSize + 7) / 8
		signature, err = append(r.FillBytes(make([]byte, width)), v.FillBytes(make([]byte, width))...), failed
	case *rsa.PrivateKey:
		var options crypto.SignerOpts = hash
		if s.alg[0] == 'P' {
			options = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
		}
		signature, err = k.Sign(rand.Reader, digest, options)
	default:
		signature, err = k.Sign(rand.Reader, digest, crypto.Hash(0))
	}
	require.NoError(t, err)
	return input + "." + b64(signature)
}

type members map[string]any

// absent removes a member.
type absent struct{}

func change(base, with members) string {
	for name, v := range with {
		base[name] = v
		if _, gone := v.(absent); gone {
			delete(base, name)
		}
	}
	text, err := json.Marshal(base)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// proof returns a good proof with the changes of header and claims.
func (s *signer) proof(t testing.TB, header, claims members) string {
	t.Helper()
	return s.sign(t, s.header(header), s.claims(claims))
}

func (s *signer) header(with members) string {
	return change(members{"typ": "dpop+jwt", "alg": s.alg, "jwk": s.jwk}, with)
}

func (*signer) claims(with members) string {
	return change(members{"jti": "one", "htm": method, "htu": url, "iat": issued.Unix(), "ath": ath(token)}, with)
}

// request returns the request that good proofs are for, with these proofs.
func (s *signer) request(values ...string) dpop.Presentation {
	return dpop.Presentation{Proofs: values, Method: method, URL: url, Token: token, Thumbprint: s.thumbprint}
}

func newChecker(t testing.TB, c dpop.Config) *dpop.Checker {
	t.Helper()
	return newCheckerAt(t, c, 0, func() time.Time { return issued })
}

// newCheckerAt is newChecker with the size of the memory, 0 for the default, and a clock.
func newCheckerAt(t testing.TB, c dpop.Config, size int, now func() time.Time) *dpop.Checker {
	t.Helper()
	checker, err := dpop.NewAt(c, size, now)
	require.NoError(t, err)
	return checker
}

// requireRejected requires a reason and the check that failed.
func requireRejected(t testing.TB, err error, reason verifier.Reason, cause error) {
	t.Helper()
	var e *verifier.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, reason, e.Reason, "%v", err)
	require.ErrorIs(t, err, cause)
	detail := ""
	if reason == verifier.ReasonProofFailed {
		detail = "dpop"
	}
	require.Equal(t, detail, e.Detail)
	if reason == verifier.ReasonProofUnavailable {
		require.ErrorIs(t, err, verifier.ErrUnavailable)
		require.Equal(t, time.Second, e.RetryAfter)
		return
	}
	require.ErrorIs(t, err, verifier.ErrInvalid)
	require.Zero(t, e.RetryAfter)
}
