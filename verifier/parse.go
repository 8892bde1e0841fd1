package verifier

import (
	"slices"
	"strings"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/strictjson"
)

// header holds the parameters that are used. jwk, jku, x5u, x5c and x5t are never looked at.
type header struct {
	alg string // canonical
	kid string // "" if absent
	typ string // as a media type: lower case, without "application/"; "" if absent

	signer string // the ARN of a load balancer; "" for any other token
}

// readClaims reads a payload into a.claims. It returns false if it is not strict JSON, or the name of a claim of the wrong type.
func (a *attempt) readClaims(payload string) (wrong string, ok bool) {
	members, err := a.parser.Parse(a.members[:0], payload)
	if err != nil {
		return "", false
	}
	a.members = members
	wrong = a.claims.read(members)
	return wrong, wrong == ""
}

// Of the header parameters of nullParameters, null means that they are absent. The others that are known are not null, also those
// that hold a key or say where one is, which are not looked at.
var (
	nullParameters = []string{"typ", "cty", "kid"}
	keyParameters  = []string{"jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256"}
)

// noZip is the zip of ForgeRock and OpenAM for a payload that is not compressed.
const noZip = "NONE"

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
			if name == "zip" && v.Is(noZip) {
				continue
			}
			return ReasonMalformed, name // no extension is understood (RFC 7515 section 4.1.11)
		}
	}
	if alg.Kind() != strictjson.String {
		return ReasonMalformed, "alg"
	}
	if h.alg = jose.Canonical(alg.Text()); !jose.Known(h.alg) {
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

// isMediaType reports whether a typ in the form in which it is compared can be one value, a media type or a text of an issuer's
// own: without parameters (RFC 2045 section 5.1), it has no space and no comma.
func isMediaType(s string) bool {
	name, _, _ := strings.Cut(s, ";")
	return name != "" && !strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c >= 0x7F || c == ',' })
}
