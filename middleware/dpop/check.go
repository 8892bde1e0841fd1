package dpop

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/authz"
	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/limit"
	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/verifier"
)

// The limits of a proof.
const (
	maxProofBytes = 16 << 10 // with a key and a signature of ML-DSA-87, a proof has 11 KiB
	maxID         = 256      // bytes of a jti
	holderBytes   = 16       // of the digest of a key
)

// The causes of errors. They contain nothing from the request, the token or the proof.
var (
	errNotNew     = errors.New("dpop: the Checker was not made by New")
	errNil        = errors.New("dpop: Check: the request or the token is nil")
	errBearer     = errors.New("dpop: the token was not presented with the scheme DPoP")
	errUnbound    = errors.New("dpop: the token is not bound by DPoP")
	errSeveral    = errors.New("dpop: the request has several proofs")
	errNone       = errors.New("dpop: the request has no proof")
	errSize       = errors.New("dpop: the proof is too large")
	errForm       = errors.New("dpop: the proof is not a compact JWS")
	errHeader     = errors.New("dpop: the header of the proof is not strict JSON, or names an extension")
	errType       = errors.New("dpop: the typ of the proof is not dpop+jwt")
	errAlgorithm  = errors.New("dpop: the alg of the proof is not allowed")
	errKey        = errors.New("dpop: the jwk of the proof is not a usable public key for its alg")
	errPrivate    = errors.New("dpop: the jwk of the proof is a private key")
	errThumbprint = errors.New("dpop: the token is bound to another key")
	errPayload    = errors.New("dpop: the payload of the proof is not strict JSON")
	errMethod     = errors.New("dpop: the htm of the proof is not the method of the request")
	errURL        = errors.New("dpop: the htu of the proof is not the URL of the request")
	errDate       = errors.New("dpop: a date of the proof is missing or has the wrong type")
	errOld        = errors.New("dpop: the proof is too old")
	errFuture     = errors.New("dpop: the proof is from the future")
	errToken      = errors.New("dpop: the ath of the proof is not the hash of the token")
	errID         = errors.New("dpop: the jti of the proof is missing or too long")
	errNonce      = errors.New("dpop: the nonce of the proof is missing or no longer valid")
	errSignature  = errors.New("dpop: the signature of the proof does not match")
	errUsed       = errors.New("dpop: the proof was used before")
)

// Check checks the proof in the DPoP header of r (RFC 9449 section 4.3). t is the verified token of r, which the Authorization
// header presents with the scheme DPoP. url is the absolute URL of r as its client sees it; query and fragment are ignored. Do
// not build it from the Host header, which the client chooses. The checks, the cheap ones first:
//
//   - the scheme is DPoP, and the token has cnf.jkt;
//   - one header value, not a list, of at most 16 KiB;
//   - three parts of canonical base64url; a header of strict JSON without crit, b64, enc, zip and cty;
//   - typ is exactly dpop+jwt; alg is in Config.Algorithms; jwk is a public key;
//   - the thumbprint of jwk equals cnf.jkt of the token; otherwise the check ends here;
//   - a payload of strict JSON: htm is the method, with its case; htu equals url after normalization (RFC 3986 sections 6.2.2 and
//     6.2.3); iat is within MaxAge and Leeway; exp and nbf hold if present; ath is the hash of the token; jti has 1 to 256 bytes;
//   - nonce is a valid one, if Config.NonceKeys is set;
//   - jwk is a usable key for alg, and the signature is by it;
//   - key, URL and jti together were not used before. This check is the last one, so that only proofs of clients with the key of
//     a valid token are recorded.
//
// The error is a *verifier.Error: ReasonProofFailed if the scheme is wrong or the token is not bound by DPoP;
// ReasonBadRequest for several proofs; ReasonNonceRequired; ReasonProofUnavailable, with RetryAfter, if it is not known which
// proofs were used; and otherwise ReasonProofFailed with Detail "dpop".
func (c *Checker) Check(r *http.Request, url string, t *verifier.Token) error {
	if c == nil || c.replay == nil {
		return unavailable(errNotNew)
	}
	if r == nil || t == nil {
		return unavailable(errNil)
	}
	bound, err := authz.ConfirmationOf(t)
	if err != nil {
		return err
	}
	token, _, err := authz.Presented(r.Header["Authorization"], authz.DPoP)
	switch {
	case err != nil:
		return authz.Unproven(t, errBearer)
	case bound.JWK == "":
		return authz.Unproven(t, errUnbound)
	}
	err = c.check(r.Context(), presentation{
		Proofs: r.Header["Dpop"], Method: r.Method, URL: url, Token: token, Thumbprint: bound.JWK,
	})
	if e := authz.AsError(err); e != nil {
		e.Provider, e.Region = t.Provider(), t.Region()
	}
	return err
}

