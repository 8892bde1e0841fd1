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
	"time"

	"github.com/stretchr/testify/require"

	limits "github.com/regionjwt/regionjwt/internal/document"
	"github.com/regionjwt/regionjwt/internal/trust"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/store/storetest"
)

var secret = []byte("0123456789abcdef0123456789abcdef")

// document is what a memory holds under a name.
type document struct {
	Data     []byte
	Revision string
}

// load loads a document, whatever its revision is.
func load(ctx context.Context, s store.Store, name string) (document, error) {
	data, revision, err := s.Load(ctx, name, "")
	return document{data, revision}, err
}

// memory is a store that anyone can write to.
type memory struct {
	mu   sync.Mutex
	docs map[string]document
	n    int
}

func (m *memory) Load(_ context.Context, name, ifNot string) ([]byte, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch d, ok := m.docs[name]; {
	case !ok:
		return nil, "", store.ErrNotFound
	case d.Revision == ifNot:
		return nil, ifNot, store.ErrNotModified
	default:
		return bytes.Clone(d.Data), d.Revision, nil
	}
}

func (*memory) Watch(ctx context.Context, _ string, _ func()) error {
	<-ctx.Done()
	return ctx.Err()
}

func (m *memory) Save(_ context.Context, name string, data []byte, ifRevision string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.docs[name].Revision != ifRevision {
		return "", store.ErrConflict
	}
	m.n++
	d := document{Data: bytes.Clone(data), Revision: fmt.Sprint(m.n)}
	if m.docs == nil {
		m.docs = map[string]document{}
	}
	m.docs[name] = d
	return d.Revision, nil
}

func encrypted(inner store.Store) store.Trusted { return store.Encrypted(inner, "test", secret) }

// keyOf is a private key, and its public half.
func keyOf(seed []byte) (ed25519.PrivateKey, store.PublicKey) {
	private := ed25519.NewKeyFromSeed(seed)
	return private, store.PublicKey{Key: private.Public().(ed25519.PublicKey)}
}

func signed(inner store.Store) store.Trusted {
	private, public := keyOf(secret)
	return store.Signed(inner, "test", private, public)
}

// problems are those that constructors report for a store.
func problems(s store.Store) error { return errors.Join(trust.Check("Field", s)...) }

