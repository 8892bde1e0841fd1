package verifier

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/regionjwt/regionjwt/internal/strictjson"
)

// readNamed reads the claims that the policy names. It returns the name of one that has the wrong type, or "".
func (p *compiledPolicy) readNamed(c *claims) (wrong string) {
	if name := p.readClients(c); name != "" {
		return name
	}
	name, v := firstOf(c.members, p.ScopeClaims)
	switch v.Kind() {
	case strictjson.Absent:
	case strictjson.String:
		c.scopes.text = v.Text()
	case strictjson.Array:
		if !p.scopeArray {
			return name
		}
		for e := range v.Elements() {
			if e.Kind() != strictjson.String {
				return name
			}
			c.scopes.list = append(c.scopes.list, e.Text())
		}
	default:
		return name
	}
	return ""
}

// readClients finds the client, and every other one that a token names. It returns the name of a claim that has the wrong type,
// or "".
func (p *compiledPolicy) readClients(c *claims) (wrong string) {
	found := false
	for _, name := range p.ClientIDClaims {
		switch v := at(c.members, name); {
		case v.Kind() == strictjson.Absent, found && v.Kind() == strictjson.Null:
		case v.Kind() != strictjson.String:
			return name
		case !found:
			c.client, found = v.Text(), true
		default:
			c.noteClient(v.Text())
		}
	}
	c.noteClient(c.clientID)
	c.noteClient(c.azp)
	return ""
}

// firstOf returns the first of the named claims that is present.
func firstOf(members []strictjson.Member, names []string) (string, strictjson.Value) {
	for _, name := range names {
		if v := at(members, name); v.Kind() != strictjson.Absent {
			return name, v
		}
	}
	return "", strictjson.Value{}
}

// at finds a claim by its name, or by a JSON Pointer (RFC 6901).
func at(members []strictjson.Member, name string) strictjson.Value {
	v := strictjson.Find(members, name)
	if v.Kind() != strictjson.Absent || !strings.HasPrefix(name, "/") {
		return v
	}
	first, rest, deeper := strings.Cut(name[1:], "/")
	v = strictjson.Find(members, unescape(first))
	for deeper && v.Kind() != strictjson.Absent {
		var token string
		token, rest, deeper = strings.Cut(rest, "/")
		v = child(v, unescape(token))
	}
	return v
}

// child returns the member of an object, or the element of an array, that one reference token of a JSON Pointer names.
func child(v strictjson.Value, token string) strictjson.Value {
	if v.Kind() == strictjson.Array {
		i := 0
		for e := range v.Elements() {
			if strconv.Itoa(i) == token {
				return e
			}
			i++
		}
		return strictjson.Value{}
	}
	for m := range v.Members() {
		if m.Name == token {
			return m.Value
		}
	}
	return strictjson.Value{}
}

var pointerEscapes = strings.NewReplacer("~1", "/", "~0", "~")

func unescape(token string) string {
	if strings.IndexByte(token, '~') < 0 {
		return token
	}
	return pointerEscapes.Replace(token)
}

// checkClaimName reports a claim name that no token can have.
func checkClaimName(name string) error {
	if name == "" {
		return errors.New("a claim name is empty")
	}
	if strings.HasPrefix(name, "/") {
		for rest := name; ; {
			i := strings.IndexByte(rest, '~')
			if i < 0 {
				break
			}
			if rest = rest[i+1:]; !strings.HasPrefix(rest, "0") && !strings.HasPrefix(rest, "1") {
				return fmt.Errorf("%q is not a JSON Pointer (RFC 6901): ~ is written ~0, and / is written ~1", name)
			}
		}
	}
	return nil
}
