package httpauth

import "net/http"

// URL is the URL of a request as its client sees it, "" where it cannot be told.
func URL(m *Middleware, r *http.Request) string { return m.url(r) }
