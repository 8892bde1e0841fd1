package grpcauth_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/grpcauth"
	"github.com/regionjwt/regionjwt/verifier"
)

func TestAnswers(t *testing.T) {
	t.Parallel()
	secret := errors.New("secret detail")
	known := fake{"nobody": nil}
	scope := map[string]string{"scope": "orders/read x"}
	for name, c := range map[string]struct {
		err    error
		code   codes.Code
		reason string
		retry  time.Duration
		more   map[string]string
	}{
		"missing": {&verifier.Error{Reason: verifier.ReasonTokenMissing, Err: secret}, codes.Unauthenticated, "TOKEN_MISSING", 0, scope},
		"bad":     {&verifier.Error{Reason: verifier.ReasonBadSignature, Err: secret}, codes.Unauthenticated, "INVALID_TOKEN", 0, scope},
		"expired": {&verifier.Error{Reason: verifier.ReasonExpired, Err: secret}, codes.Unauthenticated, "INVALID_TOKEN", 0, scope},
		"revoked": {&verifier.Error{Reason: verifier.ReasonRevoked, Err: secret}, codes.Unauthenticated, "INVALID_TOKEN", 0, scope},
		"request": {&verifier.Error{Reason: verifier.ReasonBadRequest, Err: secret}, codes.InvalidArgument, "INVALID_REQUEST", 0, nil},
		"bound":   {&verifier.Error{Reason: verifier.ReasonProofFailed, Err: secret}, codes.Unauthenticated, "INVALID_TOKEN", 0, scope},
		"proof":   {&verifier.Error{Reason: verifier.ReasonProofFailed, Detail: "dpop", Err: secret}, codes.Unauthenticated, "INVALID_DPOP_PROOF", 0, scope},
		"nonce":   {&verifier.Error{Reason: verifier.ReasonNonceRequired, Err: secret}, codes.Unauthenticated, "USE_DPOP_NONCE", 0, scope},
		"stepup": {
			&verifier.Error{Reason: verifier.ReasonInsufficientUserAuthentication, Err: secret}, codes.Unauthenticated,
			"INSUFFICIENT_USER_AUTHENTICATION", 0,
			map[string]string{"acr_values": "gold silver", "max_age": "300", "scope": "orders/read x"},
		},
		"scope": {
			&verifier.Error{Reason: verifier.ReasonInsufficientScope, Err: secret}, codes.PermissionDenied,
			"INSUFFICIENT_SCOPE", 0,
			scope,
		},
		"check": {
			&verifier.Error{Reason: verifier.ReasonCheckFailed, Err: verifier.ErrForbidden}, codes.PermissionDenied,
			"INSUFFICIENT_SCOPE", 0,
			scope,
		},
		"unavailable": {
			&verifier.Error{Reason: verifier.ReasonKeysUnavailable, RetryAfter: 7 * time.Second, Err: secret}, codes.Unavailable,
			"TEMPORARILY_UNAVAILABLE", 7 * time.Second, nil,
		},
		"rules":    {&verifier.Error{Reason: verifier.ReasonRulesUnavailable}, codes.Unavailable, "TEMPORARILY_UNAVAILABLE", time.Second, nil},
		"sentinel": {verifier.ErrInvalid, codes.Unauthenticated, "INVALID_TOKEN", 0, scope},
		"odd":      {secret, codes.Unavailable, "TEMPORARILY_UNAVAILABLE", time.Second, nil},
		"status":   {status.Error(codes.OK+5, "secret"), codes.Unavailable, "TEMPORARILY_UNAVAILABLE", time.Second, nil},
		"nobody":   {nil, codes.Unavailable, "TEMPORARILY_UNAVAILABLE", time.Second, nil},
	} {
		known[name] = c.err
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			told := make(chan error, 2)
			i := guard(t, known, grpcauth.Config{Default: []middleware.Requirement{
				middleware.Scopes("orders/read", "x"),
				middleware.StepUp(5*time.Minute, "gold", "silver"),
			}, OnDecision: func(_ context.Context, _ string, tok *verifier.Token, err error) {
				require.Nil(t, tok)
				told <- err
			}})
			conn := serve(t, i, &orders{stream: func(grpc.ServerStream) error { return nil }})
			_, unary := ask(t.Context(), conn, read, "Bearer "+name)
			streaming := open(t.Context(), t, conn, chat, name).RecvMsg(nil)
			for _, err := range []error{unary, streaming} {
				s := status.Convert(err)
				require.Equal(t, c.code, s.Code())
				require.Equal(t, strings.ToLower(c.reason), s.Message())
				info, retry := detailsOf(t, err)
				require.Equal(t, c.reason, info.GetReason())
				require.Equal(t, c.more, info.GetMetadata())
				require.Equal(t, c.retry, retry)
				require.NotContains(t, s.Proto().String(), "secret")
				if c.err != nil {
					require.ErrorIs(t, <-told, c.err)
				}
			}
		})
	}
}

