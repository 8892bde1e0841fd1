// Package storetest checks that an implementation fulfills the contract of store.Store. It does not import package testing: call
// [Check] from a test of your own.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/internal/document"
	"github.com/regionjwt/regionjwt/store"
)

// Check makes the calls that users of a store make, among them from many goroutines, and returns every violation of the contract
// as one joined error. other is a second Store of the same documents, as another process would have it, or s. The names of the
// documents begin with prefix, which has at most 64 bytes; they are left in the store. Check takes some seconds if Watch gives no
// hints. Use [CheckFaults] as well if the store is a service that is reached over a network.
func Check(ctx context.Context, s, other store.Store, prefix string) error {
	c := &check{ctx: ctx, s: s, other: other, prefix: prefix}
	for _, part := range []func(){
		c.basics, c.notModified, c.names, c.sizes, c.copies, c.endsWithContext, c.writers, c.secondWriter, c.tearing, c.watch,
	} {
		part()
	}
	return c.joined()
}

// joined returns every violation so far.
func (c *check) joined() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.errs...)
}

type check struct {
	ctx      context.Context //nolint:containedctx // of one call of Check
	s, other store.Store
	prefix   string
	mu       sync.Mutex
	errs     []error // guarded by mu
}

func (c *check) wrong(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

// want notes an error that is not the wanted one; nil wants none.
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
		data, got, err := s.Load(c.ctx, c.prefix+name, "")
		if err != nil || string(data) != want || got != revision {
			c.wrong("Load of %.40q: got %d bytes at %q, error %v", name, len(data), got, err)
		}
	}
}

func (c *check) basics() {
	for _, ifNot := range []string{"", "made-up"} {
		data, revision, err := c.s.Load(c.ctx, c.prefix+"absent", ifNot)
		c.want(err, store.ErrNotFound, "Load of an absent document")
		if data != nil || revision != "" {
			c.wrong("Load of an absent document: got %d bytes at %q", len(data), revision)
		}
	}
	c.save("absent", "x", "made-up", store.ErrConflict, "Save of an absent document, at a revision")
	first := c.save("a", "one", "", nil, "first Save")
	c.loads("a", "one", first)
	c.save("a", "two", "", store.ErrConflict, "Save as if the document were absent")
	c.save("a", "two", "made-up", store.ErrConflict, "Save at a wrong revision")
	c.loads("a", "one", first)
	second := c.save("a", "two", first, nil, "second Save")
	if second == first {
		c.wrong("the revision did not change with the document")
	}
	c.save("a", "three", first, store.ErrConflict, "Save at an old revision")
	c.loads("a", "two", second)
}

// notModified checks that Load with another revision returns the document, and with the current one ErrNotModified or the
// document.
func (c *check) notModified() {
	first := c.save("modified", "one", "", nil, "first Save")
	c.loadsIfNot("made-up", "one", first)
	c.loadsIfNot(first, "one", first)
	second := c.save("modified", "two", first, nil, "second Save")
	c.loadsIfNot(first, "two", second)
	c.loadsIfNot(second, "two", second)
}

func (c *check) loadsIfNot(ifNot, want, revision string) {
	for _, s := range []store.Store{c.s, c.other} {
		data, got, err := s.Load(c.ctx, c.prefix+"modified", ifNot)
		switch {
		case ifNot == revision && errors.Is(err, store.ErrNotModified) && data == nil:
		case err != nil || string(data) != want || got != revision:
			c.wrong("Load of %q if not at %q: got %q at %q, error %v", want, ifNot, data, got, err)
		}
	}
}

// oddNames are names that are something else to file systems, URLs, headers, query languages and shells. They are different
// documents, also those that differ only by case, by normalization (U+00E4) or by bytes that are not UTF-8.
var oddNames = []string{
	"../a", "..", ".", "/etc/passwd", "a/b", "a/../b", "a//b", "a\\b", "a\x00b", "A", "\u00e4", "a\u0308", "\xe4", "\xff\xfe",
	"*", "{x}", "a b\nc", " ", "a ", "%2e%2e/", "?x=1", "#", "x\r\nHost: y", "'; --", "$(x)", "CON",
	"__proto__", "\u202e", "\U0001f600",
}

func (c *check) names() {
	names := append(slices.Clone(oddNames), strings.Repeat("n", document.MaxName-len(c.prefix)))
	revisions := make([]string, len(names))
	for i, name := range names {
		revisions[i] = c.save(name, strconv.Itoa(i), "", nil, fmt.Sprintf("name %.40q", name))
	}
	for i, name := range names {
		c.loads(name, strconv.Itoa(i), revisions[i])
	}
	for _, name := range []string{"", strings.Repeat("n", document.MaxName+1)} {
		_, _, err := c.s.Load(c.ctx, name, "")
		c.rejects(err, "Load of an illegal name")
		_, err = c.s.Save(c.ctx, name, nil, "")
		c.rejects(err, "Save of an illegal name")
		within, cancel := context.WithTimeout(c.ctx, time.Second)
		c.rejects(c.s.Watch(within, name, func() {}), "Watch of an illegal name")
		cancel()
	}
}

