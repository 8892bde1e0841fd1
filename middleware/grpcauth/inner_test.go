package grpcauth_test

import (
	"context"
	"maps"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/middleware/grpcauth"
	"github.com/regionjwt/regionjwt/verifier"
)

// inner is a stream without a transport.
type inner struct {
	grpc.ServerStream
	ctx  context.Context
	recv func(any) error
}

func (s *inner) Context() context.Context { return s.ctx }
func (s *inner) RecvMsg(m any) error      { return s.recv(m) }

// within runs a handler on a guarded stream that receives with recv.
func within(t *testing.T, recv func(any) error, handler func(grpc.ServerStream) error) error {
	t.Helper()
	w, v, _ := world(t)
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer "+w.Issue(east, fakeissuer.Claims{})))
	return guard(t, v, grpcauth.Config{}).Stream()(nil, &inner{ctx: ctx, recv: recv},
		&grpc.StreamServerInfo{FullMethod: chat, IsServerStream: true, IsClientStream: true},
		func(_ any, s grpc.ServerStream) error { return handler(s) })
}

// Every kind of message arrives as it would without the interceptor, and nothing stays of what was there.
func TestKindsOfMessages(t *testing.T) {
	t.Parallel()
	want, err := structpb.NewStruct(map[string]any{"a": 1, "list": []any{"x", true}, "nested": map[string]any{"b": nil}})
	require.NoError(t, err)
	want.ProtoReflect().SetUnknown([]byte{0x98, 0x06, 0x01})
	encoded, err := proto.Marshal(want)
	require.NoError(t, err)
	type other struct {
		Text   string
		hidden int
	}
	dynamic := dynamicpb.NewMessage(want.ProtoReflect().Descriptor())
	old, err := structpb.NewStruct(map[string]any{"old": true})
	require.NoError(t, err)
	require.NoError(t, within(t, func(m any) error {
		switch m := m.(type) {
		case proto.Message:
			return proto.Unmarshal(encoded, m)
		case *other:
			require.Zero(t, *m)
			*m = other{"text", 7}
		case *[]byte:
			*m = encoded
		}
		return nil
	}, func(s grpc.ServerStream) error {
		require.NoError(t, s.RecvMsg(old))
		require.True(t, proto.Equal(want, old))
		require.Equal(t, want.ProtoReflect().GetUnknown(), old.ProtoReflect().GetUnknown())
		require.NoError(t, s.RecvMsg(dynamic))
		again, err := proto.Marshal(dynamic)
		require.NoError(t, err)
		same := new(structpb.Struct)
		require.NoError(t, proto.Unmarshal(again, same))
		require.True(t, proto.Equal(want, same))
		o := other{"old", 1}
		require.NoError(t, s.RecvMsg(&o))
		require.Equal(t, other{"text", 7}, o)
		var raw []byte
		require.NoError(t, s.RecvMsg(&raw))
		require.Equal(t, encoded, raw)
		for _, m := range []any{nil, 7, other{}, (*other)(nil)} {
			require.Equal(t, codes.Internal, status.Code(s.RecvMsg(m)))
		}
		return nil
	}))
}

func TestErrorsOfTheTransport(t *testing.T) {
	t.Parallel()
	broken := status.Error(codes.ResourceExhausted, "too large")
	m := wrapperspb.String("as it was")
	require.Equal(t, broken, within(t, func(m any) error {
		m.(*wrapperspb.StringValue).Value = "half"
		return broken
	}, func(s grpc.ServerStream) error { return s.RecvMsg(m) }))
	require.Equal(t, "as it was", m.GetValue())
}

// A field that the message on the wire does not have is empty, whatever was there.
func TestEmptyMessage(t *testing.T) {
	t.Parallel()
	m := wrapperspb.String("as it was")
	require.NoError(t, within(t, func(m any) error { return proto.Unmarshal(nil, m.(proto.Message)) }, func(s grpc.ServerStream) error {
		return s.RecvMsg(m)
	}))
	require.Empty(t, m.GetValue())
}

// A codec that panics does so in the goroutine of the handler, where it may be recovered.
func TestPanics(t *testing.T) {
	t.Parallel()
	require.PanicsWithValue(t, "codec", func() {
		_ = within(t, func(any) error { panic("codec") }, func(s grpc.ServerStream) error {
			require.PanicsWithValue(t, "codec", func() { _ = s.RecvMsg(new(wrapperspb.StringValue)) })
			return s.RecvMsg(new(wrapperspb.StringValue))
		})
	})
	require.Error(t, within(t, func(any) error { runtime.Goexit(); return nil }, func(s grpc.ServerStream) error {
		require.Error(t, s.RecvMsg(new(wrapperspb.StringValue)))
		return s.RecvMsg(new(wrapperspb.StringValue))
	}))
}

// In real time, and with a loop that does nothing but send. It is not parallel: it counts goroutines.
func TestNothingIsLeftBehind(t *testing.T) {
	handlers := map[string]func(grpc.ServerStream) error{
		"tight loop": func(s grpc.ServerStream) error { return push(s, 0, wrapperspb.String("x")) },
	}
	maps.Copy(handlers, shapes)
	for shape, handler := range handlers {
		revoker := new(rules)
		w, v, _ := world(t, func(c *verifier.Config) { c.Revocation = revoker })
		entered, left := make(chan struct{}, 1), make(chan time.Time, 1)
		conn := serve(t, guard(t, v, grpcauth.Config{}), &orders{stream: func(s grpc.ServerStream) error {
			entered <- struct{}{}
			err := handler(s)
			left <- time.Now()
			return err
		}})
		token := w.Issue(east, fakeissuer.Claims{})
		_, err := ask(t.Context(), conn, read, "Bearer "+token)
		require.NoError(t, err)
		baseline := runtime.NumGoroutine()
		for _, way := range []string{"revoked", "expired"} {
			expiry := time.Now().Add(300 * time.Millisecond)
			if way == "expired" {
				revoker.mu.Lock()
				revoker.on = false
				revoker.mu.Unlock()
				token = w.Issue(east, fakeissuer.Claims{Set: map[string]any{"exp": float64(expiry.UnixMicro()) / 1e6}})
			}
			client := open(t.Context(), t, conn, chat, token)
			ended := make(chan error, 1)
			reads := shape != "push to a client that does not read"
			if reads {
				go func() { ended <- drain(client) }()
			}
			<-entered
			if way == "revoked" {
				expiry = time.Now()
				revoker.revoke()
			}
			late := (<-left).Sub(expiry)
			t.Log(shape, way, late)
			require.Less(t, late, 500*time.Millisecond, shape) // on a busy machine; TestStreamsEndWithTheirToken is exact
			if !reads {
				ended <- drain(client)
			}
			requireEnded(t, <-ended)
			require.Eventually(t, func() bool { return runtime.NumGoroutine() <= baseline+1 }, 5*time.Second, time.Millisecond, shape) // the one is that of Eventually
		}
	}
}
