package conformance

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Token says how a token is built. In Header and Payload, <now>, <now+60> and <now-60> stand for times in Unix seconds,
// <now+60:e> for one in scientific notation, and <nonce> for 16 random characters.
type Token struct {
	Header  Text `json:"header,omitempty"`
	Payload Text `json:"payload,omitempty"`

	HeaderText    string    `json:"header_text,omitempty"` // instead of base64url of Header
	PayloadText   *Spelling `json:"payload_text,omitempty"`
	Sign          *Sign     `json:"sign,omitempty"`
	Signature     []string  `json:"signature,omitempty"` // what is done to the bytes of the signature
	SignatureText *Spelling `json:"signature_text,omitempty"`

	HeaderSent  Text `json:"header_sent,omitempty"`  // instead of what was signed
	PayloadSent Text `json:"payload_sent,omitempty"` // instead of what was signed
	Compact     Text `json:"compact,omitempty"`      // <header>.<payload>.<signature> if it is empty
}

// Sign says how a signature is made.
type Sign struct {
	Key   string `json:"key,omitempty"` // in keys/private.json
	Alg   string `json:"alg,omitempty"`
	Until string `json:"until,omitempty"` // sign again until this is so

	HMAC   string `json:"hmac,omitempty"` // SHA256 or SHA512
	Secret *Text  `json:"secret,omitempty"`

	Bytes *Text `json:"bytes,omitempty"` // the signature itself
}

// Spelling says how bytes are written, if not as base64url without padding.
type Spelling struct {
	Encoding         string `json:"encoding,omitempty"` // twice, hex, or none
	Append           string `json:"append,omitempty"`
	Insert           string `json:"insert,omitempty"`
	At               int    `json:"at,omitempty"` // where Insert goes
	StandardAlphabet bool   `json:"standard_alphabet,omitempty"`
	SetUnusedBits    bool   `json:"set_unused_bits,omitempty"`
}

var b64 = base64.RawURLEncoding

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func (s *Spelling) write(b []byte) string {
	if s == nil {
		return b64.EncodeToString(b)
	}
	text := b64.EncodeToString(b)
	switch s.Encoding {
	case "twice":
		text = b64.EncodeToString([]byte(text))
	case "hex":
		text = hex.EncodeToString(b)
	case "none":
		text = string(b)
	}
	if s.SetUnusedBits {
		last := strings.IndexByte(alphabet, text[len(text)-1])
		text = text[:len(text)-1] + alphabet[last|1:][:1]
	}
	if s.StandardAlphabet {
		text = strings.NewReplacer("-", "+", "_", "/").Replace(text)
	}
	if s.Insert != "" {
		text = text[:s.At] + s.Insert + text[s.At:]
	}
	return text + s.Append
}

// filler is what stands for times and random text.
var filler = regexp.MustCompile(`<(?:nonce|now([+-]\d+)?(:e)?)>`)

func fill(text []byte, now time.Time) []byte {
	return filler.ReplaceAllFunc(text, func(m []byte) []byte {
		if string(m) == "<nonce>" {
			return []byte(rand.Text()[:16])
		}
		part := filler.FindSubmatch(m)
		offset, _ := strconv.ParseInt(string(part[1]), 10, 64) // 0 if there is none
		at := now.Unix() + offset
		if len(part[2]) > 0 {
			return strconv.AppendFloat(nil, float64(at), 'e', -1, 64)
		}
		return strconv.AppendInt(nil, at, 10)
	})
}

var errMany = errors.New("no signature is as it must be")

// Build returns a token as of now.
func (c *Corpus) Build(t *Token, now time.Time) (string, error) {
	const tries = 1 << 14
	for range tries {
		raw, ok, err := c.build(t, now)
		if err != nil || ok {
			return raw, err
		}
	}
	return "", errMany
}

