package verifier

import (
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/strictjson"
)

// claims are the registered claims of a payload, read once for the check and the report.
type claims struct {
	members []strictjson.Member

	issuer, subject, id, use, clientID, azp string
	issuerPresent, azpPresent, expPresent   bool
	hashes, events, bound                   bool // at_hash or c_hash, events, and cnf are present
	audience                                audience
	exp, nbf, iat                           time.Time // zero if absent
	act                                     strictjson.Value

	client   string   // the first that Policy.ClientIDClaims find
	clients  []string // the other clients that these claims, client_id and azp name, each once
	conflict string   // a claim that names another client than the one that something is granted to
	scopes   scopes
}

// audience is the aud claim: one string, or an array of strings (RFC 7519 section 4.1.3).
type audience struct {
	present bool
	values  []string
	few     [4]string // the first backing array of values
}

func (a audience) holdsOne(wanted []string) bool {
	for _, v := range a.values {
		if slices.Contains(wanted, v) {
			return true
		}
	}
	return false
}

// is reports whether there is one value, the wanted one.
func (a audience) is(wanted string) bool { return len(a.values) == 1 && a.values[0] == wanted }

// holdsOnly reports whether there is a value, and each is wanted.
func (a audience) holdsOnly(wanted []string) bool {
	for _, v := range a.values {
		if !slices.Contains(wanted, v) {
			return false
		}
	}
	return len(a.values) > 0
}

// read reads the members of a payload. It returns the name of a registered claim that has the wrong type, or "".
func (c *claims) read(members []strictjson.Member) (wrong string) {
	c.members = members
	for i := range members {
		if !c.add(members[i].Name, members[i].Value) {
			return members[i].Name
		}
	}
	return ""
}

// notNull lists the registered claims of which null does not mean that they are absent. Null for one of the others (nbf, iat,
// sub, jti, azp, client_id, scope, scp, sid, auth_time, acr, amr) takes nothing back that the claim would have said against
// the token.
var notNull = []string{"iss", "aud", "exp", "token_use", "at_hash", "c_hash", "events", "cnf", "act", "status"}

// add reads one claim, and reports whether its type is right.
func (c *claims) add(name string, v strictjson.Value) bool {
	if v.Kind() == strictjson.Null {
		return !slices.Contains(notNull, name)
	}
	switch name {
	case "iss":
		c.issuerPresent = true
		return text(v, &c.issuer)
	case "sub":
		return text(v, &c.subject)
	case "jti":
		return text(v, &c.id)
	case "token_use":
		return text(v, &c.use)
	case "client_id":
		return text(v, &c.clientID)
	case "azp":
		c.azpPresent = true
		return text(v, &c.azp)
	case "at_hash", "c_hash":
		c.hashes = true
		return v.Kind() == strictjson.String
	case "events":
		c.events = true
		return v.Kind() == strictjson.Object
	case "cnf":
		c.bound = true
		return v.Kind() == strictjson.Object
	case "aud":
		return c.audience.read(v)
	case "act":
		c.act = v // its type is checked after the signature
	case "exp":
		c.expPresent = true
		return date(v, &c.exp)
	case "nbf":
		return date(v, &c.nbf)
	case "iat":
		return date(v, &c.iat)
	}
	return true
}

// noteClient adds a client that a token names.
func (c *claims) noteClient(id string) {
	if id != "" && id != c.client && !slices.Contains(c.clients, id) {
		c.clients = append(c.clients, id)
	}
}

func text(v strictjson.Value, into *string) bool {
	*into = v.Text()
	return v.Kind() == strictjson.String
}

func (a *audience) read(v strictjson.Value) bool {
	a.present = true
	switch v.Kind() {
	case strictjson.String:
		a.values = append(a.few[:0], v.Text())
		return true
	case strictjson.Array:
		a.values = a.few[:0]
		for e := range v.Elements() {
			if e.Kind() != strictjson.String {
				return false
			}
			a.values = append(a.values, e.Text())
		}
		return true
	default:
		return false
	}
}

func date(v strictjson.Value, into *time.Time) (ok bool) {
	*into, ok = jose.NumericDate(v.Raw())
	return ok
}