func TestContract(t *testing.T) {
	t.Parallel()
	same := new(memory)
	dir := filepath.Join(t.TempDir(), "a", "b")
	for name, pair := range map[string][2]store.Store{
		"dir":                      {store.Dir(dir), store.Dir(dir)},
		"encrypted dir":            {encrypted(store.Dir(dir + "1")), encrypted(store.Dir(dir + "1"))},
		"encrypted memory":         {encrypted(same), encrypted(same)},
		"signed dir":               {signed(store.Dir(dir + "2")), signed(store.Dir(dir + "2"))},
		"signed, encrypted memory": {signed(encrypted(same)), signed(encrypted(same))},
		"vouched for":              {store.InsecureTrust(same), store.InsecureTrust(same)},
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
	private, public := keyOf(secret)
	for _, s := range []store.Trusted{
		store.Signed(new(memory), "test", nil), store.Signed(new(memory), "test", nil, store.PublicKey{}),
		store.Signed(new(memory), "test", private[:9], public), store.Signed(nil, "test", nil, public),
	} {
		require.Error(t, problems(s))
	}
	inner := new(memory)
	operator := signed(inner)
	service := store.Signed(inner, "test", nil, public)
	ctx := t.Context()
	_, err := service.Save(ctx, "a", []byte("text"), "")
	require.ErrorContains(t, err, "no private key")
	_, err = operator.Save(ctx, "a", []byte("text"), "")
	require.NoError(t, err)
	doc, err := load(ctx, service, "a")
	require.NoError(t, err)
	require.Equal(t, "text", string(doc.Data))

	// A document that was written to the inner store without the key is rejected.
	genuine := inner.docs["a"]
	inner.docs["b"] = genuine // a document under another's name
	_, err = load(ctx, service, "b")
	require.ErrorIs(t, err, store.ErrNotAuthentic)
	mallory, theirs := keyOf([]byte(strings.Repeat("m", 32)))
	require.ErrorContains(t, problems(store.Signed(inner, "test", mallory, public)), "not among", "what it signs could not be loaded again")
	forger := store.Signed(inner, "test", mallory, theirs)
	_, err = forger.Save(ctx, "c", []byte("text"), "")
	require.NoError(t, err)
	_, err = load(ctx, service, "c")
	require.ErrorIs(t, err, store.ErrNotAuthentic)
	for i := range genuine.Data {
		changed := bytes.Clone(genuine.Data)
		changed[i] ^= 1
		inner.docs["a"] = document{Data: changed, Revision: "r"}
		_, err = load(ctx, service, "a")
		require.ErrorIs(t, err, store.ErrNotAuthentic)
	}
	for _, data := range [][]byte{nil, []byte("text"), genuine.Data[:len(genuine.Data)-1], []byte("regionjwt-sign-2\n"), []byte("regionjwt-sign-2\n\x04tes"), []byte("regionjwt-sign-2\n\xff")} {
		inner.docs["a"] = document{Data: data, Revision: "r"}
		broken, err := load(ctx, service, "a")
		require.ErrorIs(t, err, store.ErrNotAuthentic)
		require.Equal(t, "r", broken.Revision, "so that it can be replaced")
	}
	// While keys are rotated, documents of the old one and of the new one are accepted, until the old one is dropped.
	both := store.Signed(inner, "test", nil, public, theirs)
	inner.docs["a"] = genuine
	for _, name := range []string{"a", "c"} {
		_, err = load(ctx, both, name)
		require.NoError(t, err)
	}
}

func TestDirBounds(t *testing.T) {
	t.Parallel()
	s := store.Dir(t.TempDir() + "/d")
	_, err := load(t.Context(), s, "")
	require.ErrorIs(t, err, limits.ErrTooLarge)
	_, err = s.Save(t.Context(), strings.Repeat("n", limits.MaxName+1), nil, "")
	require.ErrorIs(t, err, limits.ErrTooLarge)
	_, err = s.Save(t.Context(), "a", make([]byte, limits.MaxData+1), "")
	require.ErrorIs(t, err, limits.ErrTooLarge)
	_, err = s.Save(t.Context(), "a", make([]byte, limits.MaxData), "")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = load(ctx, s, "a")
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
				doc, err := load(t.Context(), s, "n")
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
	doc, err := load(t.Context(), store.Dir(path), "n")
	require.NoError(t, err)
	require.Len(t, doc.Data, writers*rounds)
	left, err := filepath.Glob(path + "/*.tmp")
	require.NoError(t, err)
	require.Empty(t, left)
}

// Save removes what a writer that was killed has left, and nothing of a writer that is at work.
func TestDirRemovesLeftovers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "d")
	s := store.Dir(path)
	revision, err := s.Save(t.Context(), "a", []byte("x"), "")
	require.NoError(t, err)
	docs, err := filepath.Glob(filepath.Join(path, "*.doc"))
	require.NoError(t, err)
	require.Len(t, docs, 1)
	old, young := docs[0]+".0123456789abcdef.tmp", docs[0]+".fedcba9876543210.tmp"
	others := []string{filepath.Join(path, "mine.tmp"), docs[0] + ".tmp"}
	hourAgo := time.Now().Add(-time.Hour)
	for _, file := range append([]string{old, young}, others...) {
		require.NoError(t, os.WriteFile(file, nil, 0o600))
		if file != young {
			require.NoError(t, os.Chtimes(file, hourAgo, hourAgo))
		}
	}
	_, err = s.Save(t.Context(), "a", []byte("y"), revision)
	require.NoError(t, err)
	require.NoFileExists(t, old)
	for _, file := range append([]string{young}, others...) {
		require.FileExists(t, file)
	}
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
		_, err = load(t.Context(), s, "a")
		require.ErrorIs(t, err, store.ErrNotAuthentic)
		_, err = s.Save(t.Context(), "a", []byte("y"), revision)
		require.ErrorIs(t, err, store.ErrNotAuthentic)
	}
	require.NoError(t, os.Chmod(files[0], 0o600))
	require.NoError(t, os.Chmod(path, 0o770))
	_, err = load(t.Context(), s, "a")
	require.ErrorIs(t, err, store.ErrNotAuthentic)
	_, err = s.Save(t.Context(), "b", nil, "")
	require.ErrorIs(t, err, store.ErrNotAuthentic)
	require.NoError(t, os.Chmod(path, 0o700))
	require.NoError(t, os.Rename(files[0], files[0]+".moved"))
	require.NoError(t, os.Symlink(files[0]+".moved", files[0]))
	_, err = load(t.Context(), s, "a")
	require.ErrorIs(t, err, store.ErrNotAuthentic)
}

