package verifier

import (
	"strings"
	"sync"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/strictjson"
)

// compact is a JWS in compact serialization (RFC 7515, section 7.1), taken apart. Its octets belong to a scratch; its texts do
// not.
type compact struct {
	header    header
	text      string // header and payload, decoded
	payload   string // the rest of text
	input     []byte // what the signature is over
	signature []byte
}

// header holds the parameters that count. jwk, jku, x5u, x5c and x5t are never looked at.
type header struct {
	alg, kid string
	typ      string // as a media type: lower case, without "application/"; "" where absent
}

// scratch is the memory that is needed while one token is looked at, used for one after the other.
type scratch struct {
	octets  []byte // decoded
	input   []byte // what the signature is over
	members []strictjson.Member
	parser  strictjson.Parser
	claims  claims
}

// Bounds on the memory that a scratch keeps: one huge token shall not make it grow for good.
const (
	keptOctets  = 32 << 10
	keptMembers = 128
)

var scratches = sync.Pool{New: func() any {
	return &scratch{octets: make([]byte, 0, 2<<10), input: make([]byte, 0, 2<<10), members: make([]strictjson.Member, 0, 32)}
}}

func (sc *scratch) release() {
	if cap(sc.octets) > keptOctets || cap(sc.input) > keptOctets || cap(sc.members) > keptMembers {
		return
	}
	clear(sc.members) // it holds texts of the token, as do the claims
	sc.claims = claims{}
	scratches.Put(sc)
}

// readClaims reads a payload into sc.claims; false where it is not strict JSON, or a registered claim has the wrong type.
func (sc *scratch) readClaims(payload string) bool {
	members, err := sc.parser.Parse(sc.members[:0], payload)
	if err != nil {
		return false
	}
	sc.members = members
	return sc.claims.read(members)
}

// split finds the three parts; a fourth is refused without looking at the rest.
func split(raw string) (h, p, s string, ok bool) {
	h, rest, ok1 := strings.Cut(raw, ".")
	p, s, ok2 := strings.Cut(rest, ".")
	ok = ok1 && ok2 && h != "" && p != "" && s != "" && strings.IndexByte(s, '.') < 0
	return h, p, s, ok
}

// parse takes the three parts of raw apart. It returns 0, or why they are refused.
func (c *compact) parse(sc *scratch, raw, h, p, s string) Reason {
	all, err := jose.AppendBase64(sc.octets[:0], h)
	if err != nil {
		return ReasonMalformed
	}
	endHeader := len(all)
	if all, err = jose.AppendBase64(all, p); err != nil {
		return ReasonMalformed
	}
	endPayload := len(all)
	all, err = jose.AppendBase64(all, s)
	sc.octets = all
	if err != nil {
		return ReasonMalformed
	}
	sc.input = append(sc.input[:0], raw[:len(h)+1+len(p)]...)
	c.text = string(all[:endPayload])
	c.payload = c.text[endHeader:]
	c.input, c.signature = sc.input, all[endPayload:]
	members, err := sc.parser.Parse(sc.members[:0], c.text[:endHeader])
	if err != nil {
		return ReasonMalformed
	}
	defer clear(members)
	return c.header.read(members)
}

// read reads the JOSE header (RFC 7515, section 4). It returns 0, or why it is refused.
func (h *header) read(members []strictjson.Member) Reason {
	var alg strictjson.Value
	var reason Reason
	for i := range members {
		v := members[i].Value
		switch members[i].Name {
		case "alg":
			alg = v
		case "kid":
			if h.kid = v.Text(); h.kid == "" || len(h.kid) > jose.MaxKeyID {
				return ReasonMalformed
			}
		case "typ":
			if v.Kind() != strictjson.String {
				return ReasonMalformed
			}
			h.typ = mediaType(v.Text())
			if h.typ == "" {
				return ReasonTypNotAllowed // typ is there, and empty: not the same as absent
			}
		case "cty":
			reason = ReasonTypNotAllowed // a nested token: RFC 7519, section 5.2
		case "crit", "b64", "enc", "zip":
			return ReasonMalformed // no extension is understood: RFC 7515, section 4.1.11
		}
	}
	if alg.Kind() != strictjson.String {
		return ReasonMalformed
	}
	if h.alg = alg.Text(); !jose.Known(h.alg) {
		return ReasonAlgNotAllowed
	}
	if h.kid == "" {
		return ReasonMalformed
	}
	return reason
}

// mediaType brings a typ into the form in which it is compared: RFC 7515, section 4.1.9.
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
