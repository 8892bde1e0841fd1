package store_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/store/storetest"
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

func sealed(t *testing.T, inner store.Store) store.Trusted {
	t.Helper()
	s, err := store.Encrypted(inner, "test", secret)
	require.NoError(t, err)
	return s
}

func signed(t *testing.T, inner store.Store) store.Trusted {
	t.Helper()
	seed := ed25519.NewKeyFromSeed(secret)
	s, err := store.Signed(inner, "test", store.Signing{Public: []ed25519.PublicKey{seed.Public().(ed25519.PublicKey)}, Private: seed})
	require.NoError(t, err)
	return s
}

func TestContract(t *testing.T) {
	t.Parallel()
	same := new(memory)
	dir := filepath.Join(t.TempDir(), "a", "b")
	for name, pair := range map[string][2]store.Store{
		"dir":                   {store.Dir(dir), store.Dir(dir)},
		"sealed dir":            {sealed(t, store.Dir(dir+"1")), sealed(t, store.Dir(dir+"1"))},
		"sealed memory":         {sealed(t, same), sealed(t, same)},
		"signed dir":            {signed(t, store.Dir(dir+"2")), signed(t, store.Dir(dir+"2"))},
		"signed, sealed memory": {signed(t, sealed(t, same)), signed(t, sealed(t, same))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.NoError(t, storetest.Check(t.Context(), pair[0], pair[1], name+" "))
		})
	}
	require.Error(t, storetest.Check(t.Context(), new(memory), new(memory), ""), "two memories are not one")
}

func TestSigned(t *testing.T) {
	t.Parallel()
	private := ed25519.NewKeyFromSeed(secret)
	public := []ed25519.PublicKey{private.Public().(ed25519.PublicKey)}
	for _, c := range []store.Signing{{}, {Public: []ed25519.PublicKey{nil}}, {Public: public, Private: private[:9]}} {
		_, err := store.Signed(new(memory), "test", c)
		require.Error(t, err)
	}
	_, err := store.Signed(nil, "test", store.Signing{Public: public})
	require.Error(t, err)
	inner := new(memory)
	operator := signed(t, inner)
	service, err := store.Signed(inner, "test", store.Signing{Public: public})
	require.NoError(t, err)
	ctx := t.Context()
	_, err = service.Save(ctx, "a", []byte("text"), "")
	require.ErrorIs(t, err, store.ErrNoPrivateKey)
	_, err = operator.Save(ctx, "a", []byte("text"), "")
	require.NoError(t, err)
	doc, err := service.Load(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, "text", string(doc.Data))

	// Whoever can write to the store inside, and has no key, gets nothing through.
	genuine := inner.docs["a"]
	inner.docs["b"] = genuine // a document under another's name
	_, err = service.Load(ctx, "b")
	require.ErrorIs(t, err, store.ErrNotAuthentic)
	mallory := ed25519.NewKeyFromSeed([]byte(strings.Repeat("m", 32)))
	_, err = store.Signed(inner, "test", store.Signing{Public: public, Private: mallory})
	require.ErrorContains(t, err, "not among", "what it signs could not be loaded again")
	forger, err := store.Signed(inner, "test", store.Signing{Public: []ed25519.PublicKey{mallory.Public().(ed25519.PublicKey)}, Private: mallory})
	require.NoError(t, err)
	_, err = forger.Save(ctx, "c", []byte("text"), "")
	require.NoError(t, err)
	_, err = service.Load(ctx, "c")
	require.ErrorIs(t, err, store.ErrNotAuthentic)
	for i := range genuine.Data {
		changed := bytes.Clone(genuine.Data)
		changed[i] ^= 1
		inner.docs["a"] = store.Document{Data: changed, Revision: "r"}
		_, err = service.Load(ctx, "a")
		require.ErrorIs(t, err, store.ErrNotAuthentic)
	}
	for _, data := range [][]byte{nil, []byte("text"), genuine.Data[:len(genuine.Data)-1], []byte("regionjwt-sign-2\n"), []byte("regionjwt-sign-2\n\x04tes"), []byte("regionjwt-sign-2\n\xff")} {
		inner.docs["a"] = store.Document{Data: data, Revision: "r"}
		broken, err := service.Load(ctx, "a")
		require.ErrorIs(t, err, store.ErrNotAuthentic)
		require.Equal(t, "r", broken.Revision, "so that it can be replaced")
	}
	// A key is exchanged: documents of the old one and of the new one count, until the old one is dropped.
	newer := mallory.Public().(ed25519.PublicKey)
	both, err := store.Signed(inner, "test", store.Signing{Public: append(public, newer)})
	require.NoError(t, err)
	inner.docs["a"] = genuine
	for _, name := range []string{"a", "c"} {
		_, err = both.Load(ctx, name)
		require.NoError(t, err)
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
	_, err := store.Encrypted(nil, "test", secret)
	require.Error(t, err)
	_, err = store.Encrypted(new(memory), "test", secret[1:])
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
	for _, data := range [][]byte{nil, []byte("text"), genuine.Data[:len(genuine.Data)-1], []byte("regionjwt-seal-2\n"), []byte("regionjwt-seal-2\n\x04tes"), []byte("regionjwt-seal-2\n\xff")} {
		forge("a", data)
		_, err = s.Load(ctx, "a")
		require.ErrorIs(t, err, store.ErrNotAuthentic)
	}
	other, err := store.Encrypted(inner, "test", []byte(strings.Repeat("k", 32)))
	require.NoError(t, err)
	inner.docs["a"] = genuine
	_, err = other.Load(ctx, "a")
	require.ErrorIs(t, err, store.ErrNotAuthentic)
	doc, err := s.Load(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, "text", string(doc.Data))
}
