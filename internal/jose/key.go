package jose

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/fips140"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"strings"
	"unique"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/regionjwt/regionjwt/internal/strictjson"
)

// Bounds on the keys that are used. An RSA exponent is odd and from minExponent to maxExponent; above MaxRSABits it is
// minExponent.
const (
	MinRSABits   = 2048
	MaxRSABits   = 4096 // the default of Limits
	MostRSABits  = 8192 // the most that Limits can allow
	MaxKeyID     = 256  // bytes of a kid
	MaxKeys      = 1000 // keys of a set; the default of Limits
	minExponent  = 65537
	maxExponent  = 1<<31 - 1
	maxKeyMember = 4096 // characters of an encoded member; n of 8192 bits has 1366, pub of ML-DSA-87 3456
)

// Key is a usable public key of a set. It is immutable.
type Key struct {
	ID         string // kid; "" where the key names none
	Algorithm  string // alg, Canonical; "" where the key names none
	Thumbprint Thumbprint
	Public     crypto.PublicKey
}

// Thumbprint is the SHA-256 thumbprint of a key (RFC 7638).
type Thumbprint [sha256.Size]byte

// String returns the thumbprint, base64url-encoded.
func (t Thumbprint) String() string { return encode(t[:]) }

// Compare orders thumbprints.
func (t Thumbprint) Compare(other Thumbprint) int { return bytes.Compare(t[:], other[:]) }

// In reports whether list names the thumbprint.
func (t Thumbprint) In(list []string) bool { return len(list) > 0 && slices.Contains(list, t.String()) }

// Same reports whether two keys are one: the same material under the same kid, for the same algorithm.
func (k *Key) Same(other *Key) bool {
	return k == other || k.ID == other.ID && k.Thumbprint == other.Thumbprint && k.Algorithm == other.Algorithm
}

// Type returns the kty of k: RFC 7518, section 6.1, and RFC 9964. It is "" for a key without material.
func (k *Key) Type() string {
	switch k.Public.(type) {
	case *rsa.PublicKey:
		return "RSA"
	case *ecdsa.PublicKey:
		return "EC"
	case ed25519.PublicKey:
		return "OKP"
	}
	if parameterSet(k.Public) != "" {
		return "AKP"
	}
	return ""
}

