// Package routes reads a file of routes: what the requests for each path need, and which headers tell the application who sent
// a request. It finds what a request needs, by its method and original URI.
package routes

import (
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/middleware"
)

//go:embed schema.json
var schema []byte

// Schema returns the JSON Schema (draft 2020-12) of the file.
func Schema() []byte { return slices.Clone(schema) }

// Table is a file that was read. It is immutable.
type Table struct {
	Headers []*Header

	routes    []*route
	exact     index // by path
	folded    index // by path in lower case
	lower     bool  // every path is in lower case
	allowed   []string
	strictest Entry
}

// Read reads a document, and returns every problem with it as one joined error.
func Read(doc []byte) (*Table, error) {
	all, err := strictjson.Parse(nil, strictjson.WithoutMark(doc))
	if err != nil {
		return nil, fmt.Errorf("not a JSON object: %w", err)
	}
	t, d := &Table{exact: newIndex(), folded: newIndex(), lower: true}, &decoder{}
	d.members("", all, map[string]func(string, strictjson.Value){
		"$schema": func(path string, v strictjson.Value) { d.text(path, v) },
		"routes":  func(path string, v strictjson.Value) { d.array(path, v, d.route(t)) },
		"headers": func(path string, v strictjson.Value) { d.array(path, v, d.header(t)) },
		"allowInPaths": func(path string, v strictjson.Value) {
			t.allowed = d.texts(path, v)
			for i, odd := range t.allowed {
				d.oneOf(fmt.Sprintf("%s[%d]", path, i), odd, oddities...)
			}
		},
	})
	if strictjson.Find(all, "routes").Kind() == strictjson.Absent {
		d.problem("routes", "it is missing")
	}
	t.strictest = together(t.routes)
	t.strictest.Token = Required
	if len(d.problems) > 0 {
		return nil, errors.Join(d.problems...)
	}
	return t, nil
}

// routeMembers are the members of a route that is read.
type routeMembers struct {
	route
	token   string
	noActor bool
}

// route reads a route.
func (d *decoder) route(t *Table) func(string, strictjson.Value) {
	return func(path string, v strictjson.Value) {
		var m routeMembers
		require := func(f func(...string) middleware.Requirement) func(string, strictjson.Value) {
			return func(path string, v strictjson.Value) {
				texts := d.texts(path, v)
				d.requirement(path, &m, func() middleware.Requirement { return f(texts...) })
			}
		}
		d.object(path, v, map[string]func(string, strictjson.Value){
			"path":    func(path string, v strictjson.Value) { m.path = d.path(path, v) },
			"methods": func(path string, v strictjson.Value) { m.methods = d.methods(path, v) },
			"token": func(path string, v strictjson.Value) {
				m.token = d.text(path, v)
				d.oneOf(path, m.token, "required", "optional", "ignored")
			},
			"scopes":   require(middleware.Scopes),
			"anyScope": require(middleware.AnyScope),
			"anyGroup": require(middleware.AnyGroup),
			"clients":  require(middleware.Clients),
			"actors":   require(middleware.Actors),
			"noActor": func(path string, v strictjson.Value) {
				if v.Raw() != "true" {
					d.problem(path, "true is wanted: leave it out otherwise")
				}
				m.noActor = true
				d.requirement(path, &m, middleware.NoActor)
			},
			"stepUp": func(path string, v strictjson.Value) { d.stepUp(path, v, &m) },
		})
		d.finish(path, t, &m)
	}
}

// finish checks a route as a whole, and adds it.
func (d *decoder) finish(path string, t *Table, m *routeMembers) {
	m.entry.Token = map[string]Token{"ignored": Ignored, "optional": Optional, "required": Required, "": Required}[m.token]
	switch {
	case m.path == "":
		d.problem(path, "path is missing")
		return
	case m.entry.Token != Required && len(m.entry.Requirements) > 0:
		d.problem(path, "a route with token %q can require nothing of it", m.token)
	}
	for _, other := range t.routes {
		shared := other.path == m.path && (len(m.methods) == 0 || len(other.methods) == 0 ||
			slices.ContainsFunc(m.methods, other.is) || slices.ContainsFunc(other.methods, m.is))
		if shared {
			d.problem(path, "another route has the path %q and one of the methods (GET includes HEAD)", m.path)
		}
	}
	r := m.route
	t.routes = append(t.routes, &r)
	t.exact.add(r.path, &r)
	folded := fold(r.path)
	t.folded.add(folded, &r)
	t.lower = t.lower && folded == r.path
}

// requirement adds a requirement. Its constructor panics if no token could meet it.
func (d *decoder) requirement(path string, m *routeMembers, f func() middleware.Requirement) {
	if len(d.problems) > 0 {
		return // f may be called with what was wrong already
	}
	var p *guard.Panic
	if errors.As(guard.Call("a requirement", func() { m.entry.Requirements = append(m.entry.Requirements, f()) }), &p) {
		d.problem(path, "%v", p.Value)
	}
}

