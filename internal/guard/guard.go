// Package guard keeps code of others, such as hooks, log handlers, stores and transports, from ending the process by a panic.
//
// It recovers panics and, in Apart, runtime.Goexit. Nothing can recover what the runtime reports as a fatal error: a concurrent
// write to a map, an exhausted stack, or a panic in a goroutine that the code of others has started itself. All functions are
// safe for concurrent use.
package guard

import (
	"fmt"
	"io"
	"os"
	"sync"
)

// Panic is the error of a function that did not return. Its text names What and the type of Value, and nothing else of Value,
// which may hold a token. It does not unwrap to Value.
type Panic struct { //nolint:errname // callers say guard.Panic
	What  string // which function it was: "the hook Fetched"
	Value any    // what it panicked with; Exited{} after runtime.Goexit
}

// Exited is the Value of a Panic whose function called runtime.Goexit, as testing.T.FailNow does.
type Exited struct{}

// Error implements error.
func (p *Panic) Error() string {
	if p.Value == (Exited{}) {
		return p.What + " ended its goroutine"
	}
	return fmt.Sprintf("%s panicked (%T)", p.What, p.Value)
}

// Call calls f and returns nil, or a *Panic if f panics. If f calls runtime.Goexit, the goroutine ends as it would without Call.
func Call(what string, f func()) (err error) {
	defer func() {
		if value := recover(); value != nil { //nolint:forbidigo // this is the place for it
			err = &Panic{What: what, Value: value}
		}
	}()
	f()
	return nil
}

// Apart calls f in a goroutine of its own and waits for it. It returns nil, or a *Panic if f panics or calls runtime.Goexit.
func Apart(what string, f func()) (err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = &Panic{What: what, Value: Exited{}} // until f has returned
		err = Call(what, f)
	}()
	<-done
	return err
}

// told holds what Report has written about.
var told sync.Map

// stderr is where Report writes.
var stderr io.Writer = os.Stderr

// Report writes the text of err to standard error, once for each What of a *Panic. It is for panics that have no log to go to,
// such as those of the log handler itself. It ignores any other error, and nil.
func Report(err error) {
	p, ok := err.(*Panic) //nolint:errorlint // it is what Call and Apart return
	if !ok {
		return
	}
	if _, again := told.LoadOrStore(p.What, true); !again {
		_, _ = fmt.Fprintf(stderr, "regionjwt: %s; it is ignored, and not reported again\n", p)
	}
}
