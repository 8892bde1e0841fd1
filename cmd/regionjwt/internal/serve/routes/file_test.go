package routes_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/serve/routes"
)

func TestEveryProblemOfAFileIsNamed(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]string{
		``:                       "not a JSON object",
		`[]`:                     "not a JSON object",
		`{}`:                     "routes: it is missing",
		`{"routes": []}`:         "routes: the array is empty",
		`{"routes": {}}`:         "routes: an array is wanted",
		`{"routes": [1]}`:        "routes[0]: an object is wanted",
		`{"routes": [{}]}`:       "routes[0]: path is missing",
		`{"routes": [], "x": 1}`: "x: there is no such member: the members here are $schema, allowInPaths, headers, routes",
		`{"routes": [{"path": "/", "path": "/"}]}`:                                                                           "duplicate",
		`{"routes": [{"path": "/", "scope": ["a"]}]}`:                                                                        "routes[0].scope: there is no such member",
		`{"routes": [{"path": 1}]}`:                                                                                          "routes[0].path: a text is wanted",
		`{"routes": [{"path": "orders"}]}`:                                                                                   "does not begin with a slash",
		`{"routes": [{"path": "/orders/*"}]}`:                                                                                "no wildcards",
		`{"routes": [{"path": "/orders/{id}"}]}`:                                                                             "no wildcards",
		`{"routes": [{"path": "/a%20b"}]}`:                                                                                   "write the path decoded",
		`{"routes": [{"path": "/a//b"}]}`:                                                                                    "the path has //",
		`{"routes": [{"path": "/a", "methods": ["get"]}]}`:                                                                   "capital letters",
		`{"routes": [{"path": "/a", "methods": []}]}`:                                                                        "methods: the array is empty",
		`{"routes": [{"path": "/a", "methods": ["GET", "GET"]}]}`:                                                            "listed twice",
		`{"routes": [{"path": "/a"}, {"path": "/a", "methods": ["GET"]}]}`:                                                   "routes[1]: another route",
		`{"routes": [{"path": "/a", "methods": ["HEAD"]}, {"path": "/a", "methods": ["GET"]}]}`:                              "routes[1]: another route",
		`{"routes": [{"path": "/a", "token": "none"}]}`:                                                                      "none of required, optional, ignored",
		`{"routes": [{"path": "/a", "token": "optional", "scopes": ["a"]}]}`:                                                 "can require nothing",
		`{"routes": [{"path": "/a", "scopes": []}]}`:                                                                         "scopes: the array is empty",
		`{"routes": [{"path": "/a", "scopes": ["a b"]}]}`:                                                                    "routes[0].scopes: middleware: Scopes: a scope is empty or has a character",
		`{"routes": [{"path": "/a", "noActor": false}]}`:                                                                     "true is wanted",
		`{"routes": [{"path": "/a", "stepUp": {}}]}`:                                                                         "neither maxAge nor a class",
		`{"routes": [{"path": "/a", "stepUp": {"maxAge": "5"}}]}`:                                                            "is not a duration",
		`{"routes": [{"path": "/a"}], "allowInPaths": ["%2F"]}`:                                                              `"%2F" is none of`,
		`{"routes": [{"path": "/a"}], "headers": [{"name": "X-A"}]}`:                                                         "either value or claim",
		`{"routes": [{"path": "/a"}], "headers": [{"name": "X-A", "value": "subject", "claim": "a"}]}`:                       "either value or claim",
		`{"routes": [{"path": "/a"}], "headers": [{"name": "X-A", "value": "user"}]}`:                                        `"user" is none of actor`,
		`{"routes": [{"path": "/a"}], "headers": [{"name": "X-A", "value": "groups"}]}`:                                      "groups are a list",
		`{"routes": [{"path": "/a"}], "headers": [{"name": "X-A", "value": "groups", "list": "csv"}]}`:                       "none of json, comma",
		`{"routes": [{"path": "/a"}], "headers": [{"name": "X_A", "value": "subject"}]}`:                                     "underscore",
		`{"routes": [{"path": "/a"}], "headers": [{"name": "X A", "value": "subject"}]}`:                                     "not the name of a header",
		`{"routes": [{"path": "/a"}], "headers": [{"name": "X-A-B-C-D-E", "value": "subject"}]}`:                             "more than 4 dashes",
		`{"routes": [{"path": "/a"}], "headers": [{"name": "authorization", "value": "subject"}]}`:                           "Authorization means something else",
		`{"routes": [{"path": "/a"}], "headers": [{"name": "X-Forwarded-User", "value": "subject"}]}`:                        "means something else",
		`{"routes": [{"path": "/a"}], "headers": [{"name": "X-A", "value": "subject"}, {"name": "x-a", "value": "issuer"}]}`: "another header has the name",
	} {
		_, err := routes.Read([]byte(doc))
		require.ErrorContains(t, err, want, doc)
	}
	_, err := routes.Read([]byte(`{"routes": [{"path": "a"}, {"path": "/b", "token": "x"}], "y": 1, "headers": [{}]}`))
	require.Len(t, strings.Split(err.Error(), "\n"), 4, "all at once: %v", err)
}

