package clientcredentials

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes of the algorithms
	_ "crypto/sha512"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// scheme is how an algorithm signs: RFC 7518, section 3; RFC 8037.
type scheme struct {
	alg     string
	options crypto.SignerOpts
	size    int // of one number of an ECDSA signature, in bytes; 0 for others
}

const minRSABits = 2048

// scheme returns the scheme of c's algorithm, if that fits its key.
func (c Credentials) scheme() (scheme, error) {
	if c.Key == nil {
		return scheme{}, errors.New("a Key is required")
	}
	fit := map[string]scheme{}
	var def string
	switch key := c.Key.Public().(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < minRSABits {
			return scheme{}, fmt.Errorf("the Key has less than %d bits", minRSABits)
		}
		def = "RS256"
		fit["RS256"] = scheme{options: crypto.SHA256}
		fit["PS256"] = scheme{options: &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}}
	case *ecdsa.PublicKey:
		bits := key.Curve.Params().BitSize
		hash := map[int]crypto.Hash{256: crypto.SHA256, 384: crypto.SHA384, 521: crypto.SHA512}[bits]
		if hash != 0 && key.Curve.Params().Name != "" {
			def = fmt.Sprintf("ES%d", hash.Size()*8)
			fit[def] = scheme{options: hash, size: (bits + 7) / 8}
		}
	case ed25519.PublicKey:
		def = "EdDSA"
		fit["EdDSA"], fit["Ed25519"] = scheme{options: crypto.Hash(0)}, scheme{options: crypto.Hash(0)}
	}
	alg := c.Algorithm
	if alg == "" {
		alg = def
	}
	s, ok := fit[alg]
	if !ok {
		return scheme{}, fmt.Errorf("the Algorithm %q does not fit the Key", c.Algorithm)
	}
	s.alg = alg
	return s, nil
}

// header and claims are those of an assertion: RFC 7523, section 3.
type header struct {
	Algorithm string `json:"alg"`
	Type      string `json:"typ"`
	KeyID     string `json:"kid,omitempty"`
}

type claims struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	ID       string `json:"jti"`
	IssuedAt int64  `json:"iat"`
	Expiry   int64  `json:"exp"`
}

// assertion returns a new client assertion for target.
func (c Credentials) assertion(target string) (string, error) {
	s, err := c.scheme()
	if err != nil {
		return "", err
	}
	if c.Audience != "" {
		target = c.Audience
	}
	now := time.Now()
	head, err := json.Marshal(header{Algorithm: s.alg, Type: "JWT", KeyID: c.KeyID})
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(claims{
		Issuer: c.ClientID, Subject: c.ClientID, Audience: target, ID: rand.Text(),
		IssuedAt: now.Unix(), Expiry: now.Add(assertionFor).Unix(),
	})
	if err != nil {
		return "", err
	}
	b64 := base64.RawURLEncoding
	input := b64.EncodeToString(head) + "." + b64.EncodeToString(body)
	signature, err := s.sign(c.Key, []byte(input))
	if err != nil {
		return "", err
	}
	return input + "." + b64.EncodeToString(signature), nil
}

func (s scheme) sign(key crypto.Signer, input []byte) ([]byte, error) {
	if hash := s.options.HashFunc(); hash != 0 {
		h := hash.New()
		h.Write(input)
		input = h.Sum(nil)
	}
	signature, err := key.Sign(rand.Reader, input, s.options)
	if err != nil || s.size == 0 {
		return signature, err
	}
	// A Signer returns ASN.1; a JWS has both numbers side by side: RFC 7518, section 3.4.
	var numbers struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(signature, &numbers); err != nil || len(rest) > 0 {
		return nil, errors.New("the Key's signature is not one of ECDSA")
	}
	most := 8 * s.size
	if numbers.R.Sign() <= 0 || numbers.S.Sign() <= 0 || numbers.R.BitLen() > most || numbers.S.BitLen() > most {
		return nil, errors.New("the Key's signature is not one of its curve")
	}
	signature = make([]byte, 2*s.size)
	numbers.R.FillBytes(signature[:s.size])
	numbers.S.FillBytes(signature[s.size:])
	return signature, nil
}
