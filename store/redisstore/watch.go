package redisstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// hintPause is the time between two messages that are read: more hints are of no use. If others publish faster than that for a
// while, the server closes the connection.
const hintPause = 5 * time.Millisecond

// errNoReply says that a connection is lost although nothing has closed it.
var errNoReply = errors.New("the connection does not answer")

// Watch implements store.Store by a subscription on its own connection. It calls changed, from the goroutine of the caller, when
// it has subscribed and after each change that is published. It ends with an error when ctx ends or the connection is lost, which
// it detects by a ping every two Config.Timeouts. Then the connection is closed. If ctx ends while the client is connecting,
// Watch returns within Config.Timeout, and the client closes the connection later.
func (s *Store) Watch(ctx context.Context, name string, changed func()) error {
	if err := s.checkCall(ctx, name, nil); err != nil {
		return err
	}
	within, end := context.WithCancelCause(ctx)
	defer end(nil)
	// It connects when there is something to subscribe to.
	messages, err := guarded(func() (*redis.PubSub, error) { return s.client.Subscribe(within), nil })
	if err != nil {
		return err
	}
	w := &watch{
		messages: messages,
		channel:  channel(s.key(name)),
		hints:    make(chan struct{}, 1),
		end:      end,
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.run(within, 2*s.timeout)
	}()
	for ctx.Err() == nil {
		select {
		case <-w.hints:
			changed()
		case <-ended:
			return clientError(context.Cause(within))
		case <-ctx.Done():
		}
	}
	patience := time.NewTimer(s.timeout)
	defer patience.Stop()
	select {
	case <-ended:
	case <-patience.C:
	}
	return fmt.Errorf("redisstore: %w", ctx.Err())
}

// watch is one subscription. Every call of the client may block until the timeouts of the client pass.
type watch struct {
	messages *redis.PubSub
	channel  string
	hints    chan struct{}
	heard    atomic.Bool             // something, since the last ping
	end      context.CancelCauseFunc // the first cause wins
}

// run returns when ctx has ended, and nothing is left then.
func (w *watch) run(ctx context.Context, every time.Duration) {
	var others sync.WaitGroup
	others.Go(func() {
		<-ctx.Done()
		_, _ = guarded(func() (any, error) { return nil, w.messages.Close() }) // ends receive
	})
	others.Go(func() { w.end(w.keepAlive(ctx, every)) })
	w.end(w.receive(ctx))
	others.Wait()
}

// receive turns messages into hints until the connection fails. The client has reconnected by itself when it returns the error;
// that connection is closed.
func (w *watch) receive(ctx context.Context) error {
	if _, err := guarded(func() (any, error) { return nil, w.messages.Subscribe(ctx, w.channel) }); err != nil {
		return err
	}
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-pause.C:
		}
		message, err := guarded(func() (any, error) { return w.messages.Receive(ctx) }) // it panics on some messages
		if err != nil {
			return err
		}
		pause.Reset(hintPause)
		w.heard.Store(true)
		switch message.(type) {
		case *redis.Subscription, *redis.Message:
			select {
			case w.hints <- struct{}{}:
			default:
			}
		}
	}
}

// keepAlive pings until nothing has come back for the time between two pings.
func (w *watch) keepAlive(ctx context.Context, every time.Duration) error {
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticks.C:
		}
		if !w.heard.Swap(false) {
			return errNoReply
		}
		if _, err := guarded(func() (any, error) { return nil, w.messages.Ping(ctx) }); err != nil {
			return err
		}
	}
}
