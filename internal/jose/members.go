package jose

import (
	"slices"

	"github.com/regionjwt/regionjwt/internal/strictjson"
)

// members are the JWK members that matter; all others are ignored: RFC 7517, section 4.
type members struct {
	kty, kid, alg, use, keyOps, n, e, crv, x, y, pub strictjson.Value
}

// nullable lists the members of which null means that they are absent. The null of any other member that matters is an error.
var nullable = []string{"use", "alg", "key_ops", "kid", "d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}

// read collects the members of a key. All are read, whatever is wrong with one of them.
func (m *members) read(v strictjson.Value) Skip {
	if v.Kind() != strictjson.Object {
		return SkipNotObject
	}
	var first Skip
	for e := range v.Members() {
		if skip := m.add(e.Name, e.Value); first == "" {
			first = skip
		}
	}
	return first
}

// unset reports whether a member says nothing. Serializers of .NET write an empty list for a list that is not set.
func unset(name string, v strictjson.Value) bool {
	if v.Kind() == strictjson.Array && (name == "key_ops" || name == "oth") {
		for range v.Elements() {
			return false
		}
		return true
	}
	return v.Kind() == strictjson.Null && slices.Contains(nullable, name)
}

func (m *members) add(name string, v strictjson.Value) Skip {
	if unset(name, v) {
		return ""
	}
	switch name {
	case "kty":
		m.kty = v
	case "kid":
		m.kid = v
	case "alg":
		m.alg = v
	case "use":
		m.use = v
	case "key_ops":
		m.keyOps = v
	case "n":
		m.n = v
	case "e":
		m.e = v
	case "crv":
		m.crv = v
	case "x":
		m.x = v
	case "y":
		m.y = v
	case "pub":
		m.pub = v
	case "d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv":
		return SkipPrivate // RFC 7518, sections 6.2.2, 6.3.2 and 6.4; RFC 9964
	}
	return ""
}

// checkUse looks at what the key says of its use: RFC 7517, sections 4.2 to 4.5.
func (m *members) checkUse() Skip {
	if id := m.kid.Text(); m.kid.Kind() != strictjson.Absent && id == "" || len(id) > MaxKeyID {
		return SkipKeyID
	}
	if m.use.Kind() != strictjson.Absent && !m.use.Is("sig") {
		return SkipUse
	}
	if m.alg.Kind() != strictjson.Absent && !Known(m.alg.Text()) {
		return SkipAlgorithm
	}
	if m.keyOps.Kind() == strictjson.Absent {
		return ""
	}
	ops := map[string]bool{}
	for op := range m.keyOps.Elements() {
		if op.Kind() != strictjson.String || ops[op.Text()] {
			return SkipKeyOps
		}
		ops[op.Text()] = true
	}
	if !ops["verify"] {
		return SkipKeyOps
	}
	return ""
}
