package serve_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/serve"
	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

const file = `{
	"routes": [
		{"path": "/public/", "token": "ignored"},
		{"path": "/maybe/", "token": "optional"},
		{"path": "/orders/", "methods": ["GET"], "scopes": ["orders/read"]},
		{"path": "/orders/", "methods": ["POST"], "scopes": ["orders/write"]}
	],
	"headers": [
		{"name": "X-Auth-Subject", "value": "subject"},
		{"name": "X-Auth-Tenant", "claim": "tenant"},
		{"name": "X-Auth-Groups", "claim": "groups", "list": "comma"}
	]
}`

// world is a door, and who issues tokens for it.
type world struct {
	fake *fakeissuer.Server
	door *serve.Door
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256"})
	cache, err := jwks.New([]issuer.Provider{w.Provider()}, jwks.Config{HTTPClient: w.Client()})
	require.NoError(t, err)
	v, err := verifier.New([]verifier.Policy{{Provider: w.Provider(), Audience: verifier.Audience(fakeissuer.Audience)}}, cache, verifier.Config{})
	require.NoError(t, err)
	d, err := serve.DoorOf(v, file)
	require.NoError(t, err)
	return &world{w, d}
}

// bearer is the header of a request with a token.
func (w *world) bearer(c fakeissuer.Claims) http.Header {
	return http.Header{"Authorization": {"Bearer " + w.fake.Issue("us-east-1", c)}}
}

func with(h http.Header, pairs ...string) http.Header {
	h = h.Clone()
	if h == nil {
		h = http.Header{}
	}
	for i := 0; i < len(pairs); i += 2 {
		h[pairs[i]] = append(h[pairs[i]], pairs[i+1])
	}
	return h
}

var all = []string{serve.Nginx, serve.Caddy, serve.Envoy}

func TestRoutesDecide(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	reader := w.bearer(fakeissuer.Claims{Scope: "orders/read"})
	for _, dialect := range all {
		for _, c := range []struct {
			method, uri string
			header      http.Header
			want        int
		}{
			{"GET", "/orders/1?x=../..%2f", reader, 200},
			{"HEAD", "/orders/1", reader, 200},
			{"POST", "/orders/1", reader, 403},
			{"DELETE", "/orders/1", reader, 403},
			{"GET", "/unknown", reader, 403},
			{"GET", "/unknown", nil, 401},
			{"GET", "/", w.bearer(fakeissuer.Claims{Scope: "orders/read orders/write"}), 200},
			{"GET", "/orders/1", nil, 401},
			{"GET", "/public/x", nil, 200},
			{"GET", "/public/x", http.Header{"Authorization": {"Bearer x"}}, 200},
			{"GET", "/maybe/x", nil, 200},
			{"GET", "/maybe/x", http.Header{"Authorization": {"Bearer x"}}, 401},
			{"GET", "/public/../orders/1", nil, 400},
			{"GET", "/public/..%2forders/1", reader, 400},
			{"GET", "//public/x", reader, 400},
			{"GET", "orders/1", reader, 400},
			{"GET", "http://app.example/orders/1", reader, 400},
		} {
			require.Equal(t, c.want, ask(t, w.door, dialect, request{c.method, c.uri, c.header}).status, "%s: %s %s", dialect, c.method, c.uri)
		}
	}
}

// A header that another proxy, or the application, takes for the original request, is never next to that of the dialect.
func TestHeadersOfAnotherDialectAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	reader := w.bearer(fakeissuer.Claims{Scope: "orders/read"})
	for _, dialect := range all {
		for _, name := range []string{
			"X-Original-Uri", "X-Original-Method", "X-Original-Url", "X-Rewrite-Url", "X-Forwarded-Uri", "X-Forwarded-Method",
			"X-Envoy-Original-Path", "X-Http-Method-Override", "X-Replaced-Path", "X-Auth-Request-Redirect",
			"X_original_uri", "X-Original_uri", "x_forwarded_uri", "X_forwarded_method", "x-rewrite_url",
		} {
			header := with(reader, name, "/public/x")
			if dialect == serve.Envoy {
				header = http.Header{"authorization": reader["Authorization"], strings.ToLower(name): {"/public/x"}}
			}
			want := 400
			if dialect == serve.Envoy && name == "X-Envoy-Original-Path" || dialect != serve.Envoy && (name == names[dialect][0] || name == names[dialect][1]) {
				want = 200 // its own: set by the proxy
			}
			require.Equal(t, want, ask(t, w.door, dialect, request{"GET", "/orders/1", header}).status, "%s: %s", dialect, name)
		}
	}
}

