package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/document"
	"github.com/regionjwt/regionjwt/store"
)

// Faults are what [CheckFaults] does to the connection between a Store and the service that keeps its documents. A test sets
// those that its connection can do, for example with an http.RoundTripper or a proxy; nil ones are not tested. The connection of
// other is not disturbed.
type Faults struct {
	// LoseAnswers has the service execute the next n requests, and loses the answers: the Store sees a connection that ended.
	// LoseAnswers(0) ends the fault.
	LoseAnswers func(n int)
	// Silence begins a fault in which each request waits: the service does not answer, or the client sleeps because it is
	// throttled. heal ends the fault.
	Silence func() (heal func())
	// BeforeWrite calls f once, before the next request that writes what readers see is executed.
	BeforeWrite func(f func())
	// Close closes the client of the Store. It is called last.
	Close func()
}

// patience is how long a call may take after its context has ended, or after the client was closed.
const patience = 20 * time.Second

// CheckFaults has Faults happen to the calls of s, and returns every violation of the contract as one joined error: a Save that
// reports a conflict with itself, loses a document or leaves parts of one; a Load that takes a fault for the absence of a
// document; a call that does not end with its context. other and prefix are those of [Check]. CheckFaults takes some seconds.
func CheckFaults(ctx context.Context, s, other store.Store, prefix string, faults Faults) error {
	c := &faulty{check: check{ctx: ctx, s: s, other: other, prefix: prefix}, faults: faults}
	if faults.LoseAnswers != nil {
		for _, size := range []int{0, 10, 1 << 20} {
			c.lostAnswers(size)
		}
	}
	if faults.BeforeWrite != nil {
		for _, size := range []int{10, 1 << 20} {
			c.between("", size)
			c.between("before", size)
		}
	}
	if faults.Silence != nil {
		c.silence()
	}
	if faults.Close != nil {
		c.closed()
	}
	return c.joined()
}

type faulty struct {
	check
	faults Faults
}

// fault notes an error that says something about the document, although nothing is known about it.
func (c *faulty) fault(err error, what string) {
	for _, wrong := range []error{
		store.ErrNotFound, store.ErrNotModified, store.ErrConflict, store.ErrNotAuthentic, document.ErrTooLarge,
	} {
		if errors.Is(err, wrong) {
			c.wrong("%s: got error %v, want one that does not speak of the document", what, err)
		}
	}
}

// lostAnswers loses one answer after the other of a Save, then all of them, of the first document and of a later one. A client
// that repeats a request must not report a conflict with its own document.
func (c *faulty) lostAnswers(size int) {
	defer c.faults.LoseAnswers(0)
	const all = 1 << 20
	for _, n := range []int{1, 2, all} {
		name := fmt.Sprintf("lost %d %d", size, n)
		before, revision := "", ""
		for i := range 3 {
			what := fmt.Sprintf("Save %d of %d bytes with %d lost answers", i, size, n)
			data := strings.Repeat(string(rune('a'+i)), size)
			within, cancel := context.WithTimeout(c.ctx, 5*time.Second)
			c.faults.LoseAnswers(n)
			saved, err := c.s.Save(within, c.prefix+name, []byte(data), revision)
			cancel()
			c.faults.LoseAnswers(0)
			c.fault(err, what)
			got, at, loadErr := c.other.Load(c.ctx, c.prefix+name, "")
			switch {
			case err == nil && (loadErr != nil || string(got) != data || at != saved):
				c.wrong("%s: it is there at %q, but got %d bytes at %q, error %v", what, saved, len(got), at, loadErr)
			case errors.Is(loadErr, store.ErrNotFound) && revision == "" && err != nil:
			case loadErr != nil:
				c.wrong("%s: Load: %w", what, loadErr)
			case string(got) != data && (string(got) != before || revision == ""):
				c.wrong("%s: got %d bytes that are neither the old document nor the new one", what, len(got))
			}
			before, revision = string(got), at
			c.loseLoad(name, before, revision, n)
		}
	}
}

