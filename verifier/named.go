package verifier

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/regionjwt/regionjwt/internal/strictjson"
)

// nullClaims lists those of the claims that a policy can name of which null means that they are absent.
var nullClaims = []string{"azp", "client_id", "scope", "scp"}

// present finds a claim that the policy names. A null that is as good as none is absent.
func present(members []strictjson.Member, name string) strictjson.Value {
	v := at(members, name)
	if v.Kind() == strictjson.Null && slices.Contains(nullClaims, name) {
		return strictjson.Value{}
	}
	return v
}

// readNamed reads the claims that the policy names. It returns the name of one that has the wrong type, or "".
func (e *compiledPolicy) readNamed(c *claims) (wrong string) {
	if name := e.readClients(c); name != "" {
		return name
	}
	for _, name := range e.ScopeClaims {
		v := present(c.members, name)
		switch v.Kind() {
		case strictjson.Absent:
			continue
		case strictjson.String, strictjson.Array:
			if !c.scopes.add(v) {
				return name
			}
		default:
			return name
		}
		if e.firstScope {
			return ""
		}
	}
	return ""
}

// add adds the scopes of a text, split at spaces (RFC 6749 section 3.3), or of an array with one in each element. It returns
// false if an element is none.
func (s *scopes) add(v strictjson.Value) bool {
	if v.Kind() == strictjson.String && s.text == "" {
		s.text = v.Text()
		return true
	}
	if v.Kind() == strictjson.String {
		s.list = append(s.list, strings.Split(v.Text(), " ")...)
		return true
	}
	for e := range v.Elements() {
		one := e.Text()
		if one == "" || strings.ContainsFunc(one, func(c rune) bool { return c == ' ' || unicode.IsControl(c) }) {
			return false
		}
		s.list = append(s.list, one)
	}
	return true
}

// readClients finds the client, and every other one that a token names. It returns the name of a claim that has the wrong type,
// or "".
func (e *compiledPolicy) readClients(c *claims) (wrong string) {
	found := false
	for _, name := range e.ClientIDClaims {
		switch v := present(c.members, name); {
		case v.Kind() == strictjson.Absent:
		case v.Kind() != strictjson.String:
			return name
		case !found:
			c.client, found = v.Text(), true
		default:
			c.noteClient(v.Text())
			if v.Text() != c.client {
				c.conflict = name
			}
		}
	}
	c.noteClient(c.clientID)
	c.noteClient(c.azp)
	for _, grant := range []struct {
		looked  bool // the audience policy looks at the claim, too
		name    string
		present bool
		client  string
	}{
		{e.byClientID, "client_id", c.clientID != "", c.clientID},
		{e.byAZP, "azp", c.azpPresent, c.azp},
	} {
		if grant.looked && found && grant.present && grant.client != c.client {
			c.conflict = grant.name
		}
	}
	return ""
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
