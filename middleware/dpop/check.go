package dpop

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/verifier"
)

// The bounds of a proof.
const (
	maxProofBytes = 8 << 10
	maxID         = 256 // octets of a jti
	holderBytes   = 16  // of the digest of a key
)

// Proof is a proof with the request that it came with. All fields are required: where one is empty, nothing is proved.
type Proof struct {
	Values     []string // of the header DPoP, as they came; one is good
	Method     string   // of the request
	URL        string   // of the request, absolute: its scheme, host and path count (RFC 9449, section 4.3)
	Token      string   // the access token as it was presented
	Thumbprint string   // of the key that the token is bound to: its claim cnf.jkt, from the verified token
}

// The causes of errors. They say what was found wrong, and nothing of what it was found in.
var (
	errNotNew     = errors.New("dpop: the checker was not made by New")
	errSeveral    = errors.New("dpop: the request has several proofs")
	errNone       = errors.New("dpop: the request has no proof")
	errSize       = errors.New("dpop: the proof is too large")
	errForm       = errors.New("dpop: the proof is not a compact JWS")
	errHeader     = errors.New("dpop: the header of the proof is not strict JSON, or names an extension")
	errType       = errors.New("dpop: the typ of the proof is not dpop+jwt")
	errAlgorithm  = errors.New("dpop: the alg of the proof is not allowed")
	errKey        = errors.New("dpop: the jwk of the proof is not a usable public key for its alg")
	errPrivate    = errors.New("dpop: the jwk of the proof is a private key")
	errThumbprint = errors.New("dpop: the token is bound to another key, or to none")
	errPayload    = errors.New("dpop: the payload of the proof is not strict JSON")
	errMethod     = errors.New("dpop: the htm of the proof is not the method of the request")
	errURL        = errors.New("dpop: the htu of the proof is not the URL of the request")
	errDate       = errors.New("dpop: a date of the proof is missing or not one")
	errOld        = errors.New("dpop: the proof is too old")
	errFuture     = errors.New("dpop: the proof is from the future")
	errToken      = errors.New("dpop: the ath of the proof is not the hash of the token")
	errID         = errors.New("dpop: the jti of the proof is missing or too long")
	errNonce      = errors.New("dpop: the nonce of the proof is missing or not valid any more")
	errSignature  = errors.New("dpop: the signature of the proof does not match")
	errUsed       = errors.New("dpop: the proof was used before")
)

// Check reports whether p proves that its sender has the key that the token is bound to, and that the proof is for this
// request and was not used before. The checks are those of RFC 9449, section 4.3, cheap ones first:
//
//   - one header value, which is not a list and has at most 8 KiB
//   - three parts of canonical base64url; a header of strict JSON without crit, b64, enc, zip and cty
//   - typ is dpop+jwt, octet for octet; alg is in Config.Algorithms; jwk is a public key
//   - the thumbprint of jwk is the one that the token is bound to: no other key is looked at any further
//   - a payload of strict JSON: htm is the method, by case; htu is the URL after normalisation (RFC 3986, sections 6.2.2 and
//     6.2.3) without query and fragment; iat is within MaxAge and Leeway; exp and nbf, where there, hold; ath is the hash of
//     the token; jti has 1 to 256 octets; nonce, where demanded, is a valid one
//   - jwk is a usable key for alg, and the signature is by it
//   - key, URL and jti together were not seen before. It is last, so that only holders of a key and of a token that is
//     bound to it are remembered
//
// The token itself is to be verified beforehand, by a Verifier. The error is a *verifier.Error of this call's own: BadRequest
// for several proofs, NonceRequired, ProofUnavailable where the memory of used proofs cannot tell, which asks for a new proof
// in a second, and InvalidProof for all else.
func (c *Checker) Check(ctx context.Context, p Proof) error {
	if c == nil || c.replay == nil {
		return unavailable(errNotNew)
	}
	raw, err := single(p.Values)
	if err != nil {
		return err
	}
	j, err := parse(raw)
	if err != nil {
		return invalid(err)
	}
	var h header
	if err := h.read(j.header, c.algorithms); err != nil {
		return invalid(err)
	}
	if h.thumbprint != p.Thumbprint {
		return invalid(errThumbprint)
	}
	var cl claims
	if err := cl.read(j.payload); err != nil {
		return invalid(err)
	}
	url, err := c.checkClaims(&cl, p)
	if err != nil {
		return invalid(err)
	}
	if c.nonces != nil {
		valid := false
		if p := guard.Call("Config.Nonces", func() { valid = c.nonces.Valid(cl.nonce) }); p != nil {
			return unavailable(p)
		}
		if !valid {
			return &verifier.Error{Reason: verifier.ReasonNonceRequired, Err: errNonce}
		}
	}
	if err := h.verify(j); err != nil {
		return invalid(err)
	}
	// Other processes may have other clocks, and this one may be set back.
	until := cl.issued.Add(c.maxAge + max(c.leeway, defaultLeeway))
	id, seen := proofID(h.thumbprint, url, cl.jti), false
	if p := guard.Call("Config.Replay", func() { seen, err = c.replay.Seen(ctx, id, until) }); p != nil {
		err = p
	}
	if err != nil {
		return unavailable(fmt.Errorf("dpop: which proofs were used is not known: %w", err))
	}
	if seen {
		return invalid(errUsed)
	}
	return nil
}

