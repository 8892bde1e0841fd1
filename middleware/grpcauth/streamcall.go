package grpcauth

import (
	"errors"
	"sync"
)

// streamCall runs the operations of one direction of a stream, one at a time, in its own goroutine, so that a caller need not
// wait for one that does not return.
type streamCall struct {
	once sync.Once
	ops  chan func() error
	done chan result // one for each of ops
}

// result is how an operation ended.
type result struct {
	err      error
	panicked any
}

var errExit = errors.New("grpcauth: the operation ended its goroutine with runtime.Goexit")

func newStreamCall() *streamCall {
	return &streamCall{ops: make(chan func() error), done: make(chan result, 1)}
}

// start makes c accept operations until ended is closed. An operation that is running then is the last one.
func (c *streamCall) start(ended <-chan struct{}) {
	c.once.Do(func() { go c.run(ended) })
}

func (c *streamCall) run(ended <-chan struct{}) {
	for {
		select {
		case op := <-c.ops:
			c.invoke(op, ended)
		case <-ended:
			return
		}
	}
}

func (c *streamCall) invoke(op func() error, ended <-chan struct{}) {
	r := result{err: errExit}
	defer func() {
		r.panicked = recover()                     //nolint:forbidigo // of a codec: it continues in the goroutine of the handler
		if r.panicked == nil && r.err == errExit { //nolint:errorlint // this very value
			go c.run(ended) // replaces this goroutine
		}
		c.done <- r
	}()
	r.err = op()
}
