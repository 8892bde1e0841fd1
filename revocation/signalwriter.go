package revocation

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/replica"
	"github.com/regionjwt/regionjwt/internal/trust"
	"github.com/regionjwt/regionjwt/revocation/internal/signaldoc"
)

var _ = signaldoc.Provide(openSignals)

// signalWriter is the document of a receiver, which writes it.
type signalWriter struct {
	replica *replica.Replica[signalSet]
	now     func() time.Time
	room    room

	mu      sync.Mutex
	waiting []*addition
	writers int
}

// addition is a call of Add.
type addition struct {
	rules   []signaldoc.Rule
	results []signaldoc.Result
	err     error
	done    chan struct{}
}

const (
	maxBatch  = 256                    // calls of Add that one write carries
	writeTime = 5 * time.Second        // for one write
	patience  = 100 * time.Millisecond // after which a call does not wait for the write before it: a store may hang
	maxWrites = 8                      // at once
)

func openSignals(c signaldoc.Config) (signaldoc.Document, error) {
	errs := replica.Check(c.Replica)
	if len(c.Replica.Stores) == 0 && c.Replica.LocalCopy == nil {
		errs = append(errs, errors.New("Replica.Stores is empty: rules would not reach any service"))
	}
	for i, s := range c.Replica.Stores {
		if s != nil && trust.Of(s).ReadOnly {
			errs = append(errs, fmt.Errorf("Replica.Stores[%d] has no private key to sign rules with", i))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	w := &signalWriter{now: c.Now, room: roomFor(len(c.Providers))}
	if w.now == nil {
		w.now = time.Now
	}
	log := guard.Logger(c.Logger)
	changed := func(old, now *replica.State[signalSet]) {
		if before, after := old.Status.StoreProblem, now.Status.StoreProblem; before != after {
			log.Warn("the problem of the store of security events has changed", "store_problem", after,
				"store_failure", errors.Join(now.Failures...))
		}
	}
	w.replica = replica.New(replica.Config[signalSet]{
		ReplicaConfig: replica.Default(c.Replica, signaldoc.DefaultName), Empty: noSignals, Encode: signalSet.encode,
		Decode:  func(data []byte) (signalSet, error) { return decodeSignals(data, newestRule, nil) },
		Changed: changed, Now: w.now, Logger: log,
	})
	return w, nil
}

// Run implements signaldoc.Document.
func (w *signalWriter) Run(ctx context.Context) error { return w.replica.Run(ctx) }

// Add implements signaldoc.Document. Calls that arrive while a write is under way share the next one. A write goes on although
// the caller has gone: the transmitter then sends the event again, and it changes nothing.
func (w *signalWriter) Add(ctx context.Context, rules []signaldoc.Rule) ([]signaldoc.Result, error) {
	a := &addition{rules: rules, done: make(chan struct{})}
	w.mu.Lock()
	w.waiting = append(w.waiting, a)
	first := w.writers == 0
	w.mu.Unlock()
	if first {
		w.startWriter()
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case <-a.done:
			return a.results, a.err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-timer.C:
			w.startWriter()
		}
	}
}

// startWriter starts another writer if somebody waits.
func (w *signalWriter) startWriter() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) > 0 && w.writers < maxWrites {
		w.writers++
		go w.write()
	}
}

// next returns the calls for the next write; none ends the writer.
func (w *signalWriter) next() []*addition {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := min(len(w.waiting), maxBatch)
	if n == 0 {
		w.waiting = nil
		w.writers--
		return nil
	}
	batch := w.waiting[:n:n]
	w.waiting = w.waiting[n:]
	return batch
}

// write writes until nobody waits.
func (w *signalWriter) write() {
	for batch := w.next(); len(batch) > 0; batch = w.next() {
		err := error(nil)
		if p := guard.Call("the replica", func() { err = w.writeBatch(batch) }); p != nil {
			err = p
		}
		for _, a := range batch {
			if a.err == nil {
				a.err = err
			}
			close(a.done)
		}
	}
}

func (w *signalWriter) writeBatch(batch []*addition) error {
	ctx, cancel := context.WithTimeout(context.Background(), writeTime)
	defer cancel()
	return w.replica.Change(ctx, func(known signalSet) (signalSet, error) {
		adding := known.adding(w.now(), w.room)
		grew := false
		for _, a := range batch {
			a.results = a.results[:0]
			for _, r := range a.rules {
				result, err := adding.add(r)
				if err != nil {
					a.err = err
					break
				}
				grew = grew || result.New
				a.results = append(a.results, result)
			}
		}
		if !grew {
			return known, nil
		}
		return signalSet{adding.done()}, nil
	})
}
