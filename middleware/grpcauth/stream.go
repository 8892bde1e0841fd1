package grpcauth

import (
	"context"
	"errors"

	"google.golang.org/grpc"

	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/verifier"
)

// Stream returns the interceptor of streams. A stream is judged at its start, and ends when its token does: Config.Grace after
// it has expired, or at once when it is revoked or its key withdrawn. What a method requires of the token is judged at the
// start only.
//
// At the end, the context of the stream is cancelled with the *verifier.Error as its cause, and from then on Send and Recv
// return the status of the refusal, those that are waiting included. The context has no deadline of its own, so that none
// travels with the calls that a handler makes under it. When the handler then returns, the client gets the status of the
// refusal whatever error the handler returns; and also where it returns none, or a client would take for complete what was cut
// off, unless the call has a single response, which says by itself that it is. A handler that returned before keeps its result.
//
// Recv fills the message only when it returns without an error. A message that Send was given when the stream ended may be
// read for a moment longer: gRPC asks not to modify messages that were given to Send. A stream takes up to three goroutines, all
// of which end with the call.
func (i *Interceptor) Stream() grpc.StreamServerInterceptor {
	i = i.orNone()
	return func(srv any, inner grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		method := fullMethod(info.FullMethod)
		if i.exempt[method] {
			return handler(srv, inner)
		}
		token, err := i.admit(inner.Context(), method)
		if err != nil {
			return err
		}
		watched, stop := middleware.Watch(inner.Context(), i.verifier, token, i.grace)
		defer stop()
		s := &stream{
			ServerStream: inner, ctx: verifier.NewContext(watched, token), rule: i.rule(method),
			sending: newLane(), receiving: newLane(),
		}
		err = handler(srv, s)
		if end := s.end(); end != nil && (err != nil || info.IsServerStream) {
			return i.refuse(inner.Context(), method, token, end)
		}
		return err
	}
}

// stream is a stream that ends with its token. As with every stream, one goroutine may send while another receives.
type stream struct {
	grpc.ServerStream
	ctx  context.Context //nolint:containedctx // a stream hands out its context
	rule *rule

	sending, receiving *lane
}

// Context returns the context that carries the token, and ends with it.
func (s *stream) Context() context.Context { return s.ctx }

// end returns why the token ended the stream; nil while it has not, and where anything else ended it before.
func (s *stream) end() error {
	cause := context.Cause(s.ctx)
	if cause == nil || cause == context.Canceled { //nolint:errorlint // a refusal may wrap it
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

// do returns what op does, or the status of the refusal once the token has ended. op may then go on, until the call ends.
func (s *stream) do(l *lane, op func() error) error {
	if end := s.end(); end != nil {
		return s.rule.status(end)
	}
	ended := s.ctx.Done()
	l.start(ended)
	select {
	case l.ops <- op:
	case <-ended:
		if end := s.end(); end != nil {
			return s.rule.status(end)
		}
		return op() // whatever else has ended the call ends op
	}
	var o outcome
	select {
	case o = <-l.done:
	case <-ended:
		if end := s.end(); end != nil {
			return s.rule.status(end)
		}
		o = <-l.done // as above
	}
	if o.panicked != nil {
		panic(o.panicked) //nolint:forbidigo // where it would have been without the goroutine
	}
	return o.err
}
