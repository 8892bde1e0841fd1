package adapters_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/verifier"
)

// recipeConnectError is a Config.WriteError whose answers the clients of connect understand in each of its protocols: Connect,
// gRPC and gRPC-Web. Retry-After and the challenge stay in the headers. NewErrorWriter takes the options of the handlers.
func recipeConnectError() func(http.ResponseWriter, *http.Request, int, error) {
	writer := connect.NewErrorWriter()
	return func(w http.ResponseWriter, r *http.Request, status int, err error) {
		code := connect.CodeUnavailable
		switch status {
		case http.StatusUnauthorized:
			code = connect.CodeUnauthenticated
		case http.StatusForbidden:
			code = connect.CodePermissionDenied
		case http.StatusBadRequest:
			code = connect.CodeInvalidArgument
		case http.StatusTooManyRequests:
			code = connect.CodeResourceExhausted
		}
		_, reason, _ := middleware.Classify(err) // nothing else of err may be sent
		_ = writer.Write(w, r, connect.NewError(code, errors.New(reason)))
	}
}

const (
	showOrder  = "/orders.v1.Orders/Show"
	watchOrder = "/orders.v1.Orders/Watch"
)

type (
	text    = wrapperspb.StringValue
	request = connect.Request[text]
)

// buildConnect has one procedure of each kind. Watch sends the order, and goes on for as long as its token holds.
func buildConnect(s *service) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(showOrder, connect.NewUnaryHandler(showOrder, func(ctx context.Context, r *request) (*connect.Response[text], error) {
		token := verifier.FromContext(ctx)
		return connect.NewResponse(wrapperspb.String(s.order(token, r.Msg.GetValue()))), nil
	}))
	mux.Handle(watchOrder, connect.NewServerStreamHandler(watchOrder, func(ctx context.Context, r *request, stream *connect.ServerStream[text]) error {
		token := verifier.FromContext(ctx)
		id, forever := strings.CutSuffix(r.Msg.GetValue(), " for ever")
		if err := stream.Send(wrapperspb.String(s.order(token, id))); err != nil || !forever {
			return err
		}
		<-ctx.Done()
		if ended, ok := errors.AsType[*verifier.Error](context.Cause(ctx)); ok {
			return connect.NewError(connect.CodeUnauthenticated, errors.New(string(ended.Reason)))
		}
		return ctx.Err()
	}))
	return s.auth.Require(middleware.Scopes(read))(recipeWatched(s.validator, mux))
}

func connectRequest(url string) (*http.Request, error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url+showOrder, strings.NewReader(`"7"`))
	if err == nil {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Connect-Protocol-Version", "1")
	}
	return r, err
}

func connectRefusal(status int, reason string) string {
	code := map[int]connect.Code{
		400: connect.CodeInvalidArgument, 401: connect.CodeUnauthenticated,
		403: connect.CodePermissionDenied, 503: connect.CodeUnavailable,
	}[status]
	return `{"code":"` + code.String() + `","message":"` + reason + `"}`
}

var protocols = map[string]connect.ClientOption{
	"Connect": connect.WithClientOptions(), "gRPC": connect.WithGRPC(), "gRPC-Web": connect.WithGRPCWeb(),
}

// serveConnect serves both procedures over HTTP/2, which gRPC needs.
func serveConnect(t *testing.T, s *service) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(buildConnect(s))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// show calls the unary procedure.
func show(t *testing.T, server *httptest.Server, protocol connect.ClientOption, header http.Header) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r := connect.NewRequest(wrapperspb.String("7"))
	maps.Copy(r.Header(), header)
	resp, err := connect.NewClient[text, text](server.Client(), server.URL+showOrder, protocol).CallUnary(ctx, r)
	if err != nil {
		return "", err
	}
	return resp.Msg.GetValue(), nil
}

