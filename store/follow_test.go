package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/store"
)

// moody is a store that fails or hangs, and may hint at changes.
type moody struct {
	memory
	mood  sync.Mutex // guards what follows
	err   error
	hangs bool
	hints chan struct{}
	loads int
}

func (m *moody) loaded() int {
	m.mood.Lock()
	defer m.mood.Unlock()
	defer func() { m.loads = 0 }()
	return m.loads
}

func (m *moody) set(err error, hangs bool) {
	m.mood.Lock()
	defer m.mood.Unlock()
	m.err, m.hangs = err, hangs
}

func (m *moody) Load(ctx context.Context, name string) (store.Document, error) {
	m.mood.Lock()
	m.loads++
	err, hangs := m.err, m.hangs
	m.mood.Unlock()
	if hangs {
		<-ctx.Done()
		return store.Document{}, ctx.Err()
	}
	if err != nil {
		return store.Document{}, err
	}
	return m.memory.Load(ctx, name)
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
			store.Follow(ctx, m, "a", time.Minute, func(d store.Document, err error) {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, fmt.Sprint(string(d.Data), " ", err))
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
		m.set(errors.New("down"), false)
		expect(time.Minute, " down")
		m.set(nil, false)
		expect(time.Minute, "two <nil>")
		m.set(nil, true)
		expect(time.Minute+2*time.Second, " context deadline exceeded")
		m.set(nil, false)
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
			store.Follow(ctx, m, "a", time.Hour, func(d store.Document, _ error) {
				mu.Lock()
				defer mu.Unlock()
				if d.Data != nil {
					seen = string(d.Data)
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
			store.Follow(ctx, new(memory), "a", every, func(store.Document, error) { questions++ })
			require.InDelta(t, want, questions, 1, every)
		})
	}
}

// hinting is a store that can tell revisions, and that everybody can write to.
type hinting struct {
	moody
	asked int
}

func (h *hinting) Revision(ctx context.Context, name string) (string, error) {
	h.mood.Lock()
	h.asked++
	h.mood.Unlock()
	d, err := h.memory.Load(ctx, name)
	return d.Revision, err
}

// put writes as one does who heeds nothing.
func (h *hinting) put(name string, d store.Document) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.docs == nil {
		h.docs = map[string]store.Document{}
	}
	h.docs[name] = d
}

// told runs Follow in a bubble, and hands what it tells to f.
func told(t *testing.T, s store.Store, every time.Duration, f func(told func() []string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if h, ok := s.(*hinting); ok {
			h.hints = make(chan struct{}) // of this bubble
		}
		var mu sync.Mutex
		var all []string
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			store.Follow(ctx, s, "a", every, func(d store.Document, err error) {
				mu.Lock()
				defer mu.Unlock()
				all = append(all, fmt.Sprint(string(d.Data), " ", d.Revision, " ", err))
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
	for name, s := range map[string]interface {
		store.Store
		put(name string, d store.Document)
		loaded() int
	}{"with revisions": &hinting{}, "without": &plainly{}} {
		s.put("a", store.Document{Data: []byte("one"), Revision: "r"})
		told(t, s, 500*time.Millisecond, func(told func() []string) {
			require.Equal(t, []string{"one r <nil>"}, told(), name)
			s.put("a", store.Document{Data: []byte("two"), Revision: "r"})
			time.Sleep(2500 * time.Millisecond)
			require.Equal(t, []string{"two r <nil>"}, told(), name)
			s.put("a", store.Document{Revision: "r"})
			time.Sleep(2500 * time.Millisecond)
			require.Equal(t, []string{" r <nil>"}, told(), "an empty document is one")
			s.put("a", store.Document{Data: []byte("two"), Revision: "r"})
			time.Sleep(2500 * time.Millisecond)
			told()
			for i := range 100 {
				s.put("a", store.Document{Data: []byte("two"), Revision: fmt.Sprint(i)})
				time.Sleep(100 * time.Millisecond)
				require.Empty(t, told(), "nothing has changed")
			}
		})
	}
}

// plainly is a hinting store that cannot tell revisions.
type plainly struct{ moody }

func (p *plainly) put(name string, d store.Document) {
	h := &hinting{}
	h.docs = p.docs
	h.put(name, d)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.docs = h.docs
}

// While nothing changes, hardly anything is loaded, and a large document less often.
func TestFollowLoadsLittle(t *testing.T) {
	t.Parallel()
	for size, most := range map[int]int{3: 31, 4 << 20: 7} {
		s := &hinting{}
		s.put("a", store.Document{Data: make([]byte, size), Revision: "r"})
		told(t, s, 500*time.Millisecond, func(told func() []string) {
			time.Sleep(time.Minute)
			require.Len(t, told(), 1)
			require.LessOrEqual(t, s.loaded(), most)
			require.Greater(t, s.asked, 80)
		})
	}
}

// One who hints and changes the revision all the time causes two loads a second.
func TestFollowIsNotMadeToLoad(t *testing.T) {
	t.Parallel()
	s := &hinting{}
	s.put("a", store.Document{Data: []byte("same"), Revision: "first"})
	told(t, s, 500*time.Millisecond, func(told func() []string) {
		for i := range 1000 {
			s.put("a", store.Document{Data: []byte("same"), Revision: fmt.Sprint(i)})
			s.hints <- struct{}{}
			time.Sleep(10 * time.Millisecond)
		}
		require.Len(t, told(), 1)
		require.LessOrEqual(t, s.loaded(), 22)
	})
}

// Nor does one who hints all the time, and has put something there that is not authentic.
func TestFollowIsNotMadeToJudge(t *testing.T) {
	t.Parallel()
	s := &hinting{}
	s.set(fmt.Errorf("%w: of this or that", store.ErrNotAuthentic), false)
	told(t, s, time.Second, func(told func() []string) {
		for range 1000 {
			s.hints <- struct{}{}
			time.Sleep(10 * time.Millisecond)
		}
		require.NotEmpty(t, told())
		require.LessOrEqual(t, s.loaded(), 22)
	})
}

func TestFollowOfNothing(t *testing.T) {
	t.Parallel()
	for _, s := range []store.Store{nil, (*memory)(nil)} {
		var told []error
		store.Follow(t.Context(), s, "a", 0, func(_ store.Document, err error) { told = append(told, err) })
		require.Len(t, told, 1)
		require.ErrorContains(t, told[0], "no store")
	}
}
