package verifier_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/jose/josetest"
)

// tokenSpec describes a token: what differs from the usual one, which is accepted.
type tokenSpec struct {
	Sign                string // a key, or "key/alg", "none", "hmac"; "rsa" if it is empty
	Header, Claims      map[string]json.RawMessage
	Without             []string // members that are left out: "exp", "header.kid"
	HeaderText, Payload string   // instead of JSON of Header and Claims
	Edit                string   // what is done to the finished token
	Token               *string  // instead of all that
}

// keySpec describes a published key: the members of a JWK that differ.
type keySpec struct {
	Key     string
	Set     map[string]json.RawMessage
	Without []string
	Raw     json.RawMessage // instead of all that
}

// suiteKeys are the keys of all suites, by name, which is also their kid.
var suiteKeys = sync.OnceValue(func() map[string]*josetest.Signer {
	keys := map[string]*josetest.Signer{}
	for name, alg := range map[string]string{
		"rsa": "RS256", "rsa2": "RS256", "rsa3": "RS256", "ec": "ES256", "ec2": "ES256", "p384": "ES384", "p521": "ES512",
		"ed": "EdDSA", "ed2": "EdDSA",
	} {
		s, err := josetest.NewSigner(alg)
		if err != nil {
			panic(err)
		}
		s.ID = name
		keys[name] = s
	}
	return keys
})

// moment is a time in JSON text: "now", "now-1.5", in seconds.
var moment = regexp.MustCompile(`"now([+-][0-9.]+)?"`)

// at replaces moments by numbers.
func at(now time.Time, doc []byte) []byte {
	return moment.ReplaceAllFunc(doc, func(m []byte) []byte {
		offset, _ := strconv.ParseFloat(string(moment.FindSubmatch(m)[1]), 64) // 0 if there is none
		return strconv.AppendFloat(nil, float64(now.Unix())+offset, 'f', -1, 64)
	})
}

func part(text []byte) string { return base64.RawURLEncoding.EncodeToString(text) }

// build returns the token as of now.
func (s *tokenSpec) build(t *testing.T, now time.Time) string {
	t.Helper()
	if s.Token != nil {
		return *s.Token
	}
	name, alg, _ := strings.Cut(s.Sign, "/")
	if name == "" {
		name = "rsa"
	}
	header := map[string]json.RawMessage{"typ": json.RawMessage(`"JWT"`), "kid": quote(name)}
	var signer josetest.Signer
	switch name {
	case "none":
		header["alg"], header["kid"] = quote("none"), quote("rsa")
	case "hmac":
		header["alg"], header["kid"] = quote("HS256"), quote("rsa")
	default:
		require.Contains(t, suiteKeys(), name)
		signer = *suiteKeys()[name]
		if alg != "" {
			signer.Algorithm = alg
		}
		header["alg"] = quote(signer.Algorithm)
	}
	claims := map[string]json.RawMessage{
		"iss": quote("https://issuer.example.com"), "aud": quote("api"), "sub": quote("alice"), "exp": quote("now+600"),
	}
	maps.Copy(header, s.Header)
	maps.Copy(claims, s.Claims)
	for _, member := range s.Without {
		if inHeader, ok := strings.CutPrefix(member, "header."); ok {
			delete(header, inHeader)
		} else {
			delete(claims, member)
		}
	}
	texts := [2][]byte{[]byte(s.HeaderText), []byte(s.Payload)}
	for i, members := range []map[string]json.RawMessage{header, claims} {
		if len(texts[i]) == 0 {
			text, err := json.Marshal(members)
			require.NoError(t, err)
			texts[i] = at(now, text)
		}
	}
	return edited(t, s.Edit, sign(t, name, &signer, texts[0], texts[1]))
}

func quote(s string) json.RawMessage { return json.RawMessage(strconv.Quote(s)) }

func sign(t *testing.T, name string, signer *josetest.Signer, header, payload []byte) string {
	t.Helper()
	input := part(header) + "." + part(payload)
	switch name {
	case "none":
		return input + "."
	case "hmac": // with what everyone knows
		set, err := josetest.Set(suiteKeys()["rsa"])
		require.NoError(t, err)
		mac := hmac.New(sha256.New, set)
		mac.Write([]byte(input))
		return input + "." + part(mac.Sum(nil))
	}
	raw, err := signer.Sign(header, payload)
	require.NoError(t, err)
	return raw
}

// edited does to a finished token what breaks it.
func edited(t *testing.T, edit, raw string) string {
	t.Helper()
	parts := strings.Split(raw, ".")
	switch edit {
	case "":
	case "other signature":
		first := map[bool]string{true: "B", false: "A"}[parts[2][0] == 'A']
		parts[2] = first + parts[2][1:]
	case "no signature":
		parts[2] = ""
	case "short signature":
		parts[2] = parts[2][:len(parts[2])-8]
	case "long signature":
		parts[2] += "AAAA"
	case "two parts":
		parts = parts[:2]
	case "four parts":
		parts = append(parts, "x")
	case "padding":
		parts[2] += "=="
	case "other payload":
		parts[1] = part([]byte(`{"iss":"https://issuer.example.com","aud":"api","sub":"mallory","exp":99999999999}`))
	case "prefix":
		return "bearer " + raw
	case "newline":
		return raw + "\n"
	case "standard alphabet":
		parts[1] = "+/" + parts[1]
	case "outside ASCII":
		parts[1] += "ä"
	default:
		require.Fail(t, "no such edit", edit)
	}
	return strings.Join(parts, ".")
}

// publish returns the key set that the issuer publishes.
func publish(t *testing.T, keys []keySpec) []byte {
	t.Helper()
	all := []json.RawMessage{}
	for _, k := range keys {
		if k.Raw != nil {
			all = append(all, k.Raw)
			continue
		}
		require.Contains(t, suiteKeys(), k.Key)
		jwk, err := suiteKeys()[k.Key].JWK()
		require.NoError(t, err)
		for member, value := range k.Set {
			jwk[member] = value
		}
		for _, member := range k.Without {
			delete(jwk, member)
		}
		doc, err := json.Marshal(jwk)
		require.NoError(t, err)
		all = append(all, doc)
	}
	doc, err := json.Marshal(map[string]any{"keys": all})
	require.NoError(t, err)
	return doc
}
