package grpcauth

import (
	"context"
	"errors"

	"google.golang.org/grpc"

	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/verifier"
)

// Stream returns the interceptor for streams. A stream is checked at its start, and ends when its token does: Config.Grace
// after it has expired, or at once when it is revoked or its key is withdrawn. The requirements of the method are checked only
// at the start.
//
// When the token ends, the context of the stream is canceled with the *verifier.Error as its cause, and from then on Send and
// Recv return the status of that error, also those that are waiting. The context has no deadline, so that none is passed on
// with the calls that a handler makes. When the handler then returns, the client gets that status, whatever error the handler
// returns. If the handler returns no error, the client gets it, too, as it would otherwise take an incomplete stream for a
// complete one; a call with a single response is complete by itself. A handler that returned earlier keeps its result.
//
// Recv fills the message only if it returns no error. A message that was given to Send when the stream ended may still be read
// for a moment: gRPC requires that messages are not modified after Send. A stream needs up to three goroutines, which end with
// the call.
func (i *Interceptor) Stream() grpc.StreamServerInterceptor {
	i = i.orZero()
	return func(srv any, inner grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		method := fullMethod(info.FullMethod)
		if i.isExempt(method) {
			return handler(srv, inner)
		}
		token, err := i.admit(inner.Context(), method)
		if err != nil {
			return err
		}
		watched, stop := middleware.Watch(inner.Context(), i.verifier, token, i.config.Grace)
		defer stop()
		s := &stream{
			ServerStream: inner, ctx: verifier.NewContext(watched, token), route: i.route(method),
			sending: newStreamCall(), receiving: newStreamCall(),
		}
		err = handler(srv, s)
		if end := s.end(); end != nil && (err != nil || info.IsServerStream) {
			return i.reject(inner.Context(), method, token, end)
		}
		return err
	}
}

// stream is a stream that ends with its token. As with every stream, one goroutine may send while another one receives.
type stream struct {
	grpc.ServerStream
	ctx   context.Context //nolint:containedctx // a stream has a context
	route *route

	sending, receiving *streamCall
}

// Context returns the context that carries the token, and ends with it.
func (s *stream) Context() context.Context { return s.ctx }

// end returns why the token ended the stream, or nil if it has not, or if something else ended the stream before.
func (s *stream) end() error {
	cause := context.Cause(s.ctx)
	if cause == nil || cause == context.Canceled { //nolint:errorlint // a *verifier.Error may wrap it
		return nil
	}
	if other := context.Cause(s.ServerStream.Context()); other != nil && errors.Is(cause, other) {
		return nil
	}
	return cause
}

// SendMsg implements grpc.ServerStream.
func (s *stream) SendMsg(m any) error {
	return s.do(s.sending, func() error { return s.ServerStream.SendMsg(m) })
}

// RecvMsg implements grpc.ServerStream.
func (s *stream) RecvMsg(m any) error {
	b, err := newBuffer(m)
	if err != nil {
		return err
	}
	if err := s.do(s.receiving, func() error { return s.ServerStream.RecvMsg(b.message) }); err != nil {
		return err
	}
	b.move()
	return nil
}

// do returns the result of op, or the status of the rejection once the token has ended. op may then continue until the call ends.
func (s *stream) do(c *streamCall, op func() error) error {
	if end := s.end(); end != nil {
		return s.route.status(end)
	}
	ended := s.ctx.Done()
	c.start(ended)
	select {
	case c.ops <- op:
	case <-ended:
		if end := s.end(); end != nil {
			return s.route.status(end)
		}
		return op() // whatever else has ended the call ends op
	}
	var r result
	select {
	case r = <-c.done:
	case <-ended:
		if end := s.end(); end != nil {
			return s.route.status(end)
		}
		r = <-c.done // as above
	}
	if r.panicked != nil {
		panic(r.panicked) //nolint:forbidigo // where it would have been without the goroutine
	}
	return r.err
}
