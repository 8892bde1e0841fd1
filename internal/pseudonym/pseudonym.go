// Package pseudonym replaces names of users, clients and tokens by pseudonyms that only the holder of a key can compute.
package pseudonym

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
)

// MinKeyBytes is the minimum length of a key.
const MinKeyBytes = 32

// Prefix is the start of every pseudonym.
const Prefix = "hmac:"

// The fields that name a user, a client, a token or an actor.
const (
	Subject  = "subject"
	ClientID = "client_id"
	TokenID  = "token_id"
	Actor    = "actor"
)

// Fields returns every field.
func Fields() []string { return []string{Subject, ClientID, TokenID, Actor} }

// Of returns the pseudonym of a value: Prefix and the HMAC-SHA-256 (RFC 2104) of field, provider ID and value, in base64url
// without padding. Each of the three is preceded by its length as 8 bytes in big-endian order: different texts never share an
// input. The pseudonym does not depend on the region or the issuer, so a user keeps it during a failover.
func Of(key []byte, field, providerID, value string) string {
	mac := hmac.New(sha256.New, key)
	for _, s := range [...]string{field, providerID, value} {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		mac.Write(n[:])
		mac.Write([]byte(s))
	}
	return Prefix + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
