package grpcauth_test

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/grpcauth"
	"github.com/regionjwt/regionjwt/verifier"
)

// shapes are what a handler may be doing when its stream ends.
var shapes = map[string]func(grpc.ServerStream) error{
	"blocked in Recv": func(s grpc.ServerStream) error {
		for {
			if err := s.RecvMsg(new(wrapperspb.StringValue)); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
		}
	},
	"idle push": func(s grpc.ServerStream) error {
		<-s.Context().Done()
		return s.Context().Err()
	},
	"idle push that returns nil": func(s grpc.ServerStream) error {
		<-s.Context().Done()
		return nil
	},
	"busy push": func(s grpc.ServerStream) error { return push(s, 20*time.Millisecond, wrapperspb.String("x")) },
	"push to a client that does not read": func(s grpc.ServerStream) error {
		return push(s, 0, wrapperspb.String(strings.Repeat("x", 1<<16)))
	},
}

// push sends until that fails.
func push(s grpc.ServerStream, every time.Duration, m any) error {
	for {
		if err := s.SendMsg(m); err != nil {
			return err
		}
		if every > 0 {
			timer := time.NewTimer(every)
			<-timer.C
		}
	}
}

// requireEnded checks that a stream has ended for its token, not anything else.
func requireEnded(t *testing.T, err error) {
	t.Helper()
	require.Equal(t, codes.Unauthenticated, status.Code(err), "%v", err)
	require.Equal(t, "invalid_token", status.Convert(err).Message())
	info, _ := detailsOf(t, err)
	require.Equal(t, "INVALID_TOKEN", info.GetReason())
}

// drain receives until that fails.
func drain(s grpc.ClientStream) error {
	for {
		if err := s.RecvMsg(new(wrapperspb.StringValue)); err != nil {
			return err
		}
	}
}

func TestStreamsEndWithTheirToken(t *testing.T) {
	t.Parallel()
	for shape, handler := range shapes {
		for ending, c := range map[string]struct {
			grace  time.Duration
			revoke time.Duration // after which the token is revoked; 0: never
			want   time.Duration
			reason verifier.Reason
		}{
			"expiry":                  {0, 0, 10 * time.Second, verifier.ReasonExpired},
			"expiry and grace":        {time.Minute, 0, 70 * time.Second, verifier.ReasonExpired},
			"revocation":              {0, 3 * time.Second, 3 * time.Second, verifier.ReasonRevoked},
			"revocation in the grace": {time.Minute, 20 * time.Second, 20 * time.Second, verifier.ReasonRevoked},
		} {
			t.Run(shape+", "+ending, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					revoker := new(rules)
					w, v, _ := world(t, func(vc *verifier.Config) { vc.Revocation = revoker })
					var cause error
					var told []error
					var ended time.Time
					conn := serve(t, guard(t, v, grpcauth.Config{
						Grace: c.grace,
						OnDecision: func(_ context.Context, method string, tok *verifier.Token, err error) {
							require.Equal(t, chat, method)
							require.Equal(t, fakeissuer.Subject, tok.Subject())
							told = append(told, err)
						},
					}), &orders{stream: func(s grpc.ServerStream) error {
						_, ok := s.Context().Deadline()
						require.False(t, ok)
						tok := verifier.FromContext(s.Context())
						require.Equal(t, fakeissuer.Subject, tok.Subject())
						err := handler(s)
						ended, cause = time.Now(), context.Cause(s.Context())
						requireEnded(t, s.SendMsg(wrapperspb.String("more")))
						requireEnded(t, s.RecvMsg(new(wrapperspb.StringValue)))
						return err
					}})
					began := time.Now()
					client := open(t.Context(), t, conn, chat, w.Issue(east, fakeissuer.Claims{ExpiresIn: 10 * time.Second}))
					if c.revoke > 0 {
						time.AfterFunc(c.revoke, revoker.revoke)
					}
					if strings.Contains(shape, "does not read") {
						timer := time.NewTimer(2 * time.Minute)
						<-timer.C
					}
					requireEnded(t, drain(client))
					require.WithinDuration(t, began.Add(c.want), ended, 100*time.Millisecond)
					var e *verifier.Error
					require.ErrorAs(t, cause, &e)
					require.Equal(t, c.reason, e.Reason)
					require.Equal(t, []error{nil, cause}, told)
				})
			})
		}
	}
}

// A key that is withdrawn ends the streams of its tokens; those of other regions go on.
func TestStreamsEndWithTheirKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, v, cache := world(t)
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan struct{})
		go func() { defer close(ran); _ = cache.Run(ctx) }()
		conn := serve(t, guard(t, v, grpcauth.Config{}), &orders{stream: shapes["blocked in Recv"]})
		day := fakeissuer.Claims{ExpiresIn: 24 * time.Hour}
		other := open(t.Context(), t, conn, chat, w.Issue(west, day))
		doomed := open(t.Context(), t, conn, chat, w.Issue(east, day))
		synctest.Wait()
		w.Rotate(east)
		w.Withdraw(east)
		began := time.Now()
		require.Equal(t, codes.Unavailable, status.Code(drain(doomed)), "two answers do not make it certain that the key is gone")
		require.Less(t, time.Since(began), time.Hour)
		require.NoError(t, other.CloseSend())
		require.ErrorIs(t, drain(other), io.EOF)
		cancel()
		<-ran
	})
}

