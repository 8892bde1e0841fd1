// Package storetest checks that an implementation keeps the contract of store.Store. It imports no package testing: call
// [Check] from a test of your own.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/store"
)

// Check makes the calls that users of a store make, among them from many goroutines, and returns everything that is wrong as
// one joined error. other is a second Store of the same documents, as another process would have it, or s. prefix begins the
// names of the documents, which are left behind. It takes some seconds where the store is a Watcher.
func Check(ctx context.Context, s, other store.Store, prefix string) error {
	c := &check{ctx: ctx, s: s, other: other, prefix: prefix}
	for _, part := range []func(){c.basics, c.names, c.sizes, c.copies, c.endsWithContext, c.writers, c.watch, c.revisions} {
		part()
	}
	return errors.Join(c.errs...)
}

type check struct {
	ctx      context.Context //nolint:containedctx // of one call of Check
	s, other store.Store
	prefix   string
	errs     []error
}

func (c *check) wrong(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

// want notes an error that is not the one that is wanted; nil wants none.
func (c *check) want(got, want error, what string) {
	if !errors.Is(got, want) {
		c.wrong("%s: got error %v, want %v", what, got, want)
	}
}

func (c *check) save(name, data, ifRevision string, want error, what string) string {
	revision, err := c.s.Save(c.ctx, c.prefix+name, []byte(data), ifRevision)
	c.want(err, want, what)
	if err == nil && revision == "" {
		c.wrong("%s: the revision is empty", what)
	}
	return revision
}

func (c *check) loads(name, want, revision string) {
	for _, s := range []store.Store{c.s, c.other} {
		doc, err := s.Load(c.ctx, c.prefix+name)
		if err != nil || string(doc.Data) != want || doc.Revision != revision {
			c.wrong("Load of %.40q: got %d octets at %q, error %v", name, len(doc.Data), doc.Revision, err)
		}
	}
}

func (c *check) basics() {
	_, err := c.s.Load(c.ctx, c.prefix+"absent")
	c.want(err, store.ErrNotFound, "Load of what is not there")
	c.save("absent", "x", "made-up", store.ErrConflict, "Save of what is not there, at a revision")
	first := c.save("a", "one", "", nil, "first Save")
	c.loads("a", "one", first)
	c.save("a", "two", "", store.ErrConflict, "Save as if it were not there")
	c.save("a", "two", "made-up", store.ErrConflict, "Save at a wrong revision")
	c.loads("a", "one", first)
	second := c.save("a", "two", first, nil, "second Save")
	if second == first {
		c.wrong("the revision did not change with the document")
	}
	c.save("a", "three", first, store.ErrConflict, "Save at an old revision")
	c.loads("a", "two", second)
}

func (c *check) names() {
	names := []string{
		"../a", "/etc/passwd", "a/b", "a\x00b", "A", "\u00e4", "*", "{x}", "a b\nc",
		strings.Repeat("n", store.MaxName-len(c.prefix)),
	}
	for i, name := range names {
		r := c.save(name, strconv.Itoa(i), "", nil, fmt.Sprintf("name %.40q", name))
		c.loads(name, strconv.Itoa(i), r)
	}
	for _, name := range []string{"", strings.Repeat("n", store.MaxName+1)} {
		_, err := c.s.Load(c.ctx, name)
		c.want(err, store.ErrTooLarge, "Load of an illegal name")
		_, err = c.s.Save(c.ctx, name, nil, "")
		c.want(err, store.ErrTooLarge, "Save of an illegal name")
	}
}

func (c *check) sizes() {
	for _, size := range []int{0, 1, 1 << 20} {
		name, data := "size"+strconv.Itoa(size), strings.Repeat("\x00\xff", size)[:size]
		c.loads(name, data, c.save(name, data, "", nil, name))
	}
	revision, err := c.s.Save(c.ctx, c.prefix+"nil", nil, "")
	c.want(err, nil, "Save of nil data")
	c.loads("nil", "", revision)
	c.save("huge", strings.Repeat("x", store.MaxDocument+1), "", store.ErrTooLarge, "Save of a huge document")
}

func (c *check) copies() {
	data := []byte("good")
	revision, err := c.s.Save(c.ctx, c.prefix+"copy", data, "")
	c.want(err, nil, "Save")
	copy(data, "evil")
	doc, err := c.s.Load(c.ctx, c.prefix+"copy")
	c.want(err, nil, "Load")
	copy(doc.Data, bytes.Repeat([]byte("x"), len(doc.Data)))
	c.loads("copy", "good", revision)
}

func (c *check) endsWithContext() {
	ctx, cancel := context.WithCancel(c.ctx)
	cancel()
	began := time.Now()
	_, err := c.s.Load(ctx, c.prefix+"a")
	c.want(err, context.Canceled, "Load under an ended context")
	_, err = c.s.Save(ctx, c.prefix+"ended", []byte("x"), "")
	c.want(err, context.Canceled, "Save under an ended context")
	if took := time.Since(began); took > time.Second {
		c.wrong("calls under an ended context took %v", took)
	}
}

// writers have eight goroutines count in one document: no count is lost.
func (c *check) writers() {
	const goroutines, each = 8, 10
	var wg sync.WaitGroup
	var mu sync.Mutex
	for g := range goroutines {
		s := c.s
		if g%2 == 1 {
			s = c.other
		}
		wg.Go(func() {
			for range each {
				if err := count(c.ctx, s, c.prefix+"count"); err != nil {
					mu.Lock()
					c.wrong("counting: %w", err)
					mu.Unlock()
					return
				}
			}
		})
	}
	wg.Wait()
	doc, err := c.s.Load(c.ctx, c.prefix+"count")
	if err != nil || string(doc.Data) != strconv.Itoa(goroutines*each) {
		c.wrong("%d writers of %d each counted to %q, error %v", goroutines, each, doc.Data, err)
	}
}

func count(ctx context.Context, s store.Store, name string) error {
	for {
		doc, err := s.Load(ctx, name)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		n, _ := strconv.Atoi(string(doc.Data)) // 0 where there is none
		_, err = s.Save(ctx, name, []byte(strconv.Itoa(n+1)), doc.Revision)
		if err == nil || !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

// watch: a Watcher tells of a change by the other, and stops with its context. A hint may be lost, so it gets some chances.
func (c *check) watch() {
	w, ok := c.s.(store.Watcher)
	if !ok {
		return
	}
	ctx, cancel := context.WithCancel(c.ctx)
	hints, ended := make(chan struct{}, 1), make(chan struct{})
	var last error // of Watch, when it has ended
	go func() {
		defer close(ended)
		last = w.Watch(ctx, c.prefix+"watched", func() {
			select {
			case hints <- struct{}{}:
			default:
			}
		})
	}()
	revision, told, able := "", false, true
	patience := time.NewTimer(0)
	defer patience.Stop()
	for i := 0; i < 10 && !told && able; i++ {
		var err error
		if revision, err = c.other.Save(c.ctx, c.prefix+"watched", []byte{byte(i)}, revision); err != nil {
			c.wrong("Save of what is watched: %w", err)
			break
		}
		patience.Reset(300 * time.Millisecond)
		select {
		case <-hints:
			told = true
		case <-ended:
			able = false // a decorator of a store that cannot
		case <-patience.C:
		}
	}
	if able && !told {
		c.wrong("Watch told of none of ten changes")
	}
	cancel()
	patience.Reset(2 * time.Second)
	select {
	case <-ended:
		if able {
			c.want(last, context.Canceled, "Watch whose context has ended")
		} else if last == nil {
			c.wrong("Watch that cannot go on has no error")
		}
	case <-patience.C:
		c.wrong("Watch goes on after its context has ended")
	}
}

func (c *check) revisions() {
	r, ok := c.s.(store.Reviser)
	if !ok {
		return
	}
	_, err := r.Revision(c.ctx, c.prefix+"never")
	c.want(err, store.ErrNotFound, "Revision of what is not there")
	want := c.save("revised", "one", "", nil, "Save")
	got, err := r.Revision(c.ctx, c.prefix+"revised")
	if err != nil || got != want {
		c.wrong("Revision: got %q and error %v, want %q", got, err, want)
	}
}
