package jose

import (
	"cmp"
	"errors"
	"strings"

	"github.com/regionjwt/regionjwt/internal/strictjson"
)

// ErrNotKeySet says that a document is not a key set.
var ErrNotKeySet = errors.New("not a JWK set")

// MaxSkipped is how many entries of a set are listed as skipped. Of a set with as many, there may be more.
const MaxSkipped = 1000

// Limits bound what is used of a key set. Allowed lists the RFC 7638 thumbprints of keys that are used although their private
// half is public knowledge. The zero value of MaxKeys and MaxRSABits means the constants of these names.
type Limits struct {
	MaxKeys    int
	MaxRSABits int
	Allowed    []string
}

func (l Limits) withDefaults() Limits {
	l.MaxKeys, l.MaxRSABits = cmp.Or(l.MaxKeys, MaxKeys), cmp.Or(l.MaxRSABits, MaxRSABits)
	return l
}

// Skipped names a key of a set that is not used, and why. The strings are empty if they cannot be read.
type Skipped struct {
	Index int // its place in the set, from 0
	Why   Skip

	KeyID, KeyType, Algorithm, Thumbprint string
}

// ParseSet reads a JWK set (RFC 7517, section 5). Keys that cannot be used are left out one by one and listed in skipped, at most
// 1,000 of them. The error is ErrNotKeySet or one of strictjson's.
//
// The document may begin with a byte order mark. Several keys may have one kid: RFC 7517, section 4.5. Equal entries are one
// key. A key whose private half is public knowledge is skipped unless it is allowed.
func ParseSet(doc []byte, l Limits) (keys []*Key, skipped []Skipped, err error) {
	l = l.withDefaults()
	top, err := strictjson.Parse(nil, strictjson.WithoutMark(doc))
	if err != nil {
		return nil, nil, err
	}
	list := strictjson.Find(top, "keys")
	if list.Kind() != strictjson.Array {
		return nil, nil, ErrNotKeySet
	}
	seen := map[Key]bool{} // without their material
	n := -1
	for e := range list.Elements() {
		n++
		var m members
		var k *Key
		why := m.read(e)
		switch {
		case why == "" && len(keys) == l.MaxKeys:
			why = SkipTooMany
		case why == "":
			k, why = m.parse(l.MaxRSABits)
		}
		if why == "" && IsForbidden(k, l.Allowed) {
			why = SkipKnownKey
		}
		switch {
		case why != "":
			if len(skipped) < MaxSkipped {
				skipped = append(skipped, m.skipped(n, why, k))
			}
		case !seen[Key{ID: k.ID, Thumbprint: k.Thumbprint, Algorithm: k.Algorithm}]:
			seen[Key{ID: k.ID, Thumbprint: k.Thumbprint, Algorithm: k.Algorithm}] = true
			keys = append(keys, k)
		}
	}
	return keys, skipped, nil
}

// skipped describes an entry that is not used, as far as it can be read. k is the key if it could be made.
func (m *members) skipped(index int, why Skip, k *Key) Skipped {
	s := Skipped{
		Index: index, Why: why, KeyID: short(m.kid), KeyType: short(m.kty), Algorithm: Canonical(short(m.alg)),
	}
	if k != nil {
		s.Thumbprint = k.Thumbprint.String()
	}
	return s
}

// short returns a text of at most MaxKeyID bytes, or "". It does not hold the document.
func short(v strictjson.Value) string {
	if text := v.Text(); len(text) <= MaxKeyID {
		return strings.Clone(text)
	}
	return ""
}

// IsForbidden reports whether the private half of k is public knowledge and its thumbprint is not in allowed.
func IsForbidden(k *Key, allowed []string) bool {
	return IsPublishedPrivateKey(k.Thumbprint.String()) && !k.Thumbprint.In(allowed)
}
