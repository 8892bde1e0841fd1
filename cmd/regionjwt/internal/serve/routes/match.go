package routes

import (
	"slices"
	"strings"
	"unicode"

	"github.com/regionjwt/regionjwt/middleware"
)

// Token says what a route does with the token of a request.
type Token int

// The modes, the strictest last.
const (
	Ignored  Token = iota // it is not looked at
	Optional              // a request may have none
	Required
)

// Entry is what a request needs.
type Entry struct {
	Token        Token
	Requirements []middleware.Requirement
}

// route is an Entry for requests with a path.
type route struct {
	path    string   // decoded; for everything below it if it ends in a slash
	methods []string // none means all
	entry   Entry
}

// is reports whether the route is for a method. GET includes HEAD.
func (r *route) is(method string) bool {
	return len(r.methods) == 0 || slices.Contains(r.methods, method) || method == "HEAD" && slices.Contains(r.methods, "GET")
}

// index finds the routes of a path.
type index struct {
	at      map[string][]*route // by path, with and without a slash at the end: many servers make no difference
	below   map[string][]*route // by path with a slash at the end
	longest int                 // bytes of a path in below
}

func newIndex() index { return index{at: map[string][]*route{}, below: map[string][]*route{}} }

func (x *index) add(path string, r *route) {
	bare := strings.TrimSuffix(path, "/")
	for _, p := range []string{bare, bare + "/"} {
		x.at[p] = append(x.at[p], r)
	}
	if bare != path {
		x.below[path] = append(x.below[path], r)
		x.longest = max(x.longest, len(path))
	}
}

// find returns the routes with the path itself, or with the longest path above it.
func (x *index) find(path string) []*route {
	if found := x.at[path]; found != nil {
		return found
	}
	for i := min(len(path), x.longest) - 1; i >= 0; i-- { // each look costs as much as the path is long
		if path[i] == '/' {
			if found := x.below[path[:i+1]]; found != nil {
				return found
			}
		}
	}
	return nil
}

// Find returns what a request needs, by its method and its original URI, or an error if the path is one that servers read in
// different ways.
//
// The most specific path decides. If several readings of the path, or another case of its letters, lead to other routes, the
// request needs what all of these routes need. A request that no route is for needs what any route needs, all at once.
func (t *Table) Find(method, uri string) (*Entry, error) {
	paths, err := readings(uri, t.allowed)
	if err != nil {
		return nil, err
	}
	var found []*route
	for _, path := range paths {
		lower := fold(path)
		for i, at := range [][]*route{t.exact.find(path), t.folded.find(lower)} {
			if i == 1 && lower == path && t.lower {
				continue // the same
			}
			before := found
			found = add(found, at, method)
			if len(found) == len(before) && !slices.ContainsFunc(at, func(r *route) bool { return r.is(method) }) {
				return &t.strictest, nil
			}
		}
	}
	if len(found) == 1 {
		return &found[0].entry, nil
	}
	all := together(found)
	return &all, nil
}

// fold returns a path in lower case, in which letters are the same that strings.EqualFold takes for the same: "ſ" is "s".
func fold(path string) string {
	if strings.IndexFunc(path, func(c rune) bool { return c > unicode.MaxASCII }) < 0 {
		return strings.ToLower(path)
	}
	return strings.Map(func(c rune) rune { return unicode.ToLower(unicode.ToUpper(c)) }, path)
}

// add adds the routes for a method that are not yet found.
func add(found, all []*route, method string) []*route {
	for _, r := range all {
		if r.is(method) && !slices.Contains(found, r) {
			found = append(found, r)
		}
	}
	return found
}

// Entries returns what the routes need, and last what a request needs that no route is for. Find returns these pointers for
// requests that one route, or none, decides.
func (t *Table) Entries() []*Entry {
	all := make([]*Entry, 0, len(t.routes)+1)
	for _, r := range t.routes {
		all = append(all, &r.entry)
	}
	return append(all, &t.strictest)
}

// together returns what several routes need.
func together(all []*route) Entry {
	var e Entry
	for _, r := range all {
		e.Token = max(e.Token, r.entry.Token)
		e.Requirements = append(e.Requirements, r.entry.Requirements...)
	}
	return e
}
