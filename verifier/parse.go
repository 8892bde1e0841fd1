package verifier

import (
	"slices"
	"strings"
	"sync"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/strictjson"
)

// compact is a decoded JWS in compact serialization (RFC 7515 section 7.1). Its byte slices belong to a scratch; its strings do
// not.
type compact struct {
	header    header
	text      string // header and payload, decoded
	payload   string // the rest of text
	input     []byte // what the signature is over
	signature []byte
}

// header holds the parameters that are used. jwk, jku, x5u, x5c and x5t are never looked at.
type header struct {
	alg string
	kid string // "" if absent
	typ string // as a media type: lower case, without "application/"; "" if absent
}

// scratch is the working memory for one token, used for one after the other.
type scratch struct {
	decoded []byte
	input   []byte // what the signature is over
	members []strictjson.Member
	parser  strictjson.Parser
	claims  claims
}

// Limits on the memory that a scratch keeps, so that one huge token does not make it grow for good.
const (
	keptBytes   = 32 << 10
	keptMembers = 128
)

var scratches = sync.Pool{New: func() any {
	return &scratch{decoded: make([]byte, 0, 2<<10), input: make([]byte, 0, 2<<10), members: make([]strictjson.Member, 0, 32)}
}}

func (sc *scratch) release() {
	if cap(sc.decoded) > keptBytes || cap(sc.input) > keptBytes || cap(sc.members) > keptMembers {
		return
	}
	clear(sc.members) // it holds strings of the token, as do the claims
	sc.claims = claims{}
	scratches.Put(sc)
}

// readClaims reads a payload into sc.claims. It returns false if it is not strict JSON, or the name of a claim of the wrong type.
func (sc *scratch) readClaims(payload string) (wrong string, ok bool) {
	members, err := sc.parser.Parse(sc.members[:0], payload)
	if err != nil {
		return "", false
	}
	sc.members = members
	wrong = sc.claims.read(members)
	return wrong, wrong == ""
}

// split finds the three segments; a fourth is rejected without a look at the rest.
func split(raw string) (h, p, s string, ok bool) {
	h, rest, ok1 := strings.Cut(raw, ".")
	p, s, ok2 := strings.Cut(rest, ".")
	ok = ok1 && ok2 && h != "" && p != "" && s != "" && strings.IndexByte(s, '.') < 0
	return h, p, s, ok
}

// parse decodes the three segments of raw. It returns "", or why they are rejected.
func (c *compact) parse(sc *scratch, raw, h, p, s string) (reason Reason, detail string) {
	all, err := jose.AppendBase64(sc.decoded[:0], h)
	if err != nil {
		return ReasonMalformed, ""
	}
	endHeader := len(all)
	if all, err = jose.AppendBase64(all, p); err != nil {
		return ReasonMalformed, ""
	}
	endPayload := len(all)
	all, err = jose.AppendBase64(all, s)
	sc.decoded = all
	if err != nil {
		return ReasonMalformed, ""
	}
	sc.input = append(sc.input[:0], raw[:len(h)+1+len(p)]...)
	c.text = string(all[:endPayload])
	c.payload = c.text[endHeader:]
	c.input, c.signature = sc.input, all[endPayload:]
	members, err := sc.parser.Parse(sc.members[:0], c.text[:endHeader])
	if err != nil {
		return ReasonMalformed, ""
	}
	defer clear(members)
	return c.header.read(members)
}

// Of the header parameters of nullParameters, null means that they are absent. The others that are known are not null, also those
// that hold a key or say where one is, which are not looked at.
var (
	nullParameters = []string{"typ", "cty", "kid"}
	keyParameters  = []string{"jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256"}
)

// read reads the JOSE header (RFC 7515 section 4). It returns "", or why it is rejected.
func (h *header) read(members []strictjson.Member) (reason Reason, detail string) {
	var alg strictjson.Value
	for i := range members {
		name, v := members[i].Name, members[i].Value
		if v.Kind() == strictjson.Null {
			if slices.Contains(nullParameters, name) {
				continue
			}
			if slices.Contains(keyParameters, name) {
				return ReasonMalformed, name
			}
		}
		switch name {
		case "alg":
			alg = v
		case "kid":
			if h.kid = v.Text(); h.kid == "" || len(h.kid) > jose.MaxKeyID {
				return ReasonMalformed, name
			}
		case "typ":
			if v.Kind() != strictjson.String {
				return ReasonMalformed, name
			}
			h.typ = mediaType(v.Text())
			if h.typ == "" {
				return ReasonTypNotAllowed, name // typ is present, and empty: not the same as absent
			}
		case "cty":
			reason, detail = ReasonTypNotAllowed, name // a nested token (RFC 7519 section 5.2)
		case "crit", "b64", "enc", "zip":
			return ReasonMalformed, name // no extension is understood (RFC 7515 section 4.1.11)
		}
	}
	if alg.Kind() != strictjson.String {
		return ReasonMalformed, "alg"
	}
	if h.alg = alg.Text(); !jose.Known(h.alg) {
		return ReasonAlgNotAllowed, "alg"
	}
	return reason, detail
}

// mediaType returns a typ in the form in which it is compared (RFC 7515 section 4.1.9).
func mediaType(s string) string {
	if s == "JWT" {
		return "jwt" // by far the most frequent one
	}
	s = strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s) // ASCII only: no other letter is the same as one of these
	if rest, ok := strings.CutPrefix(s, "application/"); ok && !strings.Contains(rest, "/") {
		return rest
	}
	return s
}
