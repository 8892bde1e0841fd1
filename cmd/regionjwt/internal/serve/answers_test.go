package serve_test

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/serve"
	"github.com/regionjwt/regionjwt/internal/answers"
)

// answer is what a proxy is told.
type answer struct {
	status int
	header http.Header // of a denial, or the identity of a request that is admitted
	remove []string    // from the request; Envoy only
	body   string
	code   codes.Code // Envoy only
}

// request is what a proxy asks about.
type request struct {
	method, uri string
	header      http.Header
}

var names = map[string][2]string{serve.Nginx: {"X-Original-Method", "X-Original-Uri"}, serve.Caddy: {"X-Forwarded-Method", "X-Forwarded-Uri"}}

// ask asks a door about a request, in a dialect.
func ask(t testing.TB, d *serve.Door, dialect string, r request) answer {
	t.Helper()
	if dialect == serve.Envoy {
		return askEnvoy(t, d, r)
	}
	about := httptest.NewRequest(http.MethodGet, "/anything", nil)
	maps.Copy(about.Header, r.header)
	about.Header[names[dialect][0]], about.Header[names[dialect][1]] = []string{r.method}, []string{r.uri}
	w := httptest.NewRecorder()
	d.Forward(dialect).ServeHTTP(w, about)
	return answer{status: w.Code, header: w.Header(), body: w.Body.String()}
}

func check(r request) *authv3.CheckRequest {
	h := &authv3.AttributeContext_HttpRequest{Method: r.method, Path: r.uri, HeaderMap: &corev3.HeaderMap{}}
	for name, values := range r.header {
		for _, v := range values {
			h.HeaderMap.Headers = append(h.HeaderMap.Headers, &corev3.HeaderValue{Key: name, RawValue: []byte(v)})
		}
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{Http: h}}}
}

func askEnvoy(t testing.TB, d *serve.Door, r request) answer {
	t.Helper()
	response, err := d.Authorization().Check(context.Background(), check(r))
	require.NoError(t, err, "an error of the call would admit requests if failure_mode_allow is set")
	return answerOf(t, response)
}

// answerOf reads an answer as Envoy does.
func answerOf(t testing.TB, response *authv3.CheckResponse) answer {
	t.Helper()
	a := answer{header: http.Header{}, code: codes.Code(response.GetStatus().GetCode())}
	if a.code == codes.OK {
		require.Nil(t, response.GetDeniedResponse())
		a.status, a.remove = 200, response.GetOkResponse().GetHeadersToRemove()
		for _, h := range response.GetOkResponse().GetHeaders() {
			require.Equal(t, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD, h.GetAppendAction())
			a.header.Set(h.GetHeader().GetKey(), h.GetHeader().GetValue())
		}
		return a
	}
	require.Nil(t, response.GetOkResponse())
	a.status, a.body = int(response.GetDeniedResponse().GetStatus().GetCode()), response.GetDeniedResponse().GetBody()
	for _, h := range response.GetDeniedResponse().GetHeaders() {
		a.header.Add(h.GetHeader().GetKey(), h.GetHeader().GetValue())
	}
	return a
}

var codeOf = map[int]codes.Code{
	400: codes.InvalidArgument, 401: codes.Unauthenticated, 403: codes.PermissionDenied, 429: codes.ResourceExhausted, 503: codes.Unavailable,
}

// Every failure is answered as docs/answers.md says, in each dialect, and no denial has an identity.
func TestConformance(t *testing.T) {
	t.Parallel()
	rows := answers.Rows(t, "../../../../docs/answers.md")
	for _, dialect := range []string{serve.Nginx, serve.Caddy, serve.Envoy} {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			tried := 0
			for _, c := range answers.Cases(t) {
				if c.RequireCertificate {
					continue // the proxy has the connection
				}
				d, err := serve.DoorFor(c.Verifier, c.Requirements...)
				require.NoError(t, err)
				got := ask(t, d, dialect, request{"GET", "/orders", http.Header{"Authorization": c.Authorization}})
				if c.Name == answers.Good {
					require.Equal(t, 200, got.status)
					require.Equal(t, answers.Secret, got.header.Get("X-Auth-Subject"))
					continue
				}
				row, ok := rows[c.Name]
				require.True(t, ok, "%q has no row", c.Name)
				requireRow(t, c.Name, row, got)
				if dialect == serve.Envoy {
					require.Equal(t, codeOf[got.status], got.code)
				}
				tried++
			}
			require.Equal(t, len(rows)-1, tried)
		})
	}
}

func requireRow(t *testing.T, name string, row answers.Row, got answer) {
	t.Helper()
	require.Equal(t, row.Status, strconv.Itoa(got.status), name)
	require.Equal(t, row.Challenge, got.header.Get("WWW-Authenticate"), name)
	require.Equal(t, row.RetryAfter, got.header.Get("Retry-After"), name)
	require.Equal(t, "no-store", got.header.Get("Cache-Control"))
	require.JSONEq(t, `{"error":"`+row.Reason+`"}`, got.body)
	require.NotContains(t, got.header, "X-Auth-Subject")
	for name, values := range got.header {
		for _, v := range values {
			require.NotContains(t, v, answers.Secret, name)
		}
	}
}

// forward sends a request as it is.
func forward(d *serve.Door, dialect string, h http.Header) *httptest.ResponseRecorder {
	about := httptest.NewRequest(http.MethodGet, "/", nil)
	about.Header = h
	w := httptest.NewRecorder()
	d.Forward(dialect).ServeHTTP(w, about)
	return w
}