// presentation is what a request says, beside its token. If a field is empty, nothing is proven.
type presentation struct {
	Proofs     []string // the values of the DPoP header
	Method     string
	URL        string // absolute; scheme, host and path are compared (RFC 9449 section 4.3)
	Token      string // as it was presented
	Thumbprint string // cnf.jkt of the verified token
}

// check checks a proof. The error is a *verifier.Error of this call's own.
func (c *Checker) check(ctx context.Context, p presentation) error {
	raw, err := single(p.Proofs)
	if err != nil {
		return err
	}
	j, err := parse(raw)
	if err != nil {
		return invalid(err)
	}
	var h header
	if err := h.read(j.Header, c.algorithms); err != nil {
		return invalid(err)
	}
	if h.thumbprint != p.Thumbprint {
		return invalid(errThumbprint)
	}
	var cl claims
	if err := cl.read(j.Payload); err != nil {
		return invalid(err)
	}
	url, err := c.checkClaims(&cl, p)
	if err != nil {
		return invalid(err)
	}
	if c.nonces != nil && !c.nonces.valid(cl.nonce) {
		return &verifier.Error{Reason: verifier.ReasonNonceRequired, Err: errNonce}
	}
	if err := h.verify(j); err != nil {
		return invalid(err)
	}
	return c.record(ctx, &cl, proofID(h.thumbprint, url, cl.jti))
}

// record records that a proof was used, and fails if it was used before.
func (c *Checker) record(ctx context.Context, cl *claims, id string) error {
	// Other processes may have other clocks, and this one may be set back.
	until := cl.issued.Add(c.maxAge + max(c.leeway, limit.Leeway))
	seen, err := false, error(nil)
	if p := guard.Call("Config.Replay", func() { seen, err = c.replay(ctx, id, until) }); p != nil {
		err = p
	}
	if err != nil {
		err = guard.Sound("the error of Config.Replay", err)
		return unavailable(fmt.Errorf("dpop: it is not known which proofs were used: %w", err))
	}
	if seen {
		return invalid(errUsed)
	}
	return nil
}

func invalid(err error) error {
	return &verifier.Error{Reason: verifier.ReasonProofFailed, Detail: "dpop", Err: err}
}

func unavailable(err error) error {
	return &verifier.Error{Reason: verifier.ReasonProofUnavailable, RetryAfter: time.Second, Err: err}
}

// single returns the one proof of the header. A list in one value is the same as several values (RFC 9110 section 5.3), and a
// proof contains no comma.
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

// claims are the claims of a proof (RFC 9449 section 4.2), with exp and nbf (RFC 7519), which are checked if present.
type claims struct {
	jti, htm, htu, ath, nonce string
	issued, expires, starts   time.Time // the last two are zero where absent
}

func (cl *claims) read(payload string) error {
	members, err := strictjson.Parse(nil, payload)
	if err != nil {
		return errPayload
	}
	text := func(name string) string { return strictjson.Find(members, name).Text() } // "" if it is not a string
	cl.jti, cl.htm, cl.htu, cl.ath, cl.nonce = text("jti"), text("htm"), text("htu"), text("ath"), text("nonce")
	for name, date := range map[string]*time.Time{"iat": &cl.issued, "exp": &cl.expires, "nbf": &cl.starts} {
		v := strictjson.Find(members, name)
		if v.Kind() == strictjson.Absent && name != "iat" {
			continue
		}
		at, ok := jose.NumericDate(v.Raw())
		if !ok || at.Unix() < 0 {
			return errDate
		}
		*date = at
	}
	return nil
}

// checkClaims compares the claims with the request. It returns the URL of the request in its normal form.
func (c *Checker) checkClaims(cl *claims, p presentation) (string, error) {
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

// proofID is what is recorded of a proof: a digest of its key, and one of its key, URL and jti. A jti must be unique for one key
// and URL only (RFC 9449 section 11.1).
func proofID(thumbprint, url, jti string) string {
	holder := sha256.Sum256([]byte("dpop key\x00" + thumbprint))
	proof := sha256.Sum256([]byte("dpop proof\x00" + thumbprint + "\x00" + url + "\x00" + jti)) // only jti can contain a NUL
	enc := base64.RawURLEncoding.EncodeToString
	return enc(holder[:holderBytes]) + "." + enc(proof[:])
}