// loseLoad loses answers of a Load.
func (c *faulty) loseLoad(name, want, revision string, n int) {
	within, cancel := context.WithTimeout(c.ctx, 5*time.Second)
	defer cancel()
	for _, ifNot := range []string{"", "another"} {
		c.faults.LoseAnswers(n)
		data, got, err := c.s.Load(within, c.prefix+name, ifNot)
		c.faults.LoseAnswers(0)
		switch {
		case revision == "" && errors.Is(err, store.ErrNotFound):
		case err != nil:
			c.fault(err, "Load with lost answers")
			if data != nil || got != "" {
				c.wrong("Load with lost answers: got %d bytes at %q, error %v", len(data), got, err)
			}
		case string(data) != want || got != revision:
			c.wrong("Load with lost answers: got %d bytes at %q, want %d bytes at %q", len(data), got, len(want), revision)
		}
	}
}

// between has another writer save a document while a Save is under way.
func (c *faulty) between(before string, size int) {
	name := fmt.Sprintf("between %q %d", before, size)
	seen := ""
	if before != "" {
		seen = c.save(name, before, "", nil, "first Save")
	}
	fast, called := "", false
	c.faults.BeforeWrite(func() {
		called = true
		var err error
		fast, err = c.other.Save(c.ctx, c.prefix+name, []byte("fast"), seen)
		c.want(err, nil, "Save of the faster writer")
	})
	_, err := c.s.Save(c.ctx, c.prefix+name, make([]byte, size), seen)
	c.want(err, store.ErrConflict, "Save while a faster writer saves")
	if !called {
		c.wrong("BeforeWrite has not called its function")
		return
	}
	c.loads(name, "fast", fast)
}

// silence checks that calls end with their context, also while the client waits or sleeps, and that they work again afterwards.
func (c *faulty) silence() {
	revision := c.save("silent", "old", "", nil, "first Save")
	calls := map[string]func(context.Context) error{
		"Load": func(ctx context.Context) error { _, _, err := c.s.Load(ctx, c.prefix+"silent", ""); return err },
		"Load if not": func(ctx context.Context) error {
			_, _, err := c.s.Load(ctx, c.prefix+"silent", revision)
			return err
		},
		"Save": func(ctx context.Context) error {
			_, err := c.s.Save(ctx, c.prefix+"silent", []byte("new"), revision)
			return err
		},
		"Watch": func(ctx context.Context) error { return c.s.Watch(ctx, c.prefix+"silent", func() {}) },
	}
	heal := c.faults.Silence()
	for name, call := range calls {
		within, cancel := context.WithTimeout(c.ctx, 200*time.Millisecond)
		c.inTime(name+" in a silence", func() {
			err := call(within)
			c.fault(err, name+" in a silence")
			if err == nil {
				c.wrong("%s in a silence: there is no error", name)
			}
		})
		cancel()
		canceled, stop := context.WithCancel(c.ctx)
		timer := time.AfterFunc(100*time.Millisecond, stop)
		c.inTime(name+" that is canceled in a silence", func() { c.fault(call(canceled), name+" that is canceled in a silence") })
		timer.Stop()
		stop()
	}
	heal()
	within, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	for {
		data, _, err := c.s.Load(within, c.prefix+"silent", "")
		if err == nil && (string(data) == "old" || string(data) == "new") {
			return
		}
		c.fault(err, "Load after a silence")
		if within.Err() != nil {
			c.wrong("Load after a silence: got %q, error %v", data, err)
			return
		}
	}
}

// inTime notes that a call goes on, although it should have ended.
func (c *faulty) inTime(what string, call func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		call()
	}()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-ended:
	case <-late.C:
		c.wrong("%s: it goes on", what)
	}
}

// closed checks that calls fail after the client was closed.
func (c *faulty) closed() {
	revision := c.save("closed", "x", "", nil, "Save")
	c.faults.Close()
	within, cancel := context.WithTimeout(c.ctx, 5*time.Second)
	defer cancel()
	for name, call := range map[string]func() error{
		"Load": func() error { _, _, err := c.s.Load(within, c.prefix+"closed", ""); return err },
		"Save": func() error { _, err := c.s.Save(within, c.prefix+"closed", []byte("y"), revision); return err },
		"Watch": func() error {
			watching, end := context.WithTimeout(c.ctx, 100*time.Millisecond)
			defer end()
			return c.s.Watch(watching, c.prefix+"closed", func() {})
		},
	} {
		c.inTime(name+" after Close", func() {
			err := call()
			c.fault(err, name+" after Close")
			if err == nil {
				c.wrong("%s after Close: there is no error", name)
			}
		})
	}
}