// JWK returns k as a JWK (RFC 7517, section 4) with the members that ParseKey needs.
func (k *Key) JWK() ([]byte, error) {
	m := map[string]string{}
	if k.ID != "" {
		m["kid"] = k.ID
	}
	if k.Algorithm != "" {
		m["alg"] = k.Algorithm
	}
	switch p := k.Public.(type) {
	case *rsa.PublicKey:
		m["kty"], m["n"], m["e"] = "RSA", encode(p.N.Bytes()), encode(big.NewInt(int64(p.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := p.Bytes()
		if err != nil {
			return nil, err
		}
		width := coordinateWidth(p.Curve)
		m["kty"], m["crv"] = "EC", p.Params().Name
		m["x"], m["y"] = encode(point[1:1+width]), encode(point[1+width:])
	case ed25519.PublicKey:
		m["kty"], m["crv"], m["x"] = "OKP", "Ed25519", encode(p)
	default:
		if alg := parameterSet(p); alg != "" {
			m["kty"], m["alg"], m["pub"] = "AKP", alg, encode(publicMLDSA(p))
		}
	}
	return json.Marshal(m)
}

// Skip says why a key of a set is not used.
type Skip string

// The reasons for which a key is skipped.
const (
	SkipNotObject   Skip = "not_an_object"
	SkipKeyID       Skip = "no_usable_kid"
	SkipKeyType     Skip = "unsupported_kty"
	SkipCurve       Skip = "unsupported_crv"
	SkipUse         Skip = "use_is_not_sig"
	SkipKeyOps      Skip = "key_ops_without_verify"
	SkipAlgorithm   Skip = "unsupported_alg"
	SkipUnsupported Skip = "unsupported_by_this_build" // of Go, or of its FIPS 140-3 module
	SkipPrivate     Skip = "private_member"
	SkipRSASize     Skip = "rsa_size"
	SkipRSAExponent Skip = "rsa_exponent"
	SkipMalformed   Skip = "malformed_key"
	SkipKnownKey    Skip = "known_private_key"
	SkipTooMany     Skip = "too_many_keys"
)

// Policy reports whether the key could be read, and a rule of this package or of Limits forbids it.
func (s Skip) Policy() bool {
	return s == SkipRSASize || s == SkipRSAExponent || s == SkipPrivate || s == SkipKnownKey
}

// NotForSignatures reports whether the key says of itself that it does not verify signatures.
func (s Skip) NotForSignatures() bool { return s == SkipUse || s == SkipKeyOps }

// known private keys: development servers publish them, so that anyone can sign with them. By RFC 7638 thumbprint.
var publishedPrivateKeys = map[string]string{
	"jS8J3RuOy291lpsiFe2NfKV6VkdfMF4Q_840qOLXAjs": "cognito-local",
}

// IsPublishedPrivateKey reports whether the private half of the key with this thumbprint is public knowledge.
func IsPublishedPrivateKey(thumbprint string) bool {
	_, ok := publishedPrivateKeys[thumbprint]
	return ok
}

// ParseKey reads one key of a set. It returns the key, or why it is skipped. maxRSABits is the longest RSA modulus that is used.
//
// Some spellings that RFC 7517 and RFC 7518 do not allow say the same as the right one, and are read as if they were it: null for
// an optional member, an empty list for key_ops or oth, padded base64url, and numbers with other than the right count of leading
// zero bytes. The thumbprint is that of the right spelling.
func ParseKey(v strictjson.Value, maxRSABits int) (*Key, Skip) {
	var m members
	if skip := m.read(v); skip != "" {
		return nil, skip
	}
	return m.parse(maxRSABits)
}

// parse makes the key of members.
func (m *members) parse(maxRSABits int) (*Key, Skip) {
	if skip := m.checkUse(); skip != "" {
		return nil, skip
	}
	k := &Key{ID: strings.Clone(m.kid.Text())} // not to hold the document
	if alg := m.alg.Text(); alg != "" {
		k.Algorithm = unique.Make(Canonical(alg)).Value() // one copy for all keys
	}
	var minimal map[string]string
	var skip Skip
	switch {
	case m.kty.Is("RSA"):
		k.Public, minimal, skip = m.rsa(maxRSABits)
	case m.kty.Is("EC"):
		k.Public, minimal, skip = m.ec()
	case m.kty.Is("OKP"):
		k.Public, minimal, skip = m.okp()
	case m.kty.Is("AKP"):
		k.Public, minimal, skip = m.akp()
	default:
		return nil, SkipKeyType
	}
	if skip != "" {
		return nil, skip
	}
	if k.Algorithm != "" && !Fits(k.Algorithm, k.Public) {
		return nil, SkipAlgorithm
	}
	canonical, _ := json.Marshal(minimal) // sorted names, no white space: the input of RFC 7638
	if !agrees(canonical, k) {
		return nil, SkipMalformed
	}
	k.Thumbprint = sha256.Sum256(canonical)
	return k, ""
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// base64Bytes decodes a member that must be a base64url text. It may be padded (RFC 4648, section 3.2).
func base64Bytes(v strictjson.Value) ([]byte, bool) {
	text := v.Text()
	if text == "" || len(text) > maxKeyMember {
		return nil, false
	}
	if len(text)%4 == 0 {
		text = strings.TrimSuffix(strings.TrimSuffix(text, "="), "=")
	}
	b, err := AppendBase64(make([]byte, 0, len(text)), text)
	return b, err == nil
}

// trimmed returns a number without its leading zero bytes: the form of RFC 7518, section 6.3.1.
func trimmed(number []byte) []byte { return bytes.TrimLeft(number, "\x00") }

// padded returns a number with exactly width bytes: the form of RFC 7518, section 6.2.1.2. It returns nil if it has more.
func padded(number []byte, width int) []byte {
	number = trimmed(number)
	if len(number) > width {
		return nil
	}
	return append(make([]byte, width-len(number), width), number...)
}

// rsa reads an RSA key: RFC 7518, section 6.3.1.
func (m *members) rsa(maxBits int) (crypto.PublicKey, map[string]string, Skip) {
	if n := m.n.Text(); len(n) > maxKeyMember && !strings.HasPrefix(n, "AA") { // it does not begin with a zero byte
		return nil, nil, SkipRSASize
	}
	n, okN := base64Bytes(m.n)
	e, okE := base64Bytes(m.e)
	if n, e = trimmed(n), trimmed(e); !okN || !okE || len(n) == 0 || len(e) == 0 {
		return nil, nil, SkipMalformed
	}
	modulus, exponent := new(big.Int).SetBytes(n), new(big.Int).SetBytes(e)
	modulus.SetBits(slices.Clone(modulus.Bits())) // without the room that SetBytes leaves to grow
	if skip := checkRSA(modulus, exponent, maxBits); skip != "" {
		return nil, nil, skip
	}
	public := &rsa.PublicKey{N: modulus, E: int(exponent.Int64())}
	if !supportsRSA(public) {
		return nil, nil, SkipUnsupported
	}
	return public,
		map[string]string{"kty": "RSA", "n": encode(n), "e": encode(e)}, ""
}

// supportsRSA reports whether this process can use a key: where FIPS 140-3 is enforced, it cannot use one of an odd size. Its
// tokens then are not bad.
func supportsRSA(k *rsa.PublicKey) bool {
	if !fips140.Enabled() {
		return true
	}
	err := rsa.VerifyPKCS1v15(k, crypto.SHA256, make([]byte, sha256.Size), make([]byte, k.Size()))
	return errors.Is(err, rsa.ErrVerification)
}

func checkRSA(n, e *big.Int, maxBits int) Skip {
	if n == nil || n.BitLen() < MinRSABits || n.BitLen() > maxBits {
		return SkipRSASize
	}
	if n.Bit(0) == 0 {
		return SkipMalformed
	}
	if e.BitLen() > 31 || e.Bit(0) == 0 || e.Int64() < minExponent || e.Int64() > maxExponent ||
		n.BitLen() > MaxRSABits && e.Int64() != minExponent {
		return SkipRSAExponent
	}
	return ""
}

// ec reads a key on one of the three NIST curves: RFC 7518, section 6.2.1.
func (m *members) ec() (crypto.PublicKey, map[string]string, Skip) {
	curve := curveOf(m.crv.Text())
	if curve == nil {
		return nil, nil, SkipCurve
	}
	x, okX := base64Bytes(m.x)
	y, okY := base64Bytes(m.y)
	width := coordinateWidth(curve)
	if x, y = padded(x, width), padded(y, width); !okX || !okY || x == nil || y == nil {
		return nil, nil, SkipMalformed
	}
	public, err := ecdsa.ParseUncompressedPublicKey(curve, append(append([]byte{4}, x...), y...))
	if err != nil { // not on the curve
		return nil, nil, SkipMalformed
	}
	return public, map[string]string{"kty": "EC", "crv": m.crv.Text(), "x": encode(x), "y": encode(y)}, ""
}

// okp reads an Ed25519 key: RFC 8037, section 2.
func (m *members) okp() (crypto.PublicKey, map[string]string, Skip) {
	if !m.crv.Is("Ed25519") {
		return nil, nil, SkipCurve
	}
	x, ok := base64Bytes(m.x)
	if !ok || !usableEd25519(x) {
		return nil, nil, SkipMalformed
	}
	return ed25519.PublicKey(x), map[string]string{"kty": "OKP", "crv": "Ed25519", "x": encode(x)}, ""
}

// agrees has jwx read the same key, reduced to its defining members, and compares what it made of it with what stands in the
// set. Two readers must agree before a key counts. jwx does not know ML-DSA, whose keys are their bytes.
func agrees(minimal []byte, k *Key) bool {
	if k.Type() == "AKP" {
		return true
	}
	parsed, err := jwk.ParseKey(minimal)
	if err != nil {
		return false
	}
	switch want := k.Public.(type) {
	case *rsa.PublicKey:
		var got rsa.PublicKey
		return parsed.Raw(&got) == nil && got.Equal(want)
	case *ecdsa.PublicKey:
		var got ecdsa.PublicKey
		return parsed.Raw(&got) == nil && got.Equal(want)
	case ed25519.PublicKey:
		var got ed25519.PublicKey
		return parsed.Raw(&got) == nil && bytes.Equal(got, want)
	}
	return false
}