// A directory that others may enter shows before the first document is written, with its path and how to correct it.
func TestDirIsJudgedWhileItIsEmpty(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "d")
	s := store.Dir(path)
	_, err := load(t.Context(), s, "a")
	require.ErrorIs(t, err, store.ErrNotFound, "it is not there yet")
	require.NoError(t, os.Mkdir(path, 0o700))
	for _, mode := range []os.FileMode{0o755, 0o711, 0o770, 0o702} {
		require.NoError(t, os.Chmod(path, mode))
		_, err = load(t.Context(), s, "a")
		require.ErrorIs(t, err, store.ErrNotAuthentic)
		require.ErrorContains(t, err, fmt.Sprintf("others may read or write %s (mode %04o): find out who did, then chmod 700 it", path, mode))
	}
	require.NoError(t, os.Chmod(path, 0o700))
	_, err = load(t.Context(), s, "a")
	require.ErrorIs(t, err, store.ErrNotFound)
}

func TestEncrypted(t *testing.T) {
	t.Parallel()
	require.Error(t, problems(store.Encrypted(nil, "test", secret)))
	require.ErrorContains(t, problems(store.Encrypted(new(memory), "test", secret[1:])), "32")
	inner := new(memory)
	s := encrypted(inner)
	ctx := t.Context()
	_, err := s.Save(ctx, "a", []byte("text"), "")
	require.NoError(t, err)
	genuine := inner.docs["a"]
	require.NotContains(t, string(genuine.Data), "text")

	forge := func(name string, data []byte) {
		inner.docs[name] = document{Data: data, Revision: "forged"}
	}
	forge("b", genuine.Data) // a document under another's name
	_, err = load(ctx, s, "b")
	require.ErrorIs(t, err, store.ErrNotAuthentic)
	for i := range genuine.Data {
		changed := bytes.Clone(genuine.Data)
		changed[i] ^= 1
		forge("a", changed)
		_, err = load(ctx, s, "a")
		require.ErrorIs(t, err, store.ErrNotAuthentic)
	}
	for _, data := range [][]byte{nil, []byte("text"), genuine.Data[:len(genuine.Data)-1], []byte("regionjwt-seal-2\n"), []byte("regionjwt-seal-2\n\x04tes"), []byte("regionjwt-seal-2\n\xff")} {
		forge("a", data)
		_, err = load(ctx, s, "a")
		require.ErrorIs(t, err, store.ErrNotAuthentic)
	}
	other := store.Encrypted(inner, "test", []byte(strings.Repeat("k", 32)))
	inner.docs["a"] = genuine
	_, err = load(ctx, other, "a")
	require.ErrorIs(t, err, store.ErrNotAuthentic)
	doc, err := load(ctx, s, "a")
	require.NoError(t, err)
	require.Equal(t, "text", string(doc.Data))
}