// rejects notes that an illegal argument causes no error of its own.
func (c *check) rejects(err error, what string) {
	if err == nil || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict) ||
		errors.Is(err, context.DeadlineExceeded) {
		c.wrong("%s: got error %v, want one of its own", what, err)
	}
}

func (c *check) sizes() {
	for _, size := range []int{0, 1, 1 << 20} {
		name, data := "size"+strconv.Itoa(size), strings.Repeat("\x00\xff", size)[:size]
		c.loads(name, data, c.save(name, data, "", nil, name))
	}
	grown := ""
	for _, size := range []int{1 << 20, 0, 4096, 1 << 20, 1} {
		data := strings.Repeat("z", size)
		grown = c.save("grown", data, grown, nil, "Save of "+strconv.Itoa(size)+" bytes over others")
		c.loads("grown", data, grown)
	}
	revision, err := c.s.Save(c.ctx, c.prefix+"nil", nil, "")
	c.want(err, nil, "Save of nil data")
	c.loads("nil", "", revision)
	_, err = c.s.Save(c.ctx, c.prefix+"huge", make([]byte, document.MaxData+1), "")
	c.rejects(err, "Save of a huge document")
}

func (c *check) copies() {
	data := []byte("good")
	revision, err := c.s.Save(c.ctx, c.prefix+"copy", data, "")
	c.want(err, nil, "Save")
	copy(data, "evil")
	loaded, _, err := c.s.Load(c.ctx, c.prefix+"copy", "")
	c.want(err, nil, "Load")
	copy(loaded, bytes.Repeat([]byte("x"), len(loaded)))
	c.loads("copy", "good", revision)
}

func (c *check) endsWithContext() {
	began := time.Now()
	canceled, cancel := context.WithCancel(c.ctx)
	cancel()
	late, cancel := context.WithDeadline(c.ctx, began.Add(-time.Second))
	defer cancel()
	for ctx, want := range map[context.Context]error{canceled: context.Canceled, late: context.DeadlineExceeded} {
		_, _, err := c.s.Load(ctx, c.prefix+"a", "")
		c.want(err, want, "Load under an ended context")
		c.want(c.s.Watch(ctx, c.prefix+"a", func() {}), want, "Watch under an ended context")
		_, err = c.s.Save(ctx, c.prefix+"ended", []byte("x"), "")
		c.want(err, want, "Save under an ended context")
	}
	if took := time.Since(began); took > time.Second {
		c.wrong("calls under an ended context took %v", took)
	}
	_, _, err := c.s.Load(c.ctx, c.prefix+"ended", "")
	c.want(err, store.ErrNotFound, "Load of what was saved under an ended context")
}

// writers checks that no count is lost if eight goroutines count in one document.
func (c *check) writers() {
	const goroutines, each = 8, 10
	var wg sync.WaitGroup
	for g := range goroutines {
		s := c.s
		if g%2 == 1 {
			s = c.other
		}
		wg.Go(func() {
			for range each {
				if err := count(c.ctx, s, c.prefix+"count"); err != nil {
					c.wrong("counting: %w", err)
					return
				}
			}
		})
	}
	wg.Wait()
	data, _, err := c.s.Load(c.ctx, c.prefix+"count", "")
	if err != nil || string(data) != strconv.Itoa(goroutines*each) {
		c.wrong("%d writers of %d each counted to %q, error %v", goroutines, each, data, err)
	}
}

func count(ctx context.Context, s store.Store, name string) error {
	for {
		data, revision, err := s.Load(ctx, name, "")
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		n, _ := strconv.Atoi(string(data)) // 0 if there is no document
		_, err = s.Save(ctx, name, []byte(strconv.Itoa(n+1)), revision)
		if err == nil || !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

// watch checks that Watch goes on while its context does, and ends with it. A hint may be lost, and a
// store need not give any, so that none is no violation.
func (c *check) watch() {
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	hints, ended := make(chan struct{}, 1), make(chan struct{})
	var last error // of Watch, when it has ended
	go func() {
		defer close(ended)
		last = c.s.Watch(ctx, c.prefix+"watched", func() {
			select {
			case hints <- struct{}{}:
			default:
			}
		})
	}()
	c.change(hints, ended)
	select {
	case <-ended:
		if last == nil {
			c.wrong("Watch returned no error")
		}
		return
	default:
	}
	cancel()
	patience := time.NewTimer(2 * time.Second)
	defer patience.Stop()
	select {
	case <-ended:
		c.want(last, context.Canceled, "Watch whose context has ended")
	case <-patience.C:
		c.wrong("Watch goes on after its context has ended")
	}
}

// change saves some changes, until there is a hint or Watch has ended.
func (c *check) change(hints, ended <-chan struct{}) {
	revision := ""
	patience := time.NewTimer(0)
	defer patience.Stop()
	for i := range 10 {
		var err error
		if revision, err = c.other.Save(c.ctx, c.prefix+"watched", []byte{byte(i)}, revision); err != nil {
			c.wrong("Save of what is watched: %w", err)
			return
		}
		patience.Reset(200 * time.Millisecond)
		select {
		case <-hints:
			return
		case <-ended:
			return
		case <-patience.C:
		}
	}
}