func (c *Corpus) build(t *Token, now time.Time) (raw string, ok bool, err error) {
	header := t.HeaderText
	if header == "" {
		header = b64.EncodeToString(fill(t.Header.Bytes(), now))
	}
	payload := t.PayloadText.write(fill(t.Payload.Bytes(), now))
	var signature []byte
	if t.Sign != nil {
		if signature, err = c.sign(t.Sign, []byte(header+"."+payload)); err != nil {
			return "", false, err
		}
		if !t.Sign.reached(signature) {
			return "", false, nil
		}
	}
	for _, change := range t.Signature {
		if signature, err = c.change(t.Sign, change, signature); err != nil {
			return "", false, err
		}
	}
	if t.HeaderSent != nil {
		header = b64.EncodeToString(fill(t.HeaderSent.Bytes(), now))
	}
	if t.PayloadSent != nil {
		payload = b64.EncodeToString(fill(t.PayloadSent.Bytes(), now))
	}
	compact := "<header>.<payload>.<signature>"
	if t.Compact != nil {
		compact = string(t.Compact.Bytes())
	}
	parts := strings.NewReplacer("<header>", header, "<payload>", payload, "<signature>", t.SignatureText.write(signature))
	return parts.Replace(compact), true, nil
}

var errHow = errors.New("no such way")

func (c *Corpus) sign(s *Sign, input []byte) ([]byte, error) {
	switch {
	case s.Bytes != nil:
		return s.Bytes.Bytes(), nil
	case s.HMAC == "SHA256":
		return mac(sha256.New, s.Secret.Bytes(), input), nil
	case s.HMAC == "SHA512":
		return mac(sha512.New, s.Secret.Bytes(), input), nil
	}
	return c.keys[s.Key].sign(s, input)
}

// mac is HMAC by hand, as the standard library's refuses short secrets in FIPS 140 mode.
func mac(newHash func() hash.Hash, secret, input []byte) []byte {
	h := newHash()
	block := make([]byte, h.BlockSize())
	if len(secret) > len(block) {
		h.Write(secret)
		secret = h.Sum(nil)
		h = newHash()
	}
	copy(block, secret)
	pad := func(with byte) []byte {
		padded := bytes.Clone(block)
		for i := range padded {
			padded[i] ^= with
		}
		return padded
	}
	h.Write(pad(0x36))
	h.Write(input)
	inner := h.Sum(nil)
	h.Reset()
	h.Write(pad(0x5c))
	h.Write(inner)
	return h.Sum(nil)
}

// reached reports whether a signature is as Until says.
func (s *Sign) reached(signature []byte) bool {
	half := len(signature) / 2
	switch s.Until {
	case "starts with zero", "r starts with zero":
		return signature[0] == 0
	case "s starts with zero":
		return signature[half] == 0
	case "s is low":
		return signature[half] < 0x7f
	case "s is high":
		return signature[half] > 0x80
	}
	return true
}

// change does to a signature what breaks it.
func (c *Corpus) change(s *Sign, how string, signature []byte) ([]byte, error) {
	half := len(signature) / 2
	switch how {
	case "flip last bit":
		signature[len(signature)-1] ^= 1
	case "flip first bit":
		signature[0] ^= 1
	case "drop last byte":
		return signature[:len(signature)-1], nil
	case "append zero byte":
		return append(signature, 0), nil
	case "zeros":
		clear(signature)
	case "swap halves":
		return slices.Concat(signature[half:], signature[:half]), nil
	case "reverse halves":
		slices.Reverse(signature[:half])
		slices.Reverse(signature[half:])
	case "drop first byte of halves":
		return slices.Concat(signature[1:half], signature[half+1:]), nil
	case "hex":
		return hex.AppendEncode(nil, signature), nil
	case "add modulus":
		n := c.keys[s.Key].ready().rsa.N
		sum := new(big.Int).Add(new(big.Int).SetBytes(signature), n)
		if sum.BitLen() > 8*len(signature) {
			return append([]byte{1}, sum.FillBytes(make([]byte, len(signature)+1))[1:]...), nil
		}
		return sum.FillBytes(signature), nil
	default:
		return nil, fmt.Errorf("%q: %w", how, errHow)
	}
	return signature, nil
}
