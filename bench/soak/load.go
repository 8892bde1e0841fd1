package main

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The load: so many callers, each of which waits for its answer. They are fewer than the 256 that may wait for one key set at a
// time; beyond these, the library answers 503 at once.
const (
	httpCallers = 130
	grpcCallers = 70
	streams     = 40
	grpcConns   = 4
	callTime    = 10 * time.Second
)

// mix is how often tokens of each kind are presented.
var mix = []struct {
	kind   kind
	weight int
}{
	{userKind, 34},
	{machineKind, 26},
	{briefKind, 8},
	{revokedKind, 8},
	{withdrawnKind, 1},
	{expiredKind, 6},
	{audienceKind, 5},
	{forgedKind, 7},
	{malformedKind, 3},
	{issuerKind, 2},
}

// caller presents tokens, one after another.
type caller struct {
	world    *world
	random   *rand.Rand
	protocol string
	call     func(ctx context.Context, t *token) (a answer, region string)
}

// load presents tokens over HTTP, in gRPC calls and in streams, until ctx ends.
func (w *world) load(ctx context.Context) error {
	web := &http.Client{Timeout: callTime, Transport: &http.Transport{MaxIdleConnsPerHost: httpCallers}}
	defer web.CloseIdleConnections()
	var conns [grpcConns]*grpc.ClientConn
	for i := range conns {
		conn, err := grpc.NewClient("passthrough:///"+w.address.Load().GRPC,
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithConnectParams(grpc.ConnectParams{
				Backoff: backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.5, MaxDelay: 200 * time.Millisecond},
			}))
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		conns[i] = conn
	}
	const all = httpCallers + grpcCallers + streams
	ended := make(chan struct{}, all)
	period := time.Duration(float64(time.Second) * (httpCallers + grpcCallers) / float64(w.options.rate))
	for i := range all {
		c := &caller{world: w, random: w.random(1000 + uint64(i)), protocol: "HTTP"}
		conn := conns[i%grpcConns]
		go func() {
			defer func() { ended <- struct{}{} }()
			switch {
			case i < httpCallers:
				c.call = func(ctx context.Context, t *token) (answer, string) {
					return callHTTP(ctx, web, w.address.Load().HTTP, t)
				}
				c.run(ctx, period)
			case i < httpCallers+grpcCallers:
				c.protocol = "gRPC"
				c.call = func(ctx context.Context, t *token) (answer, string) { return callGRPC(ctx, conn, t) }
				c.run(ctx, period)
			default:
				c.protocol = "stream"
				for c.stream(ctx, conn) {
				}
			}
		}()
	}
	for range all {
		<-ended
	}
	return nil
}

// run makes a call each period, or as soon as the last one has ended.
func (c *caller) run(ctx context.Context, period time.Duration) {
	next := time.Now().Add(time.Duration(c.random.Int64N(int64(period))))
	for pause(ctx, time.Until(next)) {
		if t := c.choose(); t != nil {
			begin := time.Now()
			a, region := c.call(ctx, t)
			if ctx.Err() != nil {
				return
			}
			c.world.count(t, c.protocol, begin, time.Now(), a, region)
		}
		next = next.Add(period)
		if now := time.Now(); next.Before(now) {
			next = now
		}
	}
}

// choose returns a token by the mix; nil where there is none of the kind.
func (c *caller) choose() *token {
	r := c.world.regions[c.random.IntN(len(c.world.regions))]
	if r.past.flooding() {
		if t := r.pick(strangerKind, c.random); t != nil {
			return t
		}
	}
	all := 0
	for _, m := range mix {
		all += m.weight
	}
	n := c.random.IntN(all)
	for _, m := range mix {
		if n -= m.weight; n >= 0 {
			continue
		}
		if m.kind == revokedKind {
			return c.world.pickWatched(c.random)
		}
		return r.pick(m.kind, c.random)
	}
	return nil
}

// callHTTP makes a request.
func callHTTP(ctx context.Context, client *http.Client, address string, t *token) (answer, string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+ordersPath, http.NoBody)
	if err != nil {
		return other, ""
	}
	req.Header.Set("Authorization", "Bearer "+t.raw)
	resp, err := client.Do(req)
	if err != nil {
		return lost, ""
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16)); err != nil {
		return lost, ""
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		return accepted, resp.Header.Get("Region")
	case resp.StatusCode == http.StatusUnauthorized && resp.Header.Get("WWW-Authenticate") != "":
		return refused, ""
	case resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "":
		return unavailable, ""
	case resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") != "":
		return limited, ""
	}
	return other, ""
}

// callGRPC makes a unary call.
func callGRPC(ctx context.Context, conn *grpc.ClientConn, t *token) (answer, string) {
	ctx, cancel := context.WithTimeout(presenting(ctx, t), callTime)
	defer cancel()
	var out wrapperspb.StringValue
	err := conn.Invoke(ctx, readMethod, &emptypb.Empty{}, &out)
	return answerOf(err), out.GetValue()
}

func presenting(ctx context.Context, t *token) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+t.raw)
}

// answerOf tells what the library says from what gRPC says by itself.
func answerOf(err error) answer {
	if err == nil {
		return accepted
	}
	ours := false
	s := grpcstatus.Convert(err)
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			ours = info.GetDomain() == "regionjwt"
			break
		}
	}
	switch {
	case ours && s.Code() == codes.Unauthenticated:
		return refused
	case ours && s.Code() == codes.Unavailable:
		return unavailable
	case ours && s.Code() == codes.ResourceExhausted:
		return limited
	case !ours && (s.Code() == codes.Unavailable || s.Code() == codes.DeadlineExceeded || s.Code() == codes.Canceled):
		return lost
	}
	return other
}
