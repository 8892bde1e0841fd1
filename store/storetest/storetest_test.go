package storetest_test

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/store/storetest"
)

type kept struct {
	data     []byte
	revision string
}

// service keeps documents. It writes by tokens, so that a writer that repeats a write can recognize its own.
type service struct {
	mu   sync.Mutex
	docs map[string]kept
	n    int
}

func (s *service) load(name string) (kept, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.docs[name]
	return kept{bytes.Clone(k.data), k.revision}, ok
}

func (s *service) save(name string, data []byte, ifRevision, revision string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.docs == nil {
		s.docs = map[string]kept{}
	}
	if s.docs[name].revision != ifRevision {
		return false
	}
	s.docs[name] = kept{bytes.Clone(data), revision}
	return true
}

func (s *service) next() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	return strconv.Itoa(s.n)
}

var errLost = errors.New("the connection ended")

// client is a Store of a service, behind a connection with faults. Its flaws are those that the checks have to find.
type client struct {
	service *service
	flaws   map[string]bool

	mu      sync.Mutex
	lose    int
	silence chan struct{}
	before  func()
	closed  bool
	read    map[string][]byte // of torn reads: the last of each name that has halves
}

// answer reports what happens to a request that was executed, or is not.
func (c *client) answer(ctx context.Context) (lost bool, err error) {
	c.mu.Lock()
	silence, closed := c.silence, c.closed
	if silence == nil && c.lose > 0 {
		c.lose--
		lost = true
	}
	c.mu.Unlock()
	if closed {
		return false, errLost
	}
	if silence != nil && c.flaws["hangs"] {
		<-silence
	}
	if silence != nil {
		select {
		case <-silence:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	return lost, nil
}

func (c *client) fail(err error) error {
	switch {
	case c.flaws["a fault is no document"]:
		return store.ErrNotFound
	case c.flaws["a fault is a conflict"]:
		return store.ErrConflict
	}
	return err
}

func check(ctx context.Context, name string) error {
	if name == "" || len(name) > 512 {
		return errors.New("no name")
	}
	return ctx.Err()
}

func (c *client) Load(ctx context.Context, name, ifNot string) ([]byte, string, error) {
	if err := check(ctx, name); err != nil && !c.flaws["ignores contexts"] {
		return nil, "", err
	}
	for range 3 {
		lost, err := c.answer(ctx)
		if err != nil {
			return nil, "", c.fail(err)
		}
		if lost {
			continue
		}
		k, ok := c.service.load(name)
		switch {
		case !ok:
			return nil, "", store.ErrNotFound
		case k.revision == ifNot:
			return nil, ifNot, store.ErrNotModified
		case c.flaws["torn reads"] && len(k.data) > 1:
			k.data = c.tear(name, k.data)
		}
		return k.data, k.revision, nil
	}
	return nil, "", c.fail(errLost)
}

// tear returns the second half of data after the first half of what was read before it.
func (c *client) tear(name string, data []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	before, ok := c.read[name]
	if c.read == nil {
		c.read = map[string][]byte{}
	}
	c.read[name] = data
	if !ok {
		return data
	}
	half := len(data) / 2
	return append(bytes.Clone(before[:min(half, len(before))]), data[half:]...)
}

func (c *client) Save(ctx context.Context, name string, data []byte, ifRevision string) (string, error) {
	if err := check(ctx, name); err != nil && !c.flaws["ignores contexts"] {
		return "", err
	}
	if len(data) > 4<<20 {
		return "", errors.New("too large")
	}
	revision := c.service.next()
	for range 3 {
		c.mu.Lock()
		before := c.before
		c.before = nil
		c.mu.Unlock()
		if before != nil {
			before()
		}
		if k, _ := c.service.load(name); c.flaws["ignores revisions"] {
			ifRevision = k.revision
		}
		if c.silenced(ctx) != nil {
			return "", c.fail(ctx.Err())
		}
		saved := c.service.save(name, data, ifRevision, revision)
		lost, err := c.answer(ctx)
		if err != nil {
			return "", c.fail(err)
		}
		if lost {
			continue
		}
		if k, _ := c.service.load(name); saved || k.revision == revision && !c.flaws["conflicts with itself"] {
			return revision, nil
		}
		return "", store.ErrConflict
	}
	if c.flaws["says that it was saved"] {
		return "another", nil
	}
	return "", c.fail(errLost)
}

// silenced waits in a silence.
func (c *client) silenced(ctx context.Context) error {
	c.mu.Lock()
	silence := c.silence
	c.mu.Unlock()
	if silence == nil {
		return nil
	}
	_, err := c.answer(ctx)
	return err
}

func (c *client) Watch(ctx context.Context, name string, _ func()) error {
	if err := check(ctx, name); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

func (c *client) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func (c *client) faults() storetest.Faults {
	return storetest.Faults{
		LoseAnswers: func(n int) { c.set(func() { c.lose = n }) },
		BeforeWrite: func(f func()) { c.set(func() { c.before = f }) },
		Silence: func() func() {
			silence := make(chan struct{})
			c.set(func() { c.silence = silence })
			return func() { c.set(func() { c.silence = nil }); close(silence) }
		},
		Close: func() { c.set(func() { c.closed = true }) },
	}
}

// A good store passes both checks, and each flaw is found.
func TestFlawsAreFound(t *testing.T) {
	t.Parallel()
	for flaw, says := range map[string]string{
		"":                       "",
		"torn reads":             "nobody has written",
		"ignores revisions":      "want document was changed",
		"ignores contexts":       "under an ended context",
		"conflicts with itself":  "does not speak of the document",
		"a fault is no document": "does not speak of the document",
		"a fault is a conflict":  "does not speak of the document",
		"says that it was saved": "it is there at",
		"hangs":                  "it goes on",
	} {
		t.Run(flaw, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := new(service)
				c, other := &client{service: s, flaws: map[string]bool{flaw: true}}, &client{service: s}
				err := errors.Join(storetest.Check(t.Context(), c, other, "a "), storetest.CheckFaults(t.Context(), c, other, "b ", c.faults()))
				if says == "" {
					require.NoError(t, err)
					return
				}
				require.ErrorContains(t, err, says)
			})
		})
	}
}