// While all key servers are down, nothing ends until the key of a stream may not be used any longer.
func TestDoubtEndsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, v, cache := world(t)
		conn := serve(t, guard(t, v, grpcauth.Config{}), &orders{stream: shapes["blocked in Recv"]})
		client := open(t.Context(), t, conn, chat, w.Issue(east, fakeissuer.Claims{ExpiresIn: 72 * time.Hour}))
		synctest.Wait()
		w.Break(east)
		w.Break(west)
		began := time.Now()
		require.Equal(t, codes.Unavailable, status.Code(drain(client)))
		require.Error(t, cache.Ready())
		require.InDelta(t, 24*time.Hour, time.Since(began), float64(5*time.Minute), "MaxStale")
	})
}

func TestWhoseResultCounts(t *testing.T) {
	t.Parallel()
	own := status.Error(codes.NotFound, "no such order")
	for name, c := range map[string]struct {
		method string
		wait   bool // for the end of the token
		result error
		want   codes.Code // OK: none
	}{
		"finished before":              {chat, false, nil, codes.OK},
		"failed before":                {chat, false, own, codes.NotFound},
		"finished after":               {chat, true, nil, codes.Unauthenticated},
		"failed after":                 {chat, true, own, codes.Unauthenticated},
		"feed, finished after":         {feed, true, nil, codes.Unauthenticated},
		"upload, finished after":       {upload, true, nil, codes.OK},
		"upload, failed after":         {upload, true, errors.New("cancelled somewhere"), codes.Unauthenticated},
		"upload, failed by own choice": {upload, false, own, codes.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, v, _ := world(t)
				conn := serve(t, guard(t, v, grpcauth.Config{}), &orders{stream: func(s grpc.ServerStream) error {
					require.NoError(t, s.SendMsg(wrapperspb.String("response")))
					if c.wait {
						<-s.Context().Done()
					}
					return c.result
				}})
				client := open(t.Context(), t, conn, c.method, w.Issue(east, fakeissuer.Claims{ExpiresIn: time.Minute}))
				err := drain(client)
				if errors.Is(err, io.EOF) {
					err = nil
				}
				require.Equal(t, c.want, status.Code(err), "%v", err)
			})
		})
	}
}

// A client that leaves is no end of a token.
func TestClientThatLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, v, _ := world(t)
		result := make(chan error, 1)
		conn := serve(t, guard(t, v, grpcauth.Config{OnDecision: func(_ context.Context, _ string, _ *verifier.Token, err error) {
			require.NoError(t, err)
		}}), &orders{stream: func(s grpc.ServerStream) error {
			err := s.RecvMsg(new(wrapperspb.StringValue))
			<-s.Context().Done() // which may come after
			require.ErrorIs(t, context.Cause(s.Context()), context.Canceled)
			result <- err
			return err
		}})
		ctx, cancel := context.WithCancel(t.Context())
		client := open(ctx, t, conn, chat, w.Issue(east, fakeissuer.Claims{}))
		synctest.Wait()
		cancel()
		require.Equal(t, codes.Canceled, status.Code(<-result))
		require.Equal(t, codes.Canceled, status.Code(drain(client)))
	})
}

// Messages arrive complete and in order, and none is written to a message whose Recv has returned.
func TestMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, v, _ := world(t)
		const n = 500
		mine := wrapperspb.String("before")
		release, left := make(chan struct{}), make(chan struct{})
		conn := serve(t, guard(t, v, grpcauth.Config{}), &orders{stream: func(s grpc.ServerStream) error {
			defer close(left)
			for k := range n {
				require.NoError(t, s.RecvMsg(mine))
				require.Equal(t, strconv.Itoa(k), mine.GetValue())
				require.NoError(t, s.SendMsg(mine))
			}
			requireEnded(t, s.RecvMsg(mine))
			<-release
			require.Equal(t, strconv.Itoa(n-1), mine.GetValue())
			mine.Value = "after"
			return nil
		}})
		client := open(t.Context(), t, conn, chat, w.Issue(east, fakeissuer.Claims{ExpiresIn: time.Minute}))
		go func() {
			for k := range n {
				require.NoError(t, client.SendMsg(wrapperspb.String(strconv.Itoa(k))))
			}
		}()
		got := new(wrapperspb.StringValue)
		for k := range n {
			require.NoError(t, client.RecvMsg(got))
			require.Equal(t, strconv.Itoa(k), got.GetValue())
		}
		timer := time.NewTimer(time.Minute + time.Second)
		<-timer.C
		require.NoError(t, client.SendMsg(wrapperspb.String("late")))
		synctest.Wait()
		close(release)
		<-left
		synctest.Wait()
		require.Equal(t, "after", mine.GetValue())
		requireEnded(t, drain(client))
	})
}

// A rejection ends a stream, even if its cause is a cancellation.
func TestRejectionThatWrapsACancellation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, v, _ := world(t)
		rejection := &verifier.Error{Reason: verifier.ReasonRevoked, Err: context.Canceled}
		conn := serve(t, guard(t, again{v, rejection}, grpcauth.Config{}), &orders{stream: shapes["blocked in Recv"]})
		requireEnded(t, drain(open(t.Context(), t, conn, chat, w.Issue(east, fakeissuer.Claims{}))))
	})
}

// again is a Verifier whose Recheck has one answer.
type again struct {
	middleware.Verifier
	err error
}

func (a again) Recheck(context.Context, *verifier.Token) error { return a.err }
func (a again) Changed() <-chan struct{}                       { return nil }
