package speed_test

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
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// randomText returns n random bytes in base64url.
func randomText(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b64(b)
}

func marshal(tb testing.TB, v any) []byte {
	tb.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// signer is a private key under a kid.
type signer struct {
	alg, kid string
	private  crypto.Signer
}

func newSigner(tb testing.TB, alg string) *signer {
	tb.Helper()
	var private crypto.Signer
	var err error
	switch alg {
	case "RS256":
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ES256":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		private, err = newMLDSA(alg)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return &signer{alg, randomText(32), private} // as long as the kid of a user pool
}

// jwk is the public key under a kid, as a JWK.
func (s *signer) jwk(tb testing.TB, kid string) map[string]any {
	tb.Helper()
	j := map[string]any{"kid": kid, "use": "sig", "alg": s.alg}
	switch k := s.private.Public().(type) {
	case *rsa.PublicKey:
		j["kty"], j["n"], j["e"] = "RSA", b64(k.N.Bytes()), b64(big.NewInt(int64(k.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			tb.Fatal(err)
		}
		j["kty"], j["crv"], j["x"], j["y"] = "EC", "P-256", b64(point[1:33]), b64(point[33:])
	case ed25519.PublicKey:
		j["kty"], j["crv"], j["x"] = "OKP", "Ed25519", b64(k)
	default:
		j["kty"], j["pub"] = "AKP", b64(publicMLDSA(k))
	}
	return j
}

// sign makes a token of a header and a payload.
func (s *signer) sign(tb testing.TB, header map[string]any, payload []byte) string {
	tb.Helper()
	input := b64(marshal(tb, header)) + "." + b64(payload)
	return input + "." + b64(s.signature(tb, input))
}

func (s *signer) signature(tb testing.TB, input string) []byte {
	tb.Helper()
	sum := sha256.Sum256([]byte(input))
	var signature []byte
	var err error
	switch k := s.private.(type) {
	case *rsa.PrivateKey:
		signature, err = rsa.SignPKCS1v15(nil, k, crypto.SHA256, sum[:])
	case *ecdsa.PrivateKey:
		r, sc, e := ecdsa.Sign(rand.Reader, k, sum[:])
		if err = e; err == nil {
			signature = make([]byte, 64) // RFC 7518, section 3.4
			r.FillBytes(signature[:32])
			sc.FillBytes(signature[32:])
		}
	case ed25519.PrivateKey:
		signature = ed25519.Sign(k, []byte(input))
	default:
		signature, err = k.Sign(rand.Reader, []byte(input), crypto.Hash(0))
	}
	if err != nil {
		tb.Fatal(err)
	}
	return signature
}

// site is an issuer: what its tokens say, with what it signs, and the URL of its keys.
type site struct {
	iss, jwks string
	alg       string
	keys      [2]*signer // published; the first one signs
	fetches   atomic.Int64
}

func (s *site) document(tb testing.TB) []byte {
	tb.Helper()
	return marshal(tb, map[string]any{"keys": []any{s.keys[0].jwk(tb, s.keys[0].kid), s.keys[1].jwk(tb, s.keys[1].kid)}})
}

// world holds a site for each algorithm, all on one loopback server that lives as long as the process.
type world struct{ sites map[string]*site }

var (
	worldOnce sync.Once
	theWorld  *world
)

const (
	issuerBase = "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_"
	clientID   = "7h3kq1v9l2m5n8p4r6s0t1u2v3"
	audience   = "https://api.example.com/orders"
)

// theSite returns the site of an algorithm.
func theSite(tb testing.TB, alg string) *site {
	tb.Helper()
	worldOnce.Do(func() {
		w := &world{sites: map[string]*site{}}
		documents := map[string][]byte{}
		server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			name := strings.TrimPrefix(r.URL.Path, "/")
			if w.sites[name] == nil {
				http.NotFound(rw, r)
				return
			}
			w.sites[name].fetches.Add(1)
			rw.Header().Set("Content-Type", "application/json")
			_, _ = rw.Write(documents[name])
		}))
		for _, alg := range append([]string{"RS256", "ES256", "EdDSA"}, mldsaAlgorithms...) {
			s := &site{iss: issuerBase + "Bench" + alg[:2] + alg[len(alg)-2:], jwks: server.URL + "/" + alg, alg: alg}
			s.keys = [2]*signer{newSigner(tb, alg), newSigner(tb, alg)}
			w.sites[alg], documents[alg] = s, s.document(tb)
		}
		theWorld = w
	})
	if theWorld == nil || theWorld.sites[alg] == nil {
		tb.Fatalf("there is no site for %s", alg)
	}
	return theWorld.sites[alg]
}
