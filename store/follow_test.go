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
}

func (m *moody) set(err error, hangs bool) {
	m.mood.Lock()
	defer m.mood.Unlock()
	m.err, m.hangs = err, hangs
}

func (m *moody) Load(ctx context.Context, name string) (store.Document, error) {
	m.mood.Lock()
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
		expect(2*time.Minute, " <nil>", " <nil>")
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
		questions, seen := 0, ""
		go func() {
			defer close(ended)
			store.Follow(ctx, m, "a", time.Hour, func(d store.Document, _ error) {
				mu.Lock()
				defer mu.Unlock()
				questions++
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
		require.InDelta(t, 1000/50+1, questions, 2)
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
