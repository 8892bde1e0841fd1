package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/strictjson"
)

// vectorFile is a file of Wycheproof: groups of tests, each with one key or one key set.
type vectorFile struct {
	NumberOfTests int
	TestGroups    []struct {
		Public, Private json.RawMessage // Public is absent where the key is symmetric
		Tests           []vector
	}
}

type vector struct {
	TcID         int
	Comment, JWS string
	Result       string // "valid" or "invalid"
}

func readVectors(t *testing.T, name string) vectorFile {
	t.Helper()
	var file vectorFile
	require.NoError(t, json.Unmarshal(vectorText(t, name), &file))
	return file
}

// vectorText reads a file of the module from the module cache, at the version that go.mod names.
func vectorText(t *testing.T, name string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", "github.com/c2sp/wycheproof")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s%s", out, &stderr)
	var module struct{ Dir string }
	require.NoError(t, json.Unmarshal(out, &module))
	doc, err := os.ReadFile(filepath.Join(module.Dir, "testvectors_v1", name))
	require.NoError(t, err)
	return doc
}

// Why a JWS was refused, beside the errors of package jose.
var (
	errParts     = errors.New("not three parts that are not empty")
	errHeader    = errors.New("not a header that is understood")
	errAlgorithm = errors.New("alg is unknown, or not the key's")
	errNoKey     = errors.New("no usable key of this name")
)

// checkCompact takes a compact JWS apart by the rules of package verifier, and checks it with the key of the set that its
// kid names, or the only one where the header has no kid.
func checkCompact(raw string, set []*jose.Key) error {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
		return errParts
	}
	return checkParts(parts, set)
}

func checkParts(parts []string, set []*jose.Key) error {
	var decoded [3][]byte
	for i, p := range parts {
		var err error
		if decoded[i], err = jose.AppendBase64(nil, p); err != nil {
			return err
		}
	}
	header, err := strictjson.Parse(nil, string(decoded[0]))
	if err != nil {
		return errHeader
	}
	for _, name := range []string{"crit", "b64", "enc", "zip", "cty"} {
		if strictjson.Find(header, name).Kind() != strictjson.Absent {
			return errHeader
		}
	}
	alg, kid := strictjson.Find(header, "alg").Text(), strictjson.Find(header, "kid")
	if !jose.Known(alg) {
		return errAlgorithm
	}
	for _, k := range set {
		if kid.Is(k.ID) || kid.Kind() == strictjson.Absent && len(set) == 1 {
			if k.Algorithm != "" && k.Algorithm != alg {
				return errAlgorithm
			}
			return jose.Verify(alg, k.Public, []byte(parts[0]+"."+parts[1]), decoded[2])
		}
	}
	return errNoKey
}

// exception is a test on which this library and the file differ, and on purpose.
type exception struct {
	err error // why it is refused; nil where it is accepted
	why string
}

const (
	hmac         = "HS256: there is no symmetric algorithm"
	notTheKeys   = "the header says PS384, the JWK PS256: a key is for its own algorithm only"
	noSuchAlg    = "the JWK says ES521, which no RFC defines"
	emptyPayload = "the payload is empty: no JWT is; the signature itself is found good"
	outsideHMAC  = "HS256, and a question mark inside base64url"
)

// exceptionsJWS lists the tests of json_web_signature_test.json whose result is "valid" and which are refused.
var exceptionsJWS = map[int]exception{
	1: {errAlgorithm, hmac}, 348: {errAlgorithm, hmac}, 352: {errAlgorithm, hmac}, 357: {errAlgorithm, hmac},
	358: {errAlgorithm, hmac}, 359: {errAlgorithm, hmac}, 376: {errAlgorithm, hmac}, 377: {errAlgorithm, hmac},
	372: {jose.ErrBase64, outsideHMAC}, 373: {jose.ErrBase64, outsideHMAC},
	346: {errAlgorithm, notTheKeys}, 350: {errAlgorithm, notTheKeys},
	347: {errNoKey, noSuchAlg}, 351: {errNoKey, noSuchAlg},
	259: {errParts, emptyPayload}, 264: {errParts, emptyPayload}, 268: {errParts, emptyPayload},
	272: {errParts, emptyPayload}, 320: {errParts, emptyPayload}, 325: {errParts, emptyPayload},
}

// exceptionsJWK lists the tests of json_web_key_test.json on which this library and the file differ.
var exceptionsJWK = map[int]exception{
	2: {errAlgorithm, hmac}, 13: {errAlgorithm, "HS256: see 2"}, 14: {errAlgorithm, "HS384: see 2"},
	15: {errAlgorithm, "HS512: see 2"},
	7:  {nil, "a modulus with the ROCA weakness, whose detection is the issuer's affair: it is accepted"},
}

// playVectors checks every test of the file, and the exceptions both ways. It returns how many were accepted and refused.
func playVectors(t *testing.T, file vectorFile, wrap func(key string) string, known map[int]exception) (accepted, refused int) {
	t.Helper()
	met := 0
	for _, g := range file.TestGroups {
		key := g.Public
		if key == nil {
			key = g.Private
		}
		set, _, err := jose.ParseSet([]byte(wrap(string(key))), jose.Limits{})
		require.NoError(t, err)
		for _, v := range g.Tests {
			err := checkCompact(v.JWS, set)
			if err == nil {
				accepted++
			} else {
				refused++
			}
			e, differs := known[v.TcID]
			switch {
			case differs:
				met++
				require.Equal(t, e.err == nil, v.Result == "invalid", "%d %s is no exception", v.TcID, v.Comment)
				require.ErrorIs(t, err, e.err, "%d %s: %s", v.TcID, v.Comment, e.why)
			case v.Result == "valid":
				require.NoError(t, err, "%d %s", v.TcID, v.Comment)
			default:
				require.Equal(t, "invalid", v.Result)
				require.Error(t, err, "%d %s", v.TcID, v.Comment)
			}
			if e.why == emptyPayload {
				require.NoError(t, checkParts(strings.Split(v.JWS, "."), set), "%d %s", v.TcID, v.Comment)
			}
		}
	}
	require.Equal(t, len(known), met, "every exception is in the file")
	return accepted, refused
}

func TestWycheproofSignatures(t *testing.T) {
	t.Parallel()
	file := readVectors(t, "json_web_signature_test.json")
	require.Equal(t, 401, file.NumberOfTests)
	one := func(key string) string { return `{"keys":[` + key + `]}` }
	accepted, refused := playVectors(t, file, one, exceptionsJWS)
	require.Equal(t, 26, accepted)
	require.Equal(t, 375, refused)
}

func TestWycheproofKeySets(t *testing.T) {
	t.Parallel()
	file := readVectors(t, "json_web_key_test.json")
	require.Equal(t, 26, file.NumberOfTests)
	whole := func(set string) string { return set }
	accepted, refused := playVectors(t, file, whole, exceptionsJWK)
	require.Equal(t, 21, accepted+refused-len(exceptionsJWK), "the others agree")
	require.Equal(t, 2, accepted)
}
