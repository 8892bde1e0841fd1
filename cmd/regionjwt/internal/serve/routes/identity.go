package routes

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/regionjwt/regionjwt/verifier"
)

const (
	maxValue  = 4 << 10 // bytes of the value of a header
	maxDashes = 4       // in the name of a header: each doubles the names that a server may take for it
)

// Header is a header that tells the application who sent the request.
type Header struct {
	Name string // as it is written in the file
	// Aliases are the other names that servers may take for it: with an underscore for a dash.
	Aliases []string

	source func(*verifier.Token) ([]string, error) // nothing means that the header is removed
	list   string                                  // how several values are written: "json", "comma", or "" if there is one
}

var (
	errValue   = errors.New("a value of an identity header is not visible ASCII of at most 4 KiB")
	errMember  = errors.New("a member of an identity header is empty, not visible ASCII, or has a comma")
	errSeveral = errors.New("an identity header for one value has several")
	errClaim   = errors.New("a claim of an identity header is neither a text, a whole number, true, false nor a list of texts")
	errActor   = errors.New("the actor of the token is of another provider")
)

// Value returns the value for a token, or "" if the header must be removed. An error means that the request must be denied: the
// application would not know who sent it.
func (h *Header) Value(t *verifier.Token) (string, error) {
	if t == nil {
		return "", nil
	}
	values, err := h.source(t)
	if err != nil || len(values) == 0 {
		return "", err
	}
	value := values[0]
	switch {
	case h.list == "json":
		value, err = encodeList(values)
	case h.list == "comma":
		value, err = joinList(values)
	case len(values) > 1:
		err = errSeveral
	}
	if err == nil && !isVisible(value) {
		err = errValue
	}
	if err != nil {
		return "", err
	}
	return value, nil
}

func isVisible(s string) bool {
	return s != "" && len(s) <= maxValue && !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' })
}

// encodeList writes a JSON array in base64url without padding (RFC 4648 section 5).
func encodeList(values []string) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(values); err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}

func joinList(values []string) (string, error) {
	for _, v := range values {
		if !isVisible(v) || strings.Contains(v, ",") {
			return "", errMember
		}
	}
	return strings.Join(values, ","), nil
}

// one is a source of at most one value.
func one(of func(*verifier.Token) string) func(*verifier.Token) ([]string, error) {
	return func(t *verifier.Token) ([]string, error) {
		if v := of(t); v != "" {
			return []string{v}, nil
		}
		return nil, nil
	}
}

// sources are the values that a file names.
var sources = map[string]func(*verifier.Token) ([]string, error){
	"subject":  one((*verifier.Token).Subject),
	"clientID": one((*verifier.Token).ClientID),
	"provider": one((*verifier.Token).Provider),
	"region":   one((*verifier.Token).Region),
	"issuer":   one((*verifier.Token).Issuer),
	"tokenID":  one((*verifier.Token).ID),
	"scopes":   func(t *verifier.Token) ([]string, error) { return slices.Collect(t.Scopes()), nil },
	"groups":   func(t *verifier.Token) ([]string, error) { return slices.Collect(t.Groups()), nil },
	"actor":    actor,
}

// isList lists the sources of several values.
var isList = map[string]bool{"scopes": true, "groups": true}

// actor is the current actor. One of another provider is an error: without the header, nobody would seem to act.
func actor(t *verifier.Token) ([]string, error) {
	switch a := t.Actor(); {
	case a == nil:
		return nil, nil
	case a.Provider == "":
		return nil, errActor
	default:
		return []string{a.Subject}, nil
	}
}

// claim is the source of a claim, or of what a JSON Pointer finds.
func claim(name string) func(*verifier.Token) ([]string, error) {
	return func(t *verifier.Token) ([]string, error) {
		switch v := t.Claim(name).(type) {
		case nil:
			return nil, nil
		case string:
			if v == "" {
				return nil, nil
			}
			return []string{v}, nil
		case bool:
			return []string{strconv.FormatBool(v)}, nil
		case float64:
			if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
				return []string{strconv.FormatInt(int64(v), 10)}, nil
			}
		case []any:
			return texts(v)
		}
		return nil, errClaim
	}
}

func texts(list []any) ([]string, error) {
	all := make([]string, 0, len(list))
	for _, element := range list {
		s, ok := element.(string)
		if !ok {
			return nil, errClaim
		}
		all = append(all, s)
	}
	return all, nil
}

// Canonical is the name of a header as every server may read it: in lower case, with a dash for each underscore.
func Canonical(name string) string { return strings.ReplaceAll(strings.ToLower(name), "_", "-") }

// aliases returns the names that differ from name by an underscore for a dash, in lower case.
func aliases(name string) (all []string) {
	parts := strings.Split(strings.ToLower(name), "-")
	for bits := 1; bits < 1<<(len(parts)-1); bits++ {
		var b strings.Builder
		for i, part := range parts {
			if i > 0 {
				b.WriteByte("-_"[bits>>(i-1)&1])
			}
			b.WriteString(part)
		}
		all = append(all, b.String())
	}
	return all
}
