package seen_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/seen"
)

func TestDigestsKeepNameAndDataApart(t *testing.T) {
	t.Parallel()
	digests := map[seen.Digest]bool{}
	for _, d := range [][2]string{{"a", "bc"}, {"ab", "c"}, {"abc", ""}, {"", "abc"}, {"", ""}} {
		digests[seen.Of(d[0], []byte(d[1]))] = true
	}
	require.Len(t, digests, 5)
	again := seen.Of("a", []byte("bc"))
	require.True(t, digests[again])
}

func TestTheOldestMakesRoom(t *testing.T) {
	t.Parallel()
	var s seen.Set[int]
	of := func(i int) seen.Digest { return seen.Of(fmt.Sprint(i), nil) }
	_, known := s.Get(of(0))
	require.False(t, known)
	for i := range 3*seen.Most + 7 {
		s.Put(of(i), i)
		s.Put(of(i), -i) // what is known already needs no room
		for _, old := range []int{i, max(0, i-seen.Most+1)} {
			v, known := s.Get(of(old))
			require.True(t, known)
			require.Equal(t, -old, v)
		}
		_, known := s.Get(of(i - seen.Most))
		require.False(t, known)
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	var s seen.Set[int]
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 { // all of them find room
				d := seen.Of(fmt.Sprint(g, i), nil)
				s.Put(d, i)
				if v, known := s.Get(d); !known || v != i {
					t.Error(v, known)
				}
			}
		})
	}
	wg.Wait()
}
