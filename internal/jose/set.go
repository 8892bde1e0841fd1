package jose

import (
	"errors"
	"slices"

	"github.com/regionjwt/regionjwt/internal/strictjson"
)

// The reasons for which a document is not a key set.
var (
	ErrNotKeySet   = errors.New("not a JWK set")
	ErrTooManyKeys = errors.New("too many keys in the set")
)

// Skipped names a key of a set that is not used, and why.
type Skipped struct {
	Index int // its place in the set, from 0
	Why   Skip
}

// ParseSet reads a JWK set (RFC 7517, section 5). Keys that cannot be used are left out one by one and listed in
// skipped. The error is ErrNotKeySet, ErrTooManyKeys or one of strictjson's.
//
// The very same key may stand twice; two different usable keys under one kid make that kid unusable. A key whose
// private half is public knowledge is skipped unless its thumbprint is in allowed.
func ParseSet(doc []byte, allowed []string) (keys []*Key, skipped []Skipped, err error) {
	top, err := strictjson.Parse(nil, string(doc))
	if err != nil {
		return nil, nil, err
	}
	list := strictjson.Find(top, "keys")
	if list.Kind() != strictjson.Array {
		return nil, nil, ErrNotKeySet
	}
	n := 0
	for range list.Elements() {
		if n++; n > MaxKeys {
			return nil, nil, ErrTooManyKeys
		}
	}
	type placed struct {
		key   *Key
		index int
	}
	byID := map[string][]placed{}
	var order []string
	n = 0
	for e := range list.Elements() {
		k, skip := ParseKey(e)
		if skip == "" && IsForbidden(k, allowed) {
			skip = SkipKnownKey
		}
		if skip != "" {
			skipped = append(skipped, Skipped{Index: n, Why: skip})
		} else {
			if byID[k.ID] == nil {
				order = append(order, k.ID)
			}
			byID[k.ID] = append(byID[k.ID], placed{k, n})
		}
		n++
	}
	for _, id := range order {
		same := byID[id]
		first := same[0].key
		if !slices.ContainsFunc(same, func(p placed) bool { return !p.key.same(first) }) {
			keys = append(keys, first)
			continue
		}
		for _, p := range same {
			skipped = append(skipped, Skipped{Index: p.index, Why: SkipAmbiguous})
		}
	}
	return keys, skipped, nil
}

// same reports whether two keys under one kid are one key.
func (k *Key) same(other *Key) bool {
	return k.Thumbprint == other.Thumbprint && k.Algorithm == other.Algorithm
}

// IsForbidden reports whether the private half of k is public knowledge and its thumbprint is not in allowed.
func IsForbidden(k *Key, allowed []string) bool {
	return IsPublishedPrivateKey(k.Thumbprint) && !slices.Contains(allowed, k.Thumbprint)
}