// The method and the URI come from the proxy, once.
func TestARequestWithoutTheOriginalIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var told []string
	w.door.OnMistake = func(dialect, problem string) { told = append(told, dialect+": "+problem) }
	for _, dialect := range []string{serve.Nginx, serve.Caddy} {
		for _, header := range []http.Header{
			{},
			{names[dialect][0]: {"GET"}},
			{names[dialect][1]: {"/public/x"}},
			{names[dialect][0]: {"GET"}, names[dialect][1]: {""}},
			{names[dialect][0]: {"GET", "GET"}, names[dialect][1]: {"/public/x"}},
			{names[dialect][0]: {"GET"}, names[dialect][1]: {"/public/x", "/public/x"}},
		} {
			told = nil
			require.Equal(t, 400, forward(w.door, dialect, header).Code, "%v", header)
			require.Len(t, told, 1)
			require.Contains(t, told[0], names[dialect][1])
		}
	}
	for _, call := range []*authv3.CheckRequest{nil, {}, check(request{"", "/public/x", nil}), check(request{"GET", "", nil})} {
		response, err := w.door.Authorization().Check(t.Context(), call)
		require.NoError(t, err)
		require.Equal(t, 400, answerOf(t, response).status)
	}
}

// Whatever identity a client sends, the application gets that of the token, or none.
func TestNobodyBringsTheirOwnIdentity(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alice := w.bearer(fakeissuer.Claims{Subject: "alice", Scope: "orders/read"})
	forged := []string{"X-Auth-Subject", "root", "X-Auth-Tenant", "root"}
	for name, c := range map[string]struct {
		uri    string
		header http.Header
		want   string // the subject
	}{
		"anonymous":                   {"/public/x", http.Header{}, ""},
		"a token that is not read":    {"/public/x", alice, ""},
		"without a token":             {"/maybe/x", http.Header{}, ""},
		"with a token, not necessary": {"/maybe/x", alice, "alice"},
		"with a token":                {"/orders/1", alice, "alice"},
	} {
		lower := http.Header{"x-auth-subject": {"root"}, "x-auth-tenant": {"root"}, "x_auth-tenant": {"root"}}
		if a := c.header["Authorization"]; a != nil {
			lower["authorization"] = a
		}
		got := ask(t, w.door, serve.Envoy, request{"GET", c.uri, lower})
		require.Equal(t, 200, got.status, name)
		require.Equal(t, c.want, got.header.Get("X-Auth-Subject"), name)
		for _, identity := range []string{"x-auth-subject", "x-auth-tenant", "x-auth-groups"} {
			require.Equal(t, got.header.Get(identity) == "", slices.Contains(got.remove, identity), "%s: %s is overwritten or removed", name, identity)
			for _, alias := range []string{strings.Replace(identity, "-", "_", 1), strings.ReplaceAll(identity, "-", "_")} {
				require.Contains(t, got.remove, alias, name)
			}
		}
		for _, dialect := range []string{serve.Nginx, serve.Caddy} {
			got = ask(t, w.door, dialect, request{"GET", c.uri, c.header})
			require.Equal(t, 200, got.status, name)
			require.Equal(t, c.want, got.header.Get("X-Auth-Subject"), name)
			require.Equal(t, []string{""}, got.header["X-Auth-Tenant"], name)
			// Nothing in the answer would overwrite X-Auth-Tenant, and a proxy could pass it on.
			require.Equal(t, 400, ask(t, w.door, dialect, request{"GET", c.uri, with(c.header, forged...)}).status, name)
			require.Equal(t, 400, ask(t, w.door, dialect, request{"GET", c.uri, with(c.header, "X_auth_subject", "root")}).status, name)
			overwritten := ask(t, w.door, dialect, request{"GET", c.uri, with(c.header, "X-Auth-Subject", "root")})
			require.Equal(t, c.want != "", overwritten.status == 200, name)
			if c.want != "" {
				require.Equal(t, c.want, overwritten.header.Get("X-Auth-Subject"))
			}
		}
	}
}

