package routes

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/regionjwt/regionjwt/internal/strictjson"
)

// decoder reads the values of a document, and collects every problem with the path of the member.
type decoder struct{ problems []error }

func (d *decoder) problem(path, format string, args ...any) {
	d.problems = append(d.problems, fmt.Errorf("%s: %s", path, fmt.Sprintf(format, args...)))
}

// members reads an object. It reports members that take does not have.
func (d *decoder) members(path string, all []strictjson.Member, take map[string]func(path string, v strictjson.Value)) {
	for _, m := range all {
		at := strings.TrimPrefix(path+"."+m.Name, ".")
		if f := take[m.Name]; f != nil {
			f(at, m.Value)
			continue
		}
		names := slices.Sorted(maps.Keys(take))
		d.problem(at, "there is no such member: the members here are %s", strings.Join(names, ", "))
	}
}

func (d *decoder) object(path string, v strictjson.Value, take map[string]func(path string, v strictjson.Value)) {
	if v.Kind() != strictjson.Object {
		d.problem(path, "an object is wanted")
		return
	}
	d.members(path, slices.Collect(v.Members()), take)
}

func (d *decoder) array(path string, v strictjson.Value, take func(path string, v strictjson.Value)) {
	if v.Kind() != strictjson.Array {
		d.problem(path, "an array is wanted")
		return
	}
	i := 0
	for element := range v.Elements() {
		take(fmt.Sprintf("%s[%d]", path, i), element)
		i++
	}
	if i == 0 {
		d.problem(path, "the array is empty")
	}
}

func (d *decoder) text(path string, v strictjson.Value) string {
	if v.Kind() != strictjson.String || v.Text() == "" {
		d.problem(path, "a text is wanted")
	}
	return v.Text()
}

// texts reads a list in which every text is different.
func (d *decoder) texts(path string, v strictjson.Value) (all []string) {
	d.array(path, v, func(path string, v strictjson.Value) {
		s := d.text(path, v)
		if slices.Contains(all, s) {
			d.problem(path, "%q is listed twice", s)
		}
		all = append(all, s)
	})
	return all
}

func (d *decoder) oneOf(path, s string, words ...string) {
	if !slices.Contains(words, s) {
		d.problem(path, "%q is none of %s", s, strings.Join(words, ", "))
	}
}