func TestMetadata(t *testing.T) {
	t.Parallel()
	w, v, _ := world(t)
	good := w.Issue(east, fakeissuer.Claims{})
	conn := serve(t, guard(t, v, grpcauth.Config{}), &orders{})
	for name, c := range map[string]struct {
		values []string
		code   codes.Code
	}{
		"good":                {[]string{"Bearer " + good}, codes.OK},
		"scheme in any case":  {[]string{"bEARER " + good}, codes.OK},
		"none":                {nil, codes.Unauthenticated},
		"empty":               {[]string{""}, codes.Unauthenticated},
		"other scheme":        {[]string{"Basic " + good}, codes.Unauthenticated},
		"DPoP":                {[]string{"DPoP " + good}, codes.Unauthenticated},
		"no token":            {[]string{"Bearer"}, codes.InvalidArgument},
		"twice":               {[]string{"Bearer " + good, "Bearer " + good}, codes.InvalidArgument},
		"a bad one after":     {[]string{"Bearer " + good, "Bearer x"}, codes.InvalidArgument},
		"an empty one before": {[]string{"", "Bearer " + good}, codes.InvalidArgument},
		"list":                {[]string{"Bearer " + good + ",Bearer " + good}, codes.InvalidArgument},
		"list of tokens":      {[]string{"Bearer " + good + ", " + good}, codes.InvalidArgument},
		"1 MB":                {[]string{"Bearer " + strings.Repeat("a", 1<<20)}, codes.Unauthenticated},
		"more than 1 MB":      {[]string{"Bearer " + strings.Repeat("a", 1<<20+1)}, codes.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ask(t.Context(), conn, read, c.values...)
			require.Equal(t, c.code, status.Code(err), "%v", err)
		})
	}
	t.Run("binary", func(t *testing.T) {
		t.Parallel()
		for _, key := range []string{"authorization-bin", "proxy-authorization", "x-authorization"} {
			_, err := ask(metadata.AppendToOutgoingContext(t.Context(), key, "Bearer "+good), conn, read)
			require.Equal(t, codes.Unauthenticated, status.Code(err))
			require.Equal(t, "token_missing", status.Convert(err).Message())
		}
	})
	// What the client of grpc-go does not even send.
	for _, value := range []string{"Bearer " + good + "\x00", "Bearer\t" + good, "Bearer " + good + "\r\nx: y", "Bearer \x7f", "Bearer é", "Bearer " + good + "\n"} {
		ctx := metadata.NewIncomingContext(t.Context(), metadata.MD{"authorization": {value}})
		_, err := guard(t, v, grpcauth.Config{}).Unary()(ctx, nil, &grpc.UnaryServerInfo{FullMethod: read}, nil)
		require.Contains(t, []codes.Code{codes.InvalidArgument, codes.Unauthenticated}, status.Code(err), "%q", value)
	}
}

