package serve

import (
	"maps"
	"net/http"
)

// Forward returns the handler for the requests that nginx (auth_request) or Caddy (forward_auth) sends about another request.
// Their own path is not looked at.
func (d *Door) Forward(name string) http.Handler {
	own := dialects[name]
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		rules := d.Rules.Load()
		o := rules.original(req.Header, own)
		if o.problem == errMissing && d.OnMistake != nil { //nolint:errorlint // it is ours
			d.OnMistake(name, "the proxy does not send "+own.method+" and "+own.uri)
		}
		answer := newRecorder()
		d.serve(rules, answer, req, name, o)
		maps.Copy(w.Header(), answer.header)
		w.WriteHeader(answer.status)
		_, _ = w.Write(answer.body)
	})
}

// original returns the original request, by the headers of the request about it.
func (r *Rules) original(h http.Header, own dialect) original {
	for name := range h {
		if err := r.misleads(name, own, false); err != nil {
			return original{problem: err}
		}
	}
	methods, uris := h[own.method], h[own.uri]
	if len(methods) != 1 || len(uris) != 1 || methods[0] == "" || uris[0] == "" {
		return original{problem: errMissing}
	}
	return original{method: methods[0], uri: uris[0]}
}
