package httpauth_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/answers"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
)

// Every failure is answered as docs/answers.md says.
func TestConformance(t *testing.T) {
	t.Parallel()
	rows := answers.Rows(t, "../../docs/answers.md")
	tried := map[string]bool{answers.Good: true}
	for _, c := range answers.Cases(t) {
		h := protect(t, c.Verifier, httpauth.Config{RequireCertificate: c.RequireCertificate}, c.Requirements...)
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Authorization"] = c.Authorization
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if c.Name == answers.Good {
			require.Equal(t, 200, w.Code)
			continue
		}
		tried[c.Name] = true
		row, ok := rows[c.Name]
		require.True(t, ok, "%q has no row", c.Name)
		require.Equal(t, row.Status, strconv.Itoa(w.Code), c.Name)
		require.Equal(t, row.Challenge, w.Header().Get("WWW-Authenticate"), c.Name)
		require.Equal(t, row.RetryAfter, w.Header().Get("Retry-After"), c.Name)
		require.JSONEq(t, `{"error":"`+row.Reason+`"}`, w.Body.String(), c.Name)
		require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		for name, values := range w.Header() {
			for _, v := range values {
				require.NotContains(t, v, answers.Secret, name)
			}
		}
	}
	for name := range rows {
		require.True(t, tried[name], "%q was not tried", name)
	}
	require.Greater(t, len(rows), 25)
}