// What came in is not sent on by a handler that calls others under its context.
func TestNothingIsForwarded(t *testing.T) {
	t.Parallel()
	w, v, _ := world(t)
	behind := serve(t, nil, &orders{unary: func(ctx context.Context) (string, error) {
		return strings.Join(metadata.ValueFromIncomingContext(ctx, "authorization"), ","), nil
	}})
	onward := func(ctx context.Context) (string, error) { return ask(ctx, behind, read) }
	streamed := make(chan string, 1)
	conn := serve(t, guard(t, v, grpcauth.Config{}), &orders{unary: onward, stream: func(s grpc.ServerStream) error {
		got, err := onward(s.Context())
		streamed <- got
		return err
	}})
	token := w.Issue(west, fakeissuer.Claims{})
	got, err := ask(t.Context(), conn, read, "Bearer "+token)
	require.NoError(t, err)
	require.Empty(t, got)
	open(t.Context(), t, conn, chat, token)
	require.Empty(t, <-streamed)
}

func TestExempt(t *testing.T) {
	t.Parallel()
	w, v, _ := world(t)
	seen := make(chan bool, 1)
	conn := serve(t, guard(t, v, grpcauth.Config{Exempt: []string{read, feed}}), &orders{stream: func(s grpc.ServerStream) error {
		seen <- verifier.FromContext(s.Context()) != nil
		return nil
	}})
	for _, authorization := range [][]string{nil, {"Bearer bad"}, {"a", "b"}, {"Bearer " + w.Issue(east, fakeissuer.Claims{})}} {
		got, err := ask(t.Context(), conn, read, authorization...)
		require.NoError(t, err)
		require.Equal(t, "anonymous", got)
	}
	_, err := ask(t.Context(), conn, remove)
	require.Equal(t, codes.Unauthenticated, status.Code(err))
	open(t.Context(), t, conn, feed, "bad")
	require.False(t, <-seen)
	require.Equal(t, codes.Unauthenticated, status.Code(open(t.Context(), t, conn, chat, "bad").RecvMsg(nil)))
}

func TestRequirements(t *testing.T) {
	t.Parallel()
	w, v, _ := world(t)
	i := guard(t, v, grpcauth.Config{
		Requirements: map[string][]middleware.Requirement{
			remove: {middleware.Scopes("orders/write"), middleware.AnyGroup("admin")},
			feed:   {},
		},
		Default: []middleware.Requirement{middleware.Scopes("orders/read")},
	})
	conn := serve(t, i, &orders{stream: func(grpc.ServerStream) error { return nil }})
	reader := w.Issue(east, fakeissuer.Claims{})
	writer := w.Issue(west, fakeissuer.Claims{Scope: "orders/write", Groups: []string{"admin"}})
	for _, c := range []struct {
		method, token string
		scope         string // that is missing
	}{
		{read, reader, ""},
		{read, writer, "orders/read"},
		{remove, reader, "orders/write"},
		{remove, writer, ""},
	} {
		got, err := ask(t.Context(), conn, c.method, "Bearer "+c.token)
		if c.scope == "" {
			require.NoError(t, err)
			require.Equal(t, fakeissuer.Subject, got)
			continue
		}
		require.Equal(t, codes.PermissionDenied, status.Code(err))
		info, _ := detailsOf(t, err)
		require.Equal(t, c.scope, info.GetMetadata()["scope"])
	}
	require.Equal(t, codes.PermissionDenied, status.Code(open(t.Context(), t, conn, chat, writer).RecvMsg(nil)))
	require.EqualError(t, open(t.Context(), t, conn, feed, writer).RecvMsg(nil), "EOF")

	// A name without its slash finds the same rule.
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer "+reader))
	_, err := i.Unary()(ctx, nil, &grpc.UnaryServerInfo{FullMethod: remove[1:]}, nil)
	require.Equal(t, codes.PermissionDenied, status.Code(err))
}

func TestNewReportsEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := grpcauth.New(nil, grpcauth.Config{
		Exempt: []string{
			"", "/", "pkg.Service/Method", "/pkg.Service", "pkg.Service/", "//", "//Method", "/pkg.Service/*", "/*/", "/pkg.", "/a/b/c", "/a/b/",
			"/a /b", read, read, "/pkg.Service/", "/pkg.Service/", "/pkg.Service/Covered",
		},
		Requirements: map[string][]middleware.Requirement{
			read: nil, "/pkg.Service/": nil, "Method": nil, "/pkg.Service/Other": nil, chat: {{}},
		},
		Default: []middleware.Requirement{middleware.AnyGroup("g"), {}},
		Grace:   -1, InsecureIgnoreConfirmation: true, RequireCertificate: true,
	})
	for _, part := range []string{
		"New: the Verifier is nil", "Grace -1ns is negative", "InsecureIgnoreConfirmation contradicts", `Exempt: "" is neither`,
		`Exempt: "/" is neither`, `Exempt: "pkg.Service/Method" is neither`, `Exempt: "/pkg.Service" is neither`,
		`Exempt: "pkg.Service/" is neither`, `Exempt: "//" is neither`, `Exempt: "//Method" is neither`,
		`Exempt: "/pkg.Service/*" is neither`, `Exempt: "/*/" is neither`, `Exempt: "/pkg." is neither`, `Exempt: "/a/b/c" is neither`,
		`Exempt: "/a/b/" is neither`, `Exempt: "/a /b" is neither`, `Exempt: "/test.Orders/Read" is listed twice`,
		`Exempt: "/pkg.Service/" is listed twice`, `Exempt: "/pkg.Service/Covered" is listed, and so is its service`,
		`"/test.Orders/Read" is exempt and has requirements`, `"/pkg.Service/Other" is exempt and has requirements`,
		`Requirements: "/pkg.Service/" is not`, `Requirements: "Method" is not`, "Default has a zero Requirement",
		`Requirements: "/test.Orders/Chat" has a zero Requirement`,
	} {
		require.ErrorContains(t, err, part)
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		require.Contains(t, line, "grpcauth: ")
	}
}

func TestNothingPassesTheZeroInterceptor(t *testing.T) {
	t.Parallel()
	conn := serve(t, new(grpcauth.Interceptor), &orders{})
	_, err := ask(t.Context(), conn, read, "Bearer x")
	require.Equal(t, codes.Unavailable, status.Code(err))
	require.Equal(t, codes.Unavailable, status.Code(open(t.Context(), t, conn, chat, "x").RecvMsg(nil)))
}

func TestValidate(t *testing.T) {
	t.Parallel()
	server := grpc.NewServer()
	o := &orders{}
	server.RegisterService(o.desc(), o)
	healthpb.RegisterHealthServer(server, health.NewServer())
	exempt := []string{"/grpc.health.v1.Health/", "/grpc.reflection.v1.ServerReflection/", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"}
	i := guard(t, fake{}, grpcauth.Config{
		Exempt:       exempt,
		Requirements: map[string][]middleware.Requirement{chat: nil, read: nil, "/test.Orders/read": nil},
	})
	err := i.Validate(server)
	for _, part := range []string{
		`Exempt: the server has no "/grpc.reflection.v1.ServerReflection/"`,
		`Exempt: the server has no "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"`,
		`Requirements: the server has no "/test.Orders/read"`,
	} {
		require.ErrorContains(t, err, part)
	}
	require.Len(t, strings.Split(err.Error(), "\n"), 3)
	reflection.Register(server)
	i = guard(t, fake{}, grpcauth.Config{
		Exempt: exempt, Requirements: map[string][]middleware.Requirement{chat: nil, read: nil},
	})
	require.NoError(t, i.Validate(server))
}

// A service that is exempt needs no token for any of its methods; other services do.
func TestExemptService(t *testing.T) {
	t.Parallel()
	conn := serve(t, guard(t, fake{}, grpcauth.Config{Exempt: []string{"/test.Orders/"}}), &orders{
		stream: func(grpc.ServerStream) error { return nil },
	})
	for _, method := range []string{read, remove} {
		_, err := ask(t.Context(), conn, method)
		require.NoError(t, err)
	}
	require.EqualError(t, open(t.Context(), t, conn, chat, "bad").RecvMsg(nil), "EOF")
	i := guard(t, fake{}, grpcauth.Config{Exempt: []string{"/test.Orders/"}})
	for _, method := range []string{"/test.Orders2/Read", "/test/Read", "/x/test.Orders/Read", "/test.Orders/Read/x", "", "/"} {
		_, err := i.Unary()(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: method}, nil)
		require.Equal(t, codes.Unauthenticated, status.Code(err), method)
	}
}
