package grpcauth

import (
	"errors"
	"sync"
)

// lane carries out the operations of one direction of a stream, one at a time, in a goroutine of its own, so that nobody has to
// wait for one that does not end.
type lane struct {
	once sync.Once
	ops  chan func() error
	done chan outcome // one for each of ops
}

// outcome is how an operation ended.
type outcome struct {
	err      error
	panicked any
}

var errExit = errors.New("grpcauth: the stream was left by runtime.Goexit")

func newLane() *lane { return &lane{ops: make(chan func() error), done: make(chan outcome, 1)} }

// start has the lane take operations until ended is closed; one that is under way then is the last.
func (l *lane) start(ended <-chan struct{}) {
	l.once.Do(func() { go l.run(ended) })
}

func (l *lane) run(ended <-chan struct{}) {
	for {
		select {
		case op := <-l.ops:
			l.carryOut(op, ended)
		case <-ended:
			return
		}
	}
}

func (l *lane) carryOut(op func() error, ended <-chan struct{}) {
	o := outcome{err: errExit}
	defer func() {
		o.panicked = recover()                     //nolint:forbidigo // of a codec: it goes on in the goroutine of the handler
		if o.panicked == nil && o.err == errExit { //nolint:errorlint // this very value
			go l.run(ended) // in place of this goroutine
		}
		l.done <- o
	}()
	o.err = op()
}
