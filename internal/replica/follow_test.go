package replica_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/replica"
	"github.com/regionjwt/regionjwt/store"
)

// document is what a memory holds under a name.
type document struct {
	Data     []byte
	Revision string
}

// memory is a store that anyone can write to. It heeds ifNot only if it tells revisions.
type memory struct {
	mu    sync.Mutex
	docs  map[string]document
	n     int
	tells bool
}

func (m *memory) Load(_ context.Context, name, ifNot string) ([]byte, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch d, ok := m.docs[name]; {
	case !ok:
		return nil, "", store.ErrNotFound
	case m.tells && d.Revision == ifNot:
		return nil, ifNot, store.ErrNotModified
	default:
		return d.Data, d.Revision, nil
	}
}

func (m *memory) Save(_ context.Context, name string, data []byte, ifRevision string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.docs[name].Revision != ifRevision {
		return "", store.ErrConflict
	}
	m.n++
	d := document{Data: bytes.Clone(data), Revision: fmt.Sprint(m.n)}
	m.set(name, d)
	return d.Revision, nil
}

func (m *memory) set(name string, d document) {
	if m.docs == nil {
		m.docs = map[string]document{}
	}
	m.docs[name] = d
}

// put writes the document "a" as one does who ignores revisions.
func (m *memory) put(d document) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set("a", d)
}

func (*memory) Watch(ctx context.Context, _ string, _ func()) error {
	<-ctx.Done()
	return ctx.Err()
}

// moody is a store that fails or hangs, and may hint at changes.
type moody struct {
	memory
	mood  sync.Mutex // guards what follows
	err   error
	hangs bool
	hints chan struct{}
	calls int // of Load
	loads int // of them, those that did not return ErrNotModified
}

func (m *moody) loaded() int {
	m.mood.Lock()
	defer m.mood.Unlock()
	defer func() { m.loads = 0 }()
	return m.loads
}

func (m *moody) become(err error, hangs bool) {
	m.mood.Lock()
	defer m.mood.Unlock()
	m.err, m.hangs = err, hangs
}

func (m *moody) Load(ctx context.Context, name, ifNot string) ([]byte, string, error) {
	m.mood.Lock()
	m.calls++
	m.loads++
	err, hangs := m.err, m.hangs
	m.mood.Unlock()
	if hangs {
		<-ctx.Done()
		return nil, "", ctx.Err()
	}
	if err != nil {
		return nil, "", err
	}
	data, revision, err := m.memory.Load(ctx, name, ifNot)
	if errors.Is(err, store.ErrNotModified) {
		m.mood.Lock()
		m.loads--
		m.mood.Unlock()
	}
	return data, revision, err
}

func (m *moody) Watch(ctx context.Context, _ string, changed func()) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case _, ok := <-m.hints:
			if !ok {
				return errors.New("the connection is gone")
			}
			changed()
		}
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &moody{hints: make(chan struct{})}
		var mu sync.Mutex
		var told []string
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			replica.Follow(ctx, m, "a", time.Minute, nil, func(data []byte, err error) {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, fmt.Sprint(string(data), " ", err))
			})
		}()
		expect := func(wait time.Duration, want ...string) {
			t.Helper()
			time.Sleep(wait)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			require.Equal(t, want, told)
			told = nil
		}
		expect(time.Second, " document not found")
		revision, err := m.Save(ctx, "a", []byte("one"), "")
		require.NoError(t, err)
		expect(time.Minute, "one <nil>")
		expect(2 * time.Minute)
		_, err = m.Save(ctx, "a", []byte("two"), revision)
		require.NoError(t, err)
		m.hints <- struct{}{}
		expect(0, "two <nil>")
		m.become(errors.New("down"), false)
		expect(time.Minute, " down")
		m.become(nil, false)
		expect(time.Minute, "two <nil>")
		m.become(nil, true)
		expect(time.Minute+2*time.Second, " context deadline exceeded")
		m.become(nil, false)
		close(m.hints) // the Watch ends again and again, and the questions go on
		expect(time.Minute, "two <nil>")
		cancel()
		<-ended
		require.Empty(t, told)
	})
}

// However many hints there are, questions are few; and what a hint told of is seen, although it came right after a question.
func TestFollowManyHints(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &moody{hints: make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		var mu sync.Mutex
		seen := ""
		go func() {
			defer close(ended)
			replica.Follow(ctx, m, "a", time.Hour, nil, func(data []byte, _ error) {
				mu.Lock()
				defer mu.Unlock()
				if data != nil {
					seen = string(data)
				}
			})
		}()
		revision := ""
		for i := range 1000 {
			var err error
			revision, err = m.Save(ctx, "a", []byte(fmt.Sprint(i)), revision)
			require.NoError(t, err)
			m.hints <- struct{}{}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		mu.Lock()
		require.InDelta(t, 1000/50+1, m.loaded(), 2)
		require.Equal(t, "999", seen)
		mu.Unlock()
		cancel()
		<-ended
	})
}

