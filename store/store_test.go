package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/store"
)

var secret = []byte("0123456789abcdef0123456789abcdef")

// memory is a store that anyone can write to.
type memory struct {
	mu   sync.Mutex
	docs map[string]store.Document
	n    int
}

func (m *memory) Load(_ context.Context, name string) (store.Document, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.docs[name]
	if !ok {
		return d, store.ErrNotFound
	}
	return d, nil
}

func (m *memory) Save(_ context.Context, name string, data []byte, ifRevision string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.docs[name].Revision != ifRevision {
		return "", store.ErrConflict
	}
	m.n++
	d := store.Document{Data: bytes.Clone(data), Revision: fmt.Sprint(m.n)}
	if m.docs == nil {
		m.docs = map[string]store.Document{}
	}
	m.docs[name] = d
	return d.Revision, nil
}

func sealed(t *testing.T, inner store.Store) store.Authentic {
	t.Helper()
	s, err := store.Sealed(inner, secret)
	require.NoError(t, err)
	return s
}

func stores(t *testing.T) map[string]store.Store {
	t.Helper()
	return map[string]store.Store{
		"dir":           store.Dir(filepath.Join(t.TempDir(), "a", "b")),
		"sealed dir":    sealed(t, store.Dir(filepath.Join(t.TempDir(), "s"))),
		"sealed memory": sealed(t, new(memory)),
	}
}

func TestContract(t *testing.T) {
	t.Parallel()
	for name, s := range stores(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			_, err := s.Load(ctx, "a")
			require.ErrorIs(t, err, store.ErrNotFound)
			_, err = s.Save(ctx, "a", []byte("x"), "unseen")
			require.ErrorIs(t, err, store.ErrConflict)
			one, err := s.Save(ctx, "a", []byte("one"), "")
			require.NoError(t, err)
			_, err = s.Save(ctx, "a", []byte("two"), "")
			require.ErrorIs(t, err, store.ErrConflict, "there is one already")
			two, err := s.Save(ctx, "a", []byte("two"), one)
			require.NoError(t, err)
			require.NotEqual(t, one, two)
			_, err = s.Save(ctx, "a", []byte("three"), one)
			require.ErrorIs(t, err, store.ErrConflict)
			for _, other := range []string{"../a", "a/../../b", "A", "a\x00", strings.Repeat("n", store.MaxName)} {
				_, err = s.Save(ctx, other, []byte(other), "")
				require.NoError(t, err)
				doc, err := s.Load(ctx, other)
				require.NoError(t, err)
				require.Equal(t, other, string(doc.Data))
			}
			doc, err := s.Load(ctx, "a")
			require.NoError(t, err)
			require.Equal(t, store.Document{Data: []byte("two"), Revision: two}, doc)
		})
	}
}

func TestDirBounds(t *testing.T) {
	t.Parallel()
	s := store.Dir(t.TempDir() + "/d")
	_, err := s.Load(t.Context(), "")
	require.ErrorIs(t, err, store.ErrTooLarge)
	_, err = s.Save(t.Context(), strings.Repeat("n", store.MaxName+1), nil, "")
	require.ErrorIs(t, err, store.ErrTooLarge)
	_, err = s.Save(t.Context(), "a", make([]byte, store.MaxDocument+1), "")
	require.ErrorIs(t, err, store.ErrTooLarge)
	_, err = s.Save(t.Context(), "a", make([]byte, store.MaxDocument), "")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Load(ctx, "a")
	require.ErrorIs(t, err, context.Canceled)
	_, err = s.Save(ctx, "b", nil, "")
	require.ErrorIs(t, err, context.Canceled)
}

// Many writers on one document: of all that saw one revision, one wins.
func TestCompareAndSwap(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/d"
	const writers, rounds = 8, 20
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			s := store.Dir(path) // each as if in a process of its own
			for done := 0; done < rounds; {
				doc, err := s.Load(t.Context(), "n")
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					t.Error(err)
					return
				}
				switch _, err = s.Save(t.Context(), "n", append(doc.Data, 'x'), doc.Revision); {
				case err == nil:
					done++
				case !errors.Is(err, store.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	doc, err := store.Dir(path).Load(t.Context(), "n")
	require.NoError(t, err)
	require.Len(t, doc.Data, writers*rounds)
	left, err := filepath.Glob(path + "/*.tmp")
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestDirTrustsItsOwnerOnly(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/d"
	s := store.Dir(path)
	revision, err := s.Save(t.Context(), "a", []byte("x"), "")
	require.NoError(t, err)
	files, err := filepath.Glob(path + "/*.doc")
	require.NoError(t, err)
	require.Len(t, files, 1)
	info, err := os.Stat(files[0])
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	for _, mode := range []os.FileMode{0o660, 0o606, 0o644} {
		require.NoError(t, os.Chmod(files[0], mode))
		_, err = s.Load(t.Context(), "a")
		require.ErrorIs(t, err, store.ErrNotAuthentic)
		_, err = s.Save(t.Context(), "a", []byte("y"), revision)
		require.ErrorIs(t, err, store.ErrNotAuthentic)
	}
	require.NoError(t, os.Chmod(files[0], 0o600))
	require.NoError(t, os.Chmod(path, 0o770))
	_, err = s.Load(t.Context(), "a")
	require.ErrorIs(t, err, store.ErrNotAuthentic)
	_, err = s.Save(t.Context(), "b", nil, "")
	require.ErrorIs(t, err, store.ErrNotAuthentic)
	require.NoError(t, os.Chmod(path, 0o700))
	require.NoError(t, os.Rename(files[0], files[0]+".moved"))
	require.NoError(t, os.Symlink(files[0]+".moved", files[0]))
	_, err = s.Load(t.Context(), "a")
	require.ErrorIs(t, err, store.ErrNotAuthentic)
}

func TestSealed(t *testing.T) {
	t.Parallel()
	_, err := store.Sealed(nil, secret)
	require.Error(t, err)
	_, err = store.Sealed(new(memory), secret[1:])
	require.ErrorContains(t, err, "32")
	inner := new(memory)
	s := sealed(t, inner)
	ctx := t.Context()
	_, err = s.Save(ctx, "a", []byte("text"), "")
	require.NoError(t, err)
	genuine := inner.docs["a"]
	require.NotContains(t, string(genuine.Data), "text")

	forge := func(name string, data []byte) {
		inner.docs[name] = store.Document{Data: data, Revision: "forged"}
	}
	forge("b", genuine.Data) // a document under another's name
	_, err = s.Load(ctx, "b")
	require.ErrorIs(t, err, store.ErrNotAuthentic)
	for i := range genuine.Data {
		changed := bytes.Clone(genuine.Data)
		changed[i] ^= 1
		forge("a", changed)
		_, err = s.Load(ctx, "a")
		require.ErrorIs(t, err, store.ErrNotAuthentic)
	}
	for _, data := range [][]byte{nil, []byte("text"), genuine.Data[:len(genuine.Data)-1], []byte("regionjwt-seal-1\n")} {
		forge("a", data)
		_, err = s.Load(ctx, "a")
		require.ErrorIs(t, err, store.ErrNotAuthentic)
	}
	other, err := store.Sealed(inner, []byte(strings.Repeat("k", 32)))
	require.NoError(t, err)
	inner.docs["a"] = genuine
	_, err = other.Load(ctx, "a")
	require.ErrorIs(t, err, store.ErrNotAuthentic)
	doc, err := s.Load(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, "text", string(doc.Data))
}