func invalid(err error) error { return &verifier.Error{Reason: verifier.ReasonInvalidProof, Err: err} }

func unavailable(err error) error {
	return &verifier.Error{Reason: verifier.ReasonProofUnavailable, RetryAfter: time.Second, Err: err}
}

// single returns the one proof of the header. A list in one value is the same as several values (RFC 9110, section 5.3), and
// a proof holds no comma.
func single(values []string) (string, error) {
	if len(values) == 0 || (len(values) == 1 && values[0] == "") {
		return "", invalid(errNone)
	}
	if len(values) == 1 && len(values[0]) > maxProofBytes {
		return "", invalid(errSize)
	}
	if len(values) > 1 || strings.IndexByte(values[0], ',') >= 0 {
		return "", &verifier.Error{Reason: verifier.ReasonBadRequest, Err: errSeveral}
	}
	return values[0], nil
}

// claims are those of a proof that matter: RFC 9449, section 4.2, with exp and nbf of RFC 7519, which bind where they are.
type claims struct {
	jti, htm, htu, ath, nonce string
	issued, expires, starts   time.Time // the last two are zero where absent
}

func (cl *claims) read(payload string) error {
	members, err := strictjson.Parse(nil, payload)
	if err != nil {
		return errPayload
	}
	text := func(name string) string { return strictjson.Find(members, name).Text() } // "" where it is no text
	cl.jti, cl.htm, cl.htu, cl.ath, cl.nonce = text("jti"), text("htm"), text("htu"), text("ath"), text("nonce")
	for name, date := range map[string]*time.Time{"iat": &cl.issued, "exp": &cl.expires, "nbf": &cl.starts} {
		v := strictjson.Find(members, name)
		if v.Kind() == strictjson.Absent && name != "iat" {
			continue
		}
		var ok bool
		if *date, ok = numericDate(v); !ok {
			return errDate
		}
	}
	return nil
}

// numericDate reads seconds since 1970, fractions legal (RFC 7519, section 2), up to the end of the year 9999.
func numericDate(v strictjson.Value) (time.Time, bool) {
	if v.Kind() != strictjson.Number {
		return time.Time{}, false
	}
	f, err := strconv.ParseFloat(v.Raw(), 64)
	if err != nil || f < 0 || f > 253402300799 {
		return time.Time{}, false
	}
	whole, fraction := math.Modf(f)
	return time.Unix(int64(whole), int64(fraction*1e9)), true
}

// checkClaims compares the claims with the request. It returns the URL of the request in its normal form.
func (c *Checker) checkClaims(cl *claims, p Proof) (string, error) {
	if cl.htm == "" || cl.htm != p.Method {
		return "", errMethod
	}
	url, ok := normalURL(p.URL)
	htu, fine := normalURL(cl.htu)
	if !ok || !fine || htu != url {
		return "", errURL
	}
	now := c.now()
	ends := cl.issued.Add(c.maxAge)
	switch latest := now.Add(c.leeway); {
	case cl.issued.After(latest), cl.starts.After(latest):
		return "", errFuture
	case now.After(ends), !cl.expires.IsZero() && !cl.expires.After(now.Add(-c.leeway)):
		return "", errOld
	}
	sum := sha256.Sum256([]byte(p.Token))
	if p.Token == "" || cl.ath != base64.RawURLEncoding.EncodeToString(sum[:]) {
		return "", errToken
	}
	if cl.jti == "" || len(cl.jti) > maxID {
		return "", errID
	}
	return url, nil
}

// proofID is what is remembered of a proof: a digest of its key, and one of its key, URL and jti, as a jti needs to be unique
// for one key and URL only (RFC 9449, section 11.1).
func proofID(thumbprint, url, jti string) string {
	holder := sha256.Sum256([]byte("dpop key\x00" + thumbprint))
	proof := sha256.Sum256([]byte("dpop proof\x00" + thumbprint + "\x00" + url + "\x00" + jti)) // only jti may hold a NUL
	enc := base64.RawURLEncoding.EncodeToString
	return enc(holder[:holderBytes]) + "." + enc(proof[:])
}
