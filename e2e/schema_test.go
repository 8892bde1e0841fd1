package e2e_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/configfile"
)

// settings is a file that needs no other files.
const settings = `{
  "policies": [
    {
      "provider": {"cognito": {"pool": "us-east-1_AbCdEf123", "replicas": ["us-west-2"]}},
      "audience": {"anyOf": [{"cognitoAccess": ["client"]}, {"cognitoID": ["client"]}]},
      "requiredClaims": ["sub"]
    },
    {
      "provider": {"id": "partners", "regions": [{"name": "eu", "issuers": ["https://eu.example"], "jwksURLs": ["https://eu.example/keys"]}]},
      "audience": {"audience": ["https://orders.example"]},
      "algorithms": ["ES256"],
      "maxAge": "1h"
    }
  ],
  "keys": {"refreshInterval": "10m", "maxKeys": 100},
  "tokens": {"leeway": "10s", "maxTokenBytes": 8192},
  "failover": {"us-east-1_AbCdEf123": {"threshold": 3}}
}`

// ajv is Ajv, a validator, with the schema of configuration files.
type ajv struct{ *process }

func newAjv(t *testing.T) ajv {
	t.Helper()
	require.NoError(t, installed())
	p := launch(t, "idp", nil, "node", "schema.js")
	p.send(t, configfile.Schema())
	return ajv{p}
}

func (p *process) send(t *testing.T, document []byte) {
	t.Helper()
	var line bytes.Buffer
	require.NoError(t, json.Compact(&line, document))
	line.WriteByte('\n')
	_, err := p.stdin.Write(line.Bytes())
	require.NoError(t, err)
}

func (a ajv) problems(t *testing.T, document []byte) []string {
	t.Helper()
	a.send(t, document)
	var answer struct {
		Event  string
		Valid  bool
		Errors []string
	}
	require.NoError(t, json.Unmarshal(a.line(t), &answer))
	require.Equal(t, "validated", answer.Event)
	require.Equal(t, answer.Valid, len(answer.Errors) == 0)
	return answer.Errors
}

// opens reports whether package configfile takes a document.
func opens(t *testing.T, document []byte) error {
	t.Helper()
	path := filepath.Join(t.TempDir(), "regionjwt.json")
	require.NoError(t, os.WriteFile(path, document, 0o600))
	_, err := configfile.Open(path, configfile.Options{})
	return err
}

// mutants yields copies of a value, each with one change somewhere, and where it is.
func mutants(v any, path string, yield func(path string, mutant any)) {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			mutants(v[name], path+"/"+name, func(path string, mutant any) {
				c := maps.Clone(v)
				c[name] = mutant
				yield(path, c)
			})
		}
		if path != "/failover" { // its members are named by the user
			c := maps.Clone(v)
			c["noSuchMember"] = 1
			yield(path+"/noSuchMember", c)
		}
		yield(path+" as a list", []any{v})
	case []any:
		for i, e := range v {
			mutants(e, path+"/"+strconv.Itoa(i), func(path string, mutant any) {
				c := slices.Clone(v)
				c[i] = mutant
				yield(path, c)
			})
		}
		yield(path+" as an object", map[string]any{"a": v})
	case string:
		yield(path+" as a number", 1)
		yield(path+" as null", nil)
	default:
		yield(path+" as a text", "1")
	}
}

// A validator of others takes the schema, in its strict mode, and the files of the documentation; and what it rejects, the reader of
// the file rejects, too: members of another name or type, wherever they are.
func TestTheSchemaOfTheConfiguration(t *testing.T) {
	t.Parallel()
	a := newAjv(t)
	for _, document := range []string{"../docs/configuration.md", "../docs/aws.md"} {
		text, err := os.ReadFile(document)
		require.NoError(t, err)
		_, after, found := strings.Cut(string(text), "```json\n")
		require.True(t, found)
		example, _, _ := strings.Cut(after, "```")
		require.Empty(t, a.problems(t, []byte(example)), document)
	}
	require.Empty(t, a.problems(t, []byte(settings)))
	require.NoError(t, opens(t, []byte(settings)))
	var value any
	require.NoError(t, json.Unmarshal([]byte(settings), &value))
	tried := 0
	mutants(value, "", func(path string, mutant any) {
		tried++
		document, err := json.Marshal(mutant)
		require.NoError(t, err)
		require.NotEmpty(t, a.problems(t, document), path)
		require.Error(t, opens(t, document), path)
	})
	require.Greater(t, tried, 50)
}
