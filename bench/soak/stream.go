package main

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// silence is how long a stream may be without a message.
const silence = 5 * time.Second

// stream opens a stream and reads it for a time, or until it ends. Its opening is judged as a call, and so is each message: it
// says that the token was still good. It reports whether there is to be another one.
func (c *caller) stream(ctx context.Context, conn *grpc.ClientConn) bool {
	r := c.world.regions[c.random.IntN(len(c.world.regions))]
	t := r.pick([]kind{userKind, machineKind, briefKind, userKind, forgedKind}[c.random.IntN(5)], c.random)
	if c.random.IntN(4) == 0 {
		t = c.world.pickWatched(c.random)
	}
	if t == nil {
		return pause(ctx, 100*time.Millisecond)
	}
	lasts := between(c.random, 5*time.Second, 40*time.Second)
	inner, cancel := context.WithCancel(presenting(ctx, t))
	defer cancel()
	begin := time.Now()
	s, err := conn.NewStream(inner, &watchDesc, watchName)
	if err == nil {
		if err = s.SendMsg(&emptypb.Empty{}); err == nil {
			err = s.CloseSend()
		}
	}
	silent := time.AfterFunc(silence, cancel)
	defer silent.Stop()
	for first := true; ; first = false {
		var m wrapperspb.StringValue
		if s != nil { // receiving tells why sending failed
			err = s.RecvMsg(&m)
		}
		now := time.Now()
		if ctx.Err() != nil {
			return false
		}
		a := answerOf(err)
		if first {
			c.world.count(t, c.protocol, begin, now, a, m.GetValue())
		} else {
			c.world.countMessage(t, now, a)
		}
		if a != accepted {
			return pause(ctx, 100*time.Millisecond)
		}
		if now.Sub(begin) > lasts {
			return true
		}
		silent.Reset(silence)
	}
}