// The schema has the members that the reader has.
func TestTheSchemaDescribesTheFile(t *testing.T) {
	t.Parallel()
	type object struct {
		Properties           map[string]json.RawMessage
		AdditionalProperties *bool
	}
	var schema struct {
		object
		Defs map[string]object `json:"$defs"`
	}
	require.NoError(t, json.Unmarshal(routes.Schema(), &schema))
	for place, c := range map[string]struct {
		object object
		doc    string
	}{
		"":       {schema.object, `{"routes": [{"path": "/"}], "?": 1}`},
		"route":  {schema.Defs["route"], `{"routes": [{"path": "/", "?": 1}]}`},
		"header": {schema.Defs["header"], `{"routes": [{"path": "/"}], "headers": [{"name": "X-A", "value": "subject", "?": 1}]}`},
	} {
		require.NotNil(t, c.object.AdditionalProperties, place)
		require.False(t, *c.object.AdditionalProperties, place)
		_, err := routes.Read([]byte(c.doc))
		require.Error(t, err)
		_, list, found := strings.Cut(err.Error(), "the members here are ")
		require.True(t, found, err)
		var names []string
		for name := range c.object.Properties {
			names = append(names, name)
		}
		require.ElementsMatch(t, names, strings.Split(list, ", "), place)
	}
	file, err := os.ReadFile("schema.json")
	require.NoError(t, err)
	require.Equal(t, file, routes.Schema())
	for _, odd := range routes.Oddities() {
		quoted, err := json.Marshal(odd)
		require.NoError(t, err)
		require.Contains(t, string(file), string(quoted))
	}
}

// How long a path is that a client sends decides nothing: no part of it that is longer than every route is looked up.
func TestALongPathCostsLittle(t *testing.T) {
	t.Parallel()
	var all []string
	for i := range 20 {
		all = append(all, fmt.Sprintf(`{"path":"/a/%d/","scopes":["s"]}`, i))
	}
	table, err := routes.Read([]byte(`{"routes":[{"path":"/a/","scopes":["a"]},` + strings.Join(all, ",") + `]}`))
	require.NoError(t, err)
	long := "/a/1/" + strings.Repeat("x/", 400_000)
	began := time.Now()
	entry, err := table.Find("GET", long)
	require.NoError(t, err)
	require.Less(t, time.Since(began), time.Second)
	other, err := table.Find("GET", "/a/1/")
	require.NoError(t, err)
	require.Same(t, other, entry)
	entry, err = table.Find("GET", "/a/x"+long)
	require.NoError(t, err)
	other, err = table.Find("GET", "/a/")
	require.NoError(t, err)
	require.Same(t, other, entry)
}
