package clientcredentials

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/jose"
)

const maxNonce = 512 // bytes of a nonce that is used

// prover makes DPoP proofs (RFC 9449, section 4.2). It is safe for concurrent use.
type prover struct {
	key    crypto.Signer
	scheme scheme
	header string // of every proof, in base64url

	mu     sync.Mutex
	nonces map[string]string // the latest of each origin; origins are configured
}

// checkDPoPKey says why a key cannot sign proofs.
func checkDPoPKey(key crypto.Signer) error {
	_, err := newProver(key)
	return err
}

func newProver(key crypto.Signer) (p *prover, err error) {
	p = &prover{key: key, nonces: map[string]string{}}
	if guard.Apart("Public", func() {
		if p.scheme, err = (Credentials{Key: key}).scheme(); err != nil {
			return
		}
		var jwk, header []byte
		if jwk, err = (&jose.Key{Public: key.Public()}).JWK(); err != nil {
			return
		}
		header, err = json.Marshal(map[string]any{"typ": "dpop+jwt", "alg": p.scheme.alg, "jwk": json.RawMessage(jwk)})
		p.header = base64.RawURLEncoding.EncodeToString(header)
	}) != nil {
		err = errors.New("the key has no public key")
	}
	return p, err
}

// proof are the claims of a proof.
type proof struct {
	ID     string `json:"jti"`
	Method string `json:"htm"`
	URL    string `json:"htu"`
	Issued int64  `json:"iat"`
	Hash   string `json:"ath,omitempty"`
	Nonce  string `json:"nonce,omitempty"`
}

// prove adds a proof to a request; for a request with a token, one that names it.
func (p *prover) prove(req *http.Request, token string) error {
	at := *req.URL
	at.RawQuery, at.Fragment, at.RawFragment, at.ForceQuery, at.User = "", "", "", false, nil
	if at.Path == "" {
		at.Path = "/"
	}
	at.Host, at.Scheme = strings.ToLower(at.Host), strings.ToLower(at.Scheme)
	method := req.Method
	if method == "" {
		method = http.MethodGet
	}
	claims := proof{ID: rand.Text(), Method: method, URL: at.String(), Issued: time.Now().Unix()}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		claims.Hash = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	p.mu.Lock()
	claims.Nonce = p.nonces[origin(req.URL)]
	p.mu.Unlock()
	body, err := json.Marshal(claims)
	if err != nil {
		return err
	}
	input := p.header + "." + base64.RawURLEncoding.EncodeToString(body)
	signature, err := p.scheme.sign(p.key, []byte(input))
	if err != nil {
		return err
	}
	req.Header.Set("DPoP", input+"."+base64.RawURLEncoding.EncodeToString(signature))
	return nil
}

// learn keeps the nonce of an answer for the next proof (RFC 9449, section 8.2), and reports whether it is another one.
func (p *prover) learn(from *url.URL, h http.Header) bool {
	nonce := h.Get("DPoP-Nonce")
	if nonce == "" || len(nonce) > maxNonce {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.nonces[origin(from)] == nonce {
		return false
	}
	p.nonces[origin(from)] = nonce
	return true
}