// An identity that cannot be written denies the request, with no part of it in the answer.
func TestAnIdentityThatCannotBeWrittenDeniesTheRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, dialect := range all {
		for name, c := range map[string]fakeissuer.Claims{
			"a comma in a list": {Subject: "alice", Scope: "orders/read", Set: map[string]any{"groups": []string{"a,admins"}}},
			"a line break":      {Subject: "alice", Scope: "orders/read", Set: map[string]any{"tenant": "a\r\nX-Auth-Groups: admins"}},
		} {
			for _, uri := range []string{"/orders/1", "/maybe/1"} {
				got := ask(t, w.door, dialect, request{"GET", uri, w.bearer(c)})
				require.Equal(t, 403, got.status, "%s: %s", dialect, name)
				require.NotContains(t, got.header, "X-Auth-Subject")
				require.JSONEq(t, `{"error":"insufficient_scope"}`, got.body)
			}
		}
	}
}

// Envoy joins the values of a header with commas, unless it is told to send them one by one.
func TestEnvoyWithTwoTokensIsABadRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := w.bearer(fakeissuer.Claims{Scope: "orders/read"}).Get("Authorization")
	call := check(request{"GET", "/orders/1", nil})
	for joined, want := range map[string]int{token: 200, token + "," + token: 400, token + ", " + token: 400, token + ",": 400} {
		call.Attributes.Request.Http.Headers = map[string]string{"authorization": joined}
		response, err := w.door.Authorization().Check(t.Context(), call)
		require.NoError(t, err)
		require.Equal(t, want, answerOf(t, response).status)
	}
	two := ask(t, w.door, serve.Envoy, request{"GET", "/orders/1", http.Header{"authorization": {token, token}}})
	require.Equal(t, 400, two.status)
	call.Attributes.Request.Http.Headers = map[string]string{"authorization": token}
	call.Attributes.Request.Http.HeaderMap = check(request{"GET", "/orders/1", http.Header{"Authorization": {token}}}).Attributes.Request.Http.HeaderMap
	response, err := w.door.Authorization().Check(t.Context(), call)
	require.NoError(t, err)
	require.Equal(t, 400, answerOf(t, response).status, "in both places")
}

// broken is a Verifier that panics, or that waits until its context ends.
type broken struct{ panics bool }

func (b broken) Verify(ctx context.Context, _ string) (*verifier.Token, error) {
	if b.panics {
		panic("s3cret")
	}
	<-ctx.Done()
	return nil, &verifier.Error{Reason: verifier.ReasonKeysUnavailable, Err: ctx.Err()}
}
func (broken) Recheck(context.Context, *verifier.Token) error { return errors.ErrUnsupported }
func (broken) Changed() <-chan struct{}                       { return nil }

// A request that cannot be judged is denied with 503, and before the call ends: an error of the call could admit it.
func TestCannotTellIsADenialInTime(t *testing.T) {
	t.Parallel()
	token := http.Header{"Authorization": {"Bearer abc"}}
	for _, panics := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			d, err := serve.DoorOf(broken{panics}, file)
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond) // what Envoy has by default
			defer cancel()
			response, err := d.Authorization().Check(ctx, check(request{"GET", "/orders/1", token}))
			require.NoError(t, err)
			require.NoError(t, ctx.Err(), "it is in time")
			got := answerOf(t, response)
			require.Equal(t, 503, got.status)
			require.Equal(t, "1", got.header.Get("Retry-After"))
			require.Empty(t, got.header.Get("WWW-Authenticate"))
		})
	}
	d, err := serve.DoorOf(broken{true}, file)
	require.NoError(t, err)
	require.Equal(t, 503, ask(t, d, serve.Nginx, request{"GET", "/orders/1", token}).status)
	d, err = serve.DoorThatPanics(broken{})
	require.NoError(t, err)
	for _, dialect := range all {
		got := ask(t, d, dialect, request{"GET", "/", token})
		require.Equal(t, 503, got.status, dialect)
		require.NotContains(t, got.header, "X-Auth-Subject", dialect)
	}
}