// watch calls the streaming procedure, and returns its last message.
func watch(t *testing.T, server *httptest.Server, protocol connect.ClientOption, header http.Header, id string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r := connect.NewRequest(wrapperspb.String(id))
	maps.Copy(r.Header(), header)
	stream, err := connect.NewClient[text, text](server.Client(), server.URL+watchOrder, protocol).CallServerStream(ctx, r)
	if err != nil {
		return "", err
	}
	defer func() { _ = stream.Close() }()
	last := ""
	for stream.Receive() {
		last = stream.Msg().GetValue()
	}
	return last, stream.Err()
}

// Clients of connect see its codes, in each protocol and from each kind of procedure.
func TestConnectCodes(t *testing.T) {
	t.Parallel()
	for name, protocol := range protocols {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, httpauth.Config{WriteError: recipeConnectError()})
			s.warm(t)
			server := serveConnect(t, s)
			dark := newService(t, httpauth.Config{WriteError: recipeConnectError()})
			dark.fake.Break(east)
			dark.fake.Break(west)
			good := "Bearer " + s.fake.Issue(east, fakeissuer.Claims{})
			for _, c := range []struct {
				name          string
				server        *httptest.Server
				authorization []string
				code          connect.Code
				reason        string
			}{
				{"good", server, []string{good}, 0, ""},
				{"no token", server, nil, connect.CodeUnauthenticated, "token_missing"},
				{"a bad one", server, []string{fakeissuer.Tamper(good)}, connect.CodeUnauthenticated, "invalid_token"},
				{
					"a scope is missing", server,
					[]string{"Bearer " + s.fake.Issue(west, fakeissuer.Claims{Scope: "openid"})},
					connect.CodePermissionDenied, "insufficient_scope",
				},
				{"two tokens", server, []string{good, good}, connect.CodeInvalidArgument, "invalid_request"},
				{
					"an outage", serveConnect(t, dark),
					[]string{"Bearer " + dark.fake.Issue(east, fakeissuer.Claims{})},
					connect.CodeUnavailable, "temporarily_unavailable",
				},
			} {
				header := http.Header{"Authorization": c.authorization}
				for kind, call := range map[string]func() (string, error){
					"unary":  func() (string, error) { return show(t, c.server, protocol, header) },
					"stream": func() (string, error) { return watch(t, c.server, protocol, header, "7") },
				} {
					before := s.served.Load()
					got, err := call()
					if c.code == 0 {
						require.NoError(t, err, kind)
						require.Equal(t, "order 7 for alice (openid orders/read) of us-east-1_Testing01", got, kind)
						require.Equal(t, before+1, s.served.Load())
						continue
					}
					require.Equal(t, c.code, connect.CodeOf(err), "%s, %s: %v", c.name, kind, err)
					var e *connect.Error
					require.ErrorAs(t, err, &e)
					require.Equal(t, c.reason, e.Message(), "%s, %s", c.name, kind)
					require.True(t, connect.IsWireError(err))
					require.Empty(t, got)
					require.Equal(t, before, s.served.Load(), "%s, %s: the handler ran", c.name, kind)
					if c.code == connect.CodeUnavailable && kind == "unary" {
						after, err := strconv.Atoi(e.Meta().Get("Retry-After"))
						require.NoError(t, err, "%v", e.Meta())
						require.GreaterOrEqual(t, after, 1)
					}
				}
			}
			require.Zero(t, dark.served.Load())
		})
	}
}

// A stream ends with its token, and its client learns why.
func TestConnectStreamEnds(t *testing.T) {
	t.Parallel()
	for name, protocol := range protocols {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, httpauth.Config{WriteError: recipeConnectError()})
			token := s.fake.Issue(east, fakeissuer.Claims{ExpiresIn: 2 * time.Second})
			last, err := watch(t, serveConnect(t, s), protocol, http.Header{"Authorization": {"Bearer " + token}}, "7 for ever")
			require.Contains(t, last, "order 7 for alice")
			require.Equal(t, connect.CodeUnauthenticated, connect.CodeOf(err))
			require.ErrorContains(t, err, string(verifier.ReasonExpired))
		})
	}
}
