package main_test

import (
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	runner "github.com/regionjwt/regionjwt/bench/conformance"
)

// object is what a JSON Schema says of an object.
type object struct {
	Properties map[string]struct {
		Items *object `json:"items"`
	} `json:"properties"`
	Required []string `json:"required"`
}

// The schema of the protocol has the members that the runner sends and reads, and no others.
func TestTheSchemaOfTheProtocol(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../conformance/schema/adapter.json")
	require.NoError(t, err)
	var schema struct {
		Defs map[string]object `json:"$defs"`
	}
	require.NoError(t, json.Unmarshal(text, &schema))
	configure := schema.Defs["configure"]
	all, required := members(runner.Configuration{})
	require.Equal(t, all, slices.Sorted(maps.Keys(configure.Properties)))
	require.ElementsMatch(t, required, configure.Required)
	all, required = members(runner.ConfigIssuer{})
	require.Equal(t, all, slices.Sorted(maps.Keys(configure.Properties["issuers"].Items.Properties)))
	require.ElementsMatch(t, required, configure.Properties["issuers"].Items.Required)
	all, _ = members(runner.Answer{})
	answered := maps.Clone(schema.Defs["verified"].Properties)
	maps.Copy(answered, schema.Defs["configured"].Properties)
	require.Equal(t, all, slices.Sorted(maps.Keys(answered)))
	require.Equal(t, []string{"token"}, schema.Defs["verify"].Required)
}

// members lists the members of the JSON of a struct: all, and those that are always there.
func members(of any) (all, always []string) {
	for f := range reflect.TypeOf(of).Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		all = append(all, name)
		if options == "" {
			always = append(always, name)
		}
	}
	slices.Sort(all)
	return all, always
}