func (d *decoder) stepUp(path string, v strictjson.Value, m *routeMembers) {
	var maxAge time.Duration
	var acr []string
	d.object(path, v, map[string]func(string, strictjson.Value){
		"maxAge": func(path string, v strictjson.Value) {
			var err error
			if maxAge, err = time.ParseDuration(d.text(path, v)); err != nil || maxAge <= 0 {
				d.problem(path, `%q is not a duration such as "90s" or "5m"`, v.Text())
			}
		},
		"acr": func(path string, v strictjson.Value) { acr = d.texts(path, v) },
	})
	d.requirement(path, m, func() middleware.Requirement { return middleware.StepUp(maxAge, acr...) })
}

// path reads the path of a route, which is written as it is after decoding.
func (d *decoder) path(path string, v strictjson.Value) string {
	s := d.text(path, v)
	switch {
	case s == "":
	case strings.ContainsAny(s, "*{}"):
		d.problem(path, "there are no wildcards: a path that ends in a slash is for everything below it")
	case strings.ContainsAny(s, "%?"):
		d.problem(path, "write the path decoded, and without a query")
	default:
		if _, err := readings(s, nil); err != nil {
			d.problem(path, "%v", err)
		}
	}
	return s
}

func (d *decoder) methods(path string, v strictjson.Value) []string {
	all := d.texts(path, v)
	for i, method := range all {
		if !isToken(method) || method != strings.ToUpper(method) {
			d.problem(fmt.Sprintf("%s[%d]", path, i), "%q is not a method in capital letters", method)
		}
	}
	return all
}

// header reads an identity header.
func (d *decoder) header(t *Table) func(string, strictjson.Value) {
	return func(path string, v strictjson.Value) {
		var h Header
		several, value, claimed := false, "", ""
		d.object(path, v, map[string]func(string, strictjson.Value){
			"name": func(path string, v strictjson.Value) {
				h.Name = d.text(path, v)
				h.Aliases = d.headerName(path, h.Name)
			},
			"value": func(path string, v strictjson.Value) {
				value = d.text(path, v)
				h.source, several = sources[value], isList[value]
				if h.source == nil {
					d.problem(path, "%q is none of %s", value, strings.Join(slices.Sorted(maps.Keys(sources)), ", "))
				}
			},
			"claim": func(path string, v strictjson.Value) {
				claimed = d.text(path, v)
				h.source = claim(claimed)
			},
			"list": func(path string, v strictjson.Value) {
				h.list = d.text(path, v)
				d.oneOf(path, h.list, "json", "comma")
			},
		})
		if h.Name == "" || (value == "") == (claimed == "") {
			d.problem(path, "name is needed, and either value or claim")
		}
		if several && h.list == "" {
			d.problem(path, `%s are a list: set list to "json" or "comma"`, value)
		}
		for _, other := range t.Headers {
			if Canonical(other.Name) == Canonical(h.Name) {
				d.problem(path, "another header has the name %q", other.Name)
			}
		}
		t.Headers = append(t.Headers, &h)
	}
}

// taken lists names, and beginnings of names, that mean something else.
var taken = []string{
	"accept", "age", "allow", "alt-svc", "authorization", "cache-", "connection", "content-", "cookie", "date", "dpop",
	"etag", "expect", "forwarded", "host", "if-", "keep-alive", "last-modified", "location", "origin", "pragma",
	"proxy-", "range", "referer", "retry-after", "server", "set-cookie", "strict-", "te", "trailer", "transfer-",
	"upgrade", "user-agent", "vary", "via", "warning", "www-authenticate", "x-accel-", "x-envoy-", "x-forwarded-",
	"x-original-", "x-rewrite-", "x-http-method", "x-method-override", "sec-", "access-control-",
}

// headerName checks the name of an identity header, and returns its aliases.
func (d *decoder) headerName(path, name string) []string {
	switch {
	case name == "":
		return nil
	case !isToken(name) || strings.Contains(name, "_"):
		d.problem(path, "%q is not the name of a header, or has an underscore", name)
		return nil
	case strings.Count(name, "-") > maxDashes:
		d.problem(path, "%q has more than %d dashes", name, maxDashes)
		return nil
	}
	lower := strings.ToLower(name)
	for _, t := range taken {
		if lower == t || strings.HasSuffix(t, "-") && strings.HasPrefix(lower, t) {
			d.problem(path, "%s means something else to servers: choose a name such as X-Auth-Subject",
				http.CanonicalHeaderKey(name))
		}
	}
	return aliases(name)
}

// isToken reports whether s is a token of RFC 9110 section 5.6.2.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return c <= ' ' || c > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c)
	})
}
