package verifier

import (
	"strings"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/strictjson"
)

// compact is a JWS in compact serialization (RFC 7515, section 7.1), taken apart.
type compact struct {
	header    header
	payload   []byte
	input     string // what the signature is over
	signature []byte
}

// header holds the parameters that count. jwk, jku, x5u, x5c and x5t are never looked at.
type header struct {
	alg, kid string
	typ      string // as a media type: lower case, without "application/"; "" where absent
}

// split finds the three parts; a fourth is refused without looking at the rest.
func split(raw string) (h, p, s string, ok bool) {
	h, rest, ok1 := strings.Cut(raw, ".")
	p, s, ok2 := strings.Cut(rest, ".")
	ok = ok1 && ok2 && h != "" && p != "" && s != "" && strings.IndexByte(s, '.') < 0
	return h, p, s, ok
}

// parseCompact takes raw apart. It returns 0, or why it is refused.
func parseCompact(raw string) (*compact, Reason) {
	h, p, s, ok := split(raw)
	if !ok {
		return nil, Malformed
	}
	octets := make([]byte, 0, (len(raw)*3)/4)
	all, err := jose.AppendBase64(octets, h)
	if err != nil {
		return nil, Malformed
	}
	endHeader := len(all)
	if all, err = jose.AppendBase64(all, p); err != nil {
		return nil, Malformed
	}
	endPayload := len(all)
	if all, err = jose.AppendBase64(all, s); err != nil {
		return nil, Malformed
	}
	c := &compact{
		input:     raw[:len(h)+1+len(p)],
		payload:   all[endHeader:endPayload:endPayload],
		signature: all[endPayload:],
	}
	if reason := c.header.read(all[:endHeader:endHeader]); reason != 0 {
		return nil, reason
	}
	return c, 0
}

// read reads the JOSE header (RFC 7515, section 4). It returns 0, or why it is refused.
func (h *header) read(doc []byte) Reason {
	members, err := strictjson.Parse(make([]strictjson.Member, 0, 8), doc)
	if err != nil {
		return Malformed
	}
	var alg strictjson.Value
	var reason Reason
	for i := range members {
		v := members[i].Value
		switch string(members[i].Name) {
		case "alg":
			alg = v
		case "kid":
			if h.kid = v.Text(); h.kid == "" || len(h.kid) > jose.MaxKeyID {
				return Malformed
			}
		case "typ":
			if v.Kind() != strictjson.String {
				return Malformed
			}
			h.typ = mediaType(v.Text())
			if h.typ == "" {
				return BadType // typ is there, and empty: not the same as absent
			}
		case "cty":
			reason = BadType // a nested token: RFC 7519, section 5.2
		case "crit", "b64", "enc", "zip":
			return Malformed // no extension is understood: RFC 7515, section 4.1.11
		}
	}
	if alg.Kind() != strictjson.String {
		return Malformed
	}
	if h.alg = alg.Text(); !jose.Known(h.alg) {
		return UnsupportedAlg
	}
	if h.kid == "" {
		return Malformed
	}
	return reason
}

// mediaType brings a typ into the form in which it is compared: RFC 7515, section 4.1.9.
func mediaType(s string) string {
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
