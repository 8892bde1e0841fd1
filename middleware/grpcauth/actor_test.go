package grpcauth_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/grpcauth"
	"github.com/regionjwt/regionjwt/verifier"
)

// typed is what a handler reads of a token in a type of its own.
type typed struct {
	Subject string `json:"sub"`
	Actor   struct {
		Subject  string `json:"sub"`
		ClientID string `json:"client_id"`
	} `json:"act"`
}

// Methods decide by the current actor of the token, for streams as for unary calls, also when the token is cached.
func TestActors(t *testing.T) {
	t.Parallel()
	w, v, _ := world(t)
	i := guard(t, v, grpcauth.Config{
		Requirements: map[string][]middleware.Requirement{
			read: {middleware.Actors("agent")}, remove: {middleware.NoActor()},
			chat: {middleware.Actors("agent")}, feed: {middleware.NoActor()},
		},
	})
	conn := serve(t, i, &orders{stream: func(grpc.ServerStream) error { return nil }})
	issue := func(act map[string]any) string {
		if act == nil {
			return w.Issue(east, fakeissuer.Claims{})
		}
		return w.Issue(east, fakeissuer.Claims{Set: map[string]any{"act": act}})
	}
	for name, c := range map[string]struct {
		token         string
		agent, nobody codes.Code
	}{
		"nobody":        {issue(nil), codes.PermissionDenied, codes.OK},
		"the agent":     {issue(map[string]any{"sub": "agent"}), codes.OK, codes.PermissionDenied},
		"another agent": {issue(map[string]any{"sub": "x"}), codes.PermissionDenied, codes.PermissionDenied},
		"an earlier actor": {
			issue(map[string]any{"sub": "x", "act": map[string]any{"sub": "agent"}}), codes.PermissionDenied, codes.PermissionDenied,
		},
		"another issuer": {
			issue(map[string]any{"sub": "agent", "iss": "https://x.example"}), codes.PermissionDenied, codes.PermissionDenied,
		},
		"broken": {issue(map[string]any{"client_id": "agent"}), codes.Unauthenticated, codes.Unauthenticated},
	} {
		for range 2 {
			for method, want := range map[string]codes.Code{read: c.agent, remove: c.nobody} {
				_, err := ask(t.Context(), conn, method, "Bearer "+c.token)
				require.Equal(t, want, status.Code(err), "%s %s", name, method)
			}
			for method, want := range map[string]codes.Code{chat: c.agent, feed: c.nobody} {
				err := open(t.Context(), t, conn, method, c.token).RecvMsg(nil)
				if want == codes.OK {
					require.EqualError(t, err, "EOF", "%s %s", name, method)
					continue
				}
				require.Equal(t, want, status.Code(err), "%s %s", name, method)
			}
		}
	}
}

// The token of a call is for this server: it is not in the calls that the handler makes.
func TestIncomingCredentialsStay(t *testing.T) {
	t.Parallel()
	w, v, _ := world(t)
	next := make(chan metadata.MD, 1)
	conn := serve(t, guard(t, v, grpcauth.Config{}), &orders{unary: func(ctx context.Context) (string, error) {
		md, _ := metadata.FromOutgoingContext(ctx)
		next <- md
		return "", nil
	}})
	_, err := ask(t.Context(), conn, read, "Bearer "+w.Issue(east, fakeissuer.Claims{}))
	require.NoError(t, err)
	require.Empty(t, <-next)
}

// A handler of gRPC reads claims in a type of its own as one of net/http does, in calls and in streams.
func TestTypedClaims(t *testing.T) {
	t.Parallel()
	w, v, _ := world(t)
	who := func(ctx context.Context) (string, error) {
		c, err := verifier.ClaimsOf[typed](verifier.FromContext(ctx))
		return fmt.Sprintf("%s by %s of %s", c.Subject, c.Actor.Subject, c.Actor.ClientID), err
	}
	inStream := make(chan string, 1)
	conn := serve(t, guard(t, v, grpcauth.Config{}), &orders{unary: who, stream: func(s grpc.ServerStream) error {
		text, err := who(s.Context())
		inStream <- text
		return errors.Join(err)
	}})
	raw := w.Issue(east, fakeissuer.Claims{Subject: "alice", Set: map[string]any{
		"act": map[string]any{"sub": "agent", "client_id": "app"}, "SUB": "mallory", "Act": map[string]any{"sub": "mallory"},
	}})
	text, err := ask(t.Context(), conn, read, "Bearer "+raw)
	require.NoError(t, err)
	require.Equal(t, "alice by agent of app", text)
	require.EqualError(t, open(t.Context(), t, conn, feed, raw).RecvMsg(nil), "EOF")
	require.Equal(t, text, <-inStream)
}
