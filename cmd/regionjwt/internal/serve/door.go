package serve

import (
	"errors"
	"net/http"
	"sync/atomic"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/serve/routes"
	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/verifier"
)

// Rules answer requests by a file of routes. They are immutable, and safe for concurrent use.
type Rules struct {
	table      *routes.Table
	auth       *httpauth.Middleware
	handlers   map[*routes.Entry]http.Handler
	badRequest http.Handler
	forbidden  http.Handler
	failed     http.Handler
	identity   map[string]bool // the canonical names of the identity headers
	aliases    []string        // the names that a proxy must remove in any case
}

// NewRules returns the rules of a table.
func NewRules(v middleware.Verifier, t *routes.Table) (*Rules, error) {
	auth, err := httpauth.New(v, httpauth.Config{})
	if err != nil {
		return nil, err
	}
	r := &Rules{table: t, auth: auth, handlers: map[*routes.Entry]http.Handler{}, identity: map[string]bool{}}
	if r.badRequest, err = always(v, &verifier.Error{Reason: verifier.ReasonBadRequest}); err != nil {
		return nil, err
	}
	if r.failed, err = always(v, errFailed); err != nil {
		return nil, err
	}
	denied := middleware.RequirementFunc(func(*verifier.Token) error { return errIdentity })
	r.forbidden = auth.Require(denied)(http.NotFoundHandler())
	for _, e := range t.Entries() {
		r.handlers[e] = r.handler(e)
	}
	for _, h := range t.Headers {
		r.identity[routes.Canonical(h.Name)] = true
		r.aliases = append(r.aliases, h.Aliases...)
	}
	return r, nil
}

var (
	errFailed   = errors.New("serve: the request was not judged")
	errIdentity = errors.New("serve: the application cannot be told who sent the request")
)

// always answers as package httpauth answers err.
func always(v middleware.Verifier, err error) (http.Handler, error) {
	auth, problem := httpauth.New(v, httpauth.Config{
		Extractors: []func(*http.Request) (string, error){func(*http.Request) (string, error) { return "", err }},
	})
	if problem != nil {
		return nil, problem
	}
	return auth.Require()(http.NotFoundHandler()), nil
}

// handler answers the requests of an entry.
func (r *Rules) handler(e *routes.Entry) http.Handler {
	admit := http.HandlerFunc(r.admit)
	switch e.Token {
	case routes.Ignored:
		return admit
	case routes.Optional:
		return r.auth.Optional()(admit)
	default:
		return r.auth.Require(e.Requirements...)(admit)
	}
}

// admit answers a request that is admitted, with every identity header in the answer; one that is empty must be removed.
func (r *Rules) admit(w http.ResponseWriter, req *http.Request) {
	token := verifier.FromContext(req.Context())
	h := w.Header()
	for _, header := range r.table.Headers {
		value, err := header.Value(token)
		if err != nil {
			r.withoutIdentity(h)
			r.forbidden.ServeHTTP(w, req)
			return
		}
		h.Set(header.Name, value) // Caddy 2.6 makes a value of its own of a header that is missing
		if value != "" {
			continue
		}
		if _, brought := req.Header[http.CanonicalHeaderKey(header.Name)]; brought { // a proxy may pass it on
			r.withoutIdentity(h)
			r.badRequest.ServeHTTP(w, req)
			return
		}
	}
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
}

func (r *Rules) withoutIdentity(h http.Header) {
	for _, header := range r.table.Headers {
		h.Del(header.Name)
	}
}

// Serve answers a request by its method and original URI. The token is that of the Authorization header of req.
func (r *Rules) Serve(w http.ResponseWriter, req *http.Request, method, uri string) {
	entry, err := r.table.Find(method, uri)
	if err != nil {
		r.badRequest.ServeHTTP(w, req)
		return
	}
	h := r.handlers[entry]
	if h == nil {
		h = r.handler(entry) // of several routes
	}
	h.ServeHTTP(w, req)
}

// Door is a listener's way to the rules in effect.
type Door struct {
	Rules *atomic.Pointer[Rules]
	// OnAnswer is called with the status of each answer. Nil is fine.
	OnAnswer func(dialect string, status int)
	// OnMistake is called with the problem with a request that only the proxy can have caused. Nil is fine.
	OnMistake func(dialect, problem string)
}

// original is the request that a proxy asks about, or the problem with it.
type original struct {
	method, uri string
	problem     error
}

// serve answers a request, whatever the rules do.
func (d *Door) serve(rules *Rules, w *recorder, req *http.Request, dialect string, o original) {
	panicked := guard.Call("the rules", func() {
		switch {
		case o.problem != nil:
			rules.badRequest.ServeHTTP(w, req)
		default:
			rules.Serve(w, req, o.method, o.uri)
		}
	})
	if panicked != nil {
		guard.Report(panicked)
		w.reset()
		rules.failed.ServeHTTP(w, req)
	}
	if d.OnAnswer != nil {
		d.OnAnswer(dialect, w.status)
	}
}

// recorder keeps an answer.
type recorder struct {
	header http.Header
	status int
	body   []byte
}

func newRecorder() *recorder { return &recorder{header: make(http.Header, 4)} }

func (r *recorder) reset() { *r = *newRecorder() }

// Header implements http.ResponseWriter.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	r.body = append(r.body, b...)
	return len(b), nil
}
