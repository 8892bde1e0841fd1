package dpop

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/strictjson"
)

// parse parses the three segments of a proof. What they hold is not checked yet.
func parse(raw string) (jose.JWS, error) {
	var buffer jose.Buffer
	if compact, ok := jose.Split(raw); ok {
		if j, ok := buffer.Decode(compact); ok {
			return j, nil
		}
	}
	return jose.JWS{}, errForm
}

// header is the JOSE header of a proof. Its key is only text until verify.
type header struct {
	alg        string // canonical
	thumbprint string // RFC 7638; of members that are not checked yet
	key        string // {"jwk":...} with a kid and the members that are used
}

// read reads the header (RFC 9449 section 4.2). It ignores other members, such as kid, jku and x5c.
func (h *header) read(text string, algorithms []string) error {
	members, err := strictjson.Parse(nil, text)
	if err != nil {
		return errHeader
	}
	var typ, alg, jwk strictjson.Value
	for _, m := range members {
		switch m.Name {
		case "typ":
			typ = m.Value
		case "alg":
			alg = m.Value
		case "jwk":
			jwk = m.Value
		case "crit", "b64", "enc", "zip", "cty":
			return errHeader // no extension is supported: RFC 7515 section 4.1.11
		}
	}
	if !typ.Is("dpop+jwt") {
		return errType
	}
	h.alg = jose.Canonical(alg.Text())
	if !slices.ContainsFunc(algorithms, func(a string) bool { return jose.Canonical(a) == h.alg }) {
		return errAlgorithm
	}
	return h.readKey(jwk)
}

// readKey sets the key and its thumbprint. It only hashes: verify checks the key itself, once it is known to be the one that the
// token is bound to.
func (h *header) readKey(jwk strictjson.Value) error {
	texts := map[string]string{} // empty if jwk is not an object
	var minimal strings.Builder
	minimal.WriteString(`{"jwk":{"kid":"proof"`) // jose.ParseKey needs a kid
	for m := range jwk.Members() {
		switch m.Name {
		case "d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv":
			return errPrivate // RFC 7518 sections 6.2.2, 6.3.2 and 6.4; RFC 9964
		case "kty", "crv", "x", "y", "n", "e", "alg", "pub":
			texts[m.Name] = m.Value.Text()
		case "use", "key_ops":
		default:
			continue
		}
		if m.Value.Kind() == strictjson.Null {
			return errKey // of a key set it is taken for absent: a client that makes its own proofs can leave it out
		}
		minimal.WriteString(`,"` + m.Name + `":` + m.Value.Raw())
	}
	minimal.WriteString("}}")
	h.key = minimal.String()
	names := []string{"crv", "kty", "x"} // in the order of RFC 7638 section 3.3
	switch texts["kty"] {
	case "EC":
		names = append(names, "y")
	case "RSA":
		names = []string{"e", "kty", "n"}
	case "AKP":
		names = []string{"alg", "kty", "pub"} // RFC 9964
	case "OKP":
	default:
		return errKey
	}
	var canonical strings.Builder
	for i, name := range names {
		if !isBase64URL(texts[name]) {
			return errKey // it would need an escape, or is missing
		}
		canonical.WriteByte("{,"[min(i, 1)])
		canonical.WriteString(`"` + name + `":"` + texts[name] + `"`)
	}
	sum := sha256.Sum256([]byte(canonical.String() + "}"))
	h.thumbprint = base64.RawURLEncoding.EncodeToString(sum[:])
	return nil
}

// verify checks that the key is valid and fits alg, and that the signature is by it. The rules are those for a key of a key set:
// its size, its curve, its use.
func (h *header) verify(j jose.JWS) error {
	members, _ := strictjson.Parse(nil, h.key) // its values were parsed before
	key, skip := jose.ParseKey(strictjson.Find(members, "jwk"), jose.MaxRSABits)
	if skip != "" || key.Thumbprint.String() != h.thumbprint || !jose.Fits(h.alg, key.Public) {
		return errKey
	}
	if key.Algorithm != "" && key.Algorithm != h.alg {
		return errKey // the key is for another one: RFC 7517 section 4.4
	}
	if jose.Verify(h.alg, key.Public, j.Input, j.Signature) != nil {
		return errSignature
	}
	return nil
}

// isBase64URL reports whether s is not empty and uses only the alphabet of base64url.
func isBase64URL(s string) bool {
	for i := range len(s) {
		if !isUnreserved(s[i]) || s[i] == '.' || s[i] == '~' {
			return false
		}
	}
	return s != ""
}