func TestFollowEvery(t *testing.T) {
	t.Parallel()
	for every, want := range map[time.Duration]int{-time.Second: 11, 0: 11, time.Nanosecond: 101, time.Second: 6} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second+time.Millisecond)
			defer cancel()
			questions := 0
			replica.Follow(ctx, new(memory), "a", every, nil, func([]byte, error) { questions++ })
			require.InDelta(t, want, questions, 1, every)
		})
	}
}

// told runs Follow in a bubble, and hands what it tells to f.
func told(t *testing.T, s *moody, every time.Duration, f func(told func() []string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s.hints = make(chan struct{}) // of this bubble
		var mu sync.Mutex
		var all []string
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			replica.Follow(ctx, s, "a", every, nil, func(data []byte, err error) {
				mu.Lock()
				defer mu.Unlock()
				all = append(all, fmt.Sprint(string(data), " ", err))
			})
		}()
		f(func() []string {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			defer func() { all = nil }()
			return all
		})
		cancel()
		<-ended
	})
}

// A document is followed by what it holds: an old revision hides none for long, and a new one brings none.
func TestFollowGoesByContent(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*moody{"not modified": {memory: memory{tells: true}}, "always a document": {}} {
		s.put(document{Data: []byte("one"), Revision: "r"})
		told(t, s, 500*time.Millisecond, func(told func() []string) {
			require.Equal(t, []string{"one <nil>"}, told(), name)
			s.put(document{Data: []byte("two"), Revision: "r"})
			time.Sleep(2500 * time.Millisecond)
			require.Equal(t, []string{"two <nil>"}, told(), name)
			s.put(document{Revision: "r"})
			time.Sleep(2500 * time.Millisecond)
			require.Equal(t, []string{" <nil>"}, told(), "an empty document is one")
			s.put(document{Data: []byte("two"), Revision: "r"})
			time.Sleep(2500 * time.Millisecond)
			told()
			for i := range 100 {
				s.put(document{Data: []byte("two"), Revision: fmt.Sprint(i)})
				time.Sleep(100 * time.Millisecond)
				require.Empty(t, told(), "nothing has changed")
			}
		})
	}
}

// While nothing changes, hardly anything is loaded, and a large document less often.
func TestFollowLoadsLittle(t *testing.T) {
	t.Parallel()
	for size, most := range map[int]int{3: 31, 4 << 20: 7} {
		s := &moody{memory: memory{tells: true}}
		s.put(document{Data: make([]byte, size), Revision: "r"})
		told(t, s, 500*time.Millisecond, func(told func() []string) {
			time.Sleep(time.Minute)
			require.Len(t, told(), 1)
			require.LessOrEqual(t, s.loaded(), most)
			require.Greater(t, s.calls, 80)
		})
	}
}

// A writer that hints and changes the revision all the time causes two loads a second.
func TestFollowIsNotMadeToLoad(t *testing.T) {
	t.Parallel()
	s := &moody{memory: memory{tells: true}}
	s.put(document{Data: []byte("same"), Revision: "first"})
	told(t, s, 500*time.Millisecond, func(told func() []string) {
		for i := range 1000 {
			s.put(document{Data: []byte("same"), Revision: fmt.Sprint(i)})
			s.hints <- struct{}{}
			time.Sleep(10 * time.Millisecond)
		}
		require.Len(t, told(), 1)
		require.LessOrEqual(t, s.loaded(), 22)
	})
}

// Nor does a writer that hints all the time, and has written a document that is not authentic.
func TestFollowIsNotMadeToVerify(t *testing.T) {
	t.Parallel()
	s := &moody{memory: memory{tells: true}}
	s.become(fmt.Errorf("%w: of this or that", store.ErrNotAuthentic), false)
	told(t, s, time.Second, func(told func() []string) {
		for range 1000 {
			s.hints <- struct{}{}
			time.Sleep(10 * time.Millisecond)
		}
		require.NotEmpty(t, told())
		require.LessOrEqual(t, s.loaded(), 22)
	})
}

// Follow calls unchanged for each answer without a change, whether the store compares revisions or not, and for no error.
func TestFollowNotesUnchangedDocuments(t *testing.T) {
	t.Parallel()
	for _, tells := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := &moody{memory: memory{tells: tells}, hints: make(chan struct{})}
			s.put(document{Data: []byte("x"), Revision: "r"})
			ctx, cancel := context.WithCancel(t.Context())
			var answers atomic.Int64
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				replica.Follow(ctx, s, "a", time.Second, func() { answers.Add(1) }, func([]byte, error) {})
			}()
			time.Sleep(10*time.Second + time.Millisecond)
			require.InDelta(t, 11, answers.Load(), 1)
			s.become(errors.New("down"), false)
			before := answers.Load()
			time.Sleep(10 * time.Second)
			require.Equal(t, before, answers.Load())
			cancel()
			<-ended
		})
	}
}

// A store that says that a document is not modified, although it was not asked, has failed.
func TestNotModifiedWithoutARevisionIsAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &moody{err: store.ErrNotModified, hints: make(chan struct{})}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		replica.Follow(ctx, s, "a", time.Second, func() { t.Error("an answer") }, func(_ []byte, err error) {
			require.ErrorIs(t, err, store.ErrNotModified)
		})
	})
}
