package store_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	limits "github.com/regionjwt/regionjwt/internal/document"
	"github.com/regionjwt/regionjwt/internal/trust"
	"github.com/regionjwt/regionjwt/store"
)

// bind makes stores of one inner store for a fleet, with the same key and secret for every fleet.
func bind(t *testing.T, inner store.Store, fleet string) map[string]store.Trusted {
	t.Helper()
	private, public := keyOf(secret)
	both := map[string]store.Trusted{
		"signed": store.Signed(inner, fleet, private, public), "encrypted": store.Encrypted(inner, fleet, secret),
	}
	for kind, s := range both {
		require.NoError(t, problems(s), kind)
	}
	return both
}

// What was written for one fleet is refused in another, and the error says what to do.
func TestDocumentsAreBoundToTheirFleet(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"signed", "encrypted"} {
		inner := new(memory)
		staging, production := bind(t, inner, "staging")[kind], bind(t, inner, "production")[kind]
		_, err := staging.Save(t.Context(), "a", []byte("text"), "")
		require.NoError(t, err)
		for range 2 { // verdicts are remembered
			doc, err := load(t.Context(), production, "a")
			require.ErrorIs(t, err, store.ErrNotAuthentic)
			require.Equal(t, document{Revision: inner.docs["a"].Revision}, doc, "so that it can be replaced")
			for _, says := range []string{`"staging"`, `"production"`, "--fleet", "REGIONJWT_FLEET"} {
				require.ErrorContains(t, err, says)
			}
			doc, err = load(t.Context(), staging, "a")
			require.NoError(t, err)
			require.Equal(t, "text", string(doc.Data))
		}
		genuine := inner.docs["a"].Data
		renamed := bytes.Replace(genuine, []byte("\x07staging"), []byte("\x0aproduction"), 1)
		require.NotEqual(t, genuine, renamed)
		inner.docs["a"] = document{Data: renamed, Revision: "r"}
		for _, s := range []store.Store{staging, production} {
			_, err = load(t.Context(), s, "a")
			require.ErrorIs(t, err, store.ErrNotAuthentic)
			require.NotContains(t, err.Error(), "fleet", "what it says of itself is not true")
		}
	}
}

// No byte moves from one part of what is signed to the next.
func TestPartsOfTheSignedTextDoNotMove(t *testing.T) {
	t.Parallel()
	inner := new(memory)
	mark := len("regionjwt-sign-2\n")
	_, err := bind(t, inner, "fg")["signed"].Save(t.Context(), "hi", []byte("data"), "")
	require.NoError(t, err)
	genuine := inner.docs["hi"].Data
	at, signature, data := genuine[mark+3:mark+11], genuine[mark+11:mark+75], genuine[mark+75:]
	require.Equal(t, "data", string(data))
	require.NotZero(t, binary.BigEndian.Uint64(at))
	for _, moved := range []struct {
		fleet, name string
		at, data    []byte
	}{
		{"f", "ghi", at, data},
		{"fgh", "i", at, data},
		{"fg", "h", slices.Concat([]byte("i"), at[:7]), slices.Concat(at[7:], data)},
		{"fg", "hi" + string(at[:1]), slices.Concat(at[1:], data[:1]), data[1:]},
	} {
		forged := slices.Concat(genuine[:mark], []byte{byte(len(moved.fleet))}, []byte(moved.fleet), moved.at, signature, moved.data)
		inner.docs[moved.name] = document{Data: forged, Revision: "r"}
		_, err := load(t.Context(), bind(t, inner, moved.fleet)["signed"], moved.name)
		require.ErrorIs(t, err, store.ErrNotAuthentic, "%q", moved.fleet+" "+moved.name)
	}
	_, err = load(t.Context(), bind(t, inner, "fg")["signed"], "hi")
	require.NoError(t, err)
}

// A store with wrong arguments reports every problem at once, to the constructor that gets it and in every call.
func TestWrongArgumentsAreReported(t *testing.T) {
	t.Parallel()
	keys := []store.PublicKey{{Key: ed25519.PublicKey("short")}, {}, {Key: make([]byte, 33)}}
	for _, fleet := range []string{"", strings.Repeat("f", 129), "a\nb", "a\x00", " a", "a ", "\xff", "a\u202eb"} {
		for _, inner := range []store.Store{nil, (*memory)(nil)} {
			for s, want := range map[store.Trusted][]string{
				store.Signed(inner, fleet, []byte("x"), keys...): {
					"store.Signed: there is no store", "fleet", "public key 0 has 5", "public key 1 has 0", "public key 2 has 33", "private key has 1",
				},
				store.Encrypted(inner, fleet, secret[1:]):                       {"store.Encrypted: there is no store", "fleet", "31 bytes; the minimum is 32"},
				store.Signed(store.Dir(""), fleet, nil, keys...):                {"store.Dir: the path is empty", "fleet", "public key 0 has 5"},
				store.Encrypted(store.InsecureTrust(inner), fleet, secret):      {"store.InsecureTrust: there is no store", "fleet"},
				store.InsecureTrust(store.Encrypted(inner, fleet, secret)):      {"store.Encrypted: there is no store", "fleet"},
				store.InsecureTrust(store.Signed(store.Dir(""), "f", nil)):      {"store.Dir: the path is empty", "no public key"},
				store.Encrypted(store.Signed(new(memory), "", nil), "", secret): {"store.Encrypted: the fleet", "store.Signed: the fleet"},
			} {
				_, errLoad := load(t.Context(), s, "a")
				_, errSave := s.Save(t.Context(), "a", nil, "")
				for _, err := range []error{problems(s), errLoad, errSave, s.Watch(t.Context(), "a", func() {})} {
					for _, says := range want {
						require.ErrorContains(t, err, says)
					}
					require.NotErrorIs(t, err, store.ErrNotFound)
				}
			}
		}
	}
	for _, fleet := range []string{"a", strings.Repeat("f", 128), "production eu-1", "\u00e4"} {
		bind(t, new(memory), fleet)
	}
}

// A Dir without a path says so, and makes nothing in the working directory.
func TestDirWithoutAPath(t *testing.T) {
	t.Parallel()
	d := store.Dir("")
	require.ErrorContains(t, problems(d), "Field: store.Dir: the path is empty")
	_, err := load(t.Context(), d, "a")
	require.ErrorContains(t, err, "the path is empty")
	require.NotErrorIs(t, err, store.ErrNotFound)
	_, err = d.Save(t.Context(), "a", []byte("x"), "")
	require.ErrorContains(t, err, "the path is empty")
	left, err := filepath.Glob("*.doc")
	require.NoError(t, err)
	require.Empty(t, left)
}

// wrapping is a type of a user that embeds a trusted store, and returns other documents.
type wrapping struct{ store.Trusted }

func (wrapping) Load(context.Context, string, string) ([]byte, string, error) {
	return []byte("forged"), "r", nil
}

// A type that embeds a trusted store is not one, unless somebody vouches for it.
func TestAWrapperIsNotTrusted(t *testing.T) {
	t.Parallel()
	w := wrapping{signed(new(memory))}
	require.ErrorContains(t, problems(w), "Field wraps a trusted store")
	require.NoError(t, problems(store.InsecureTrust(w)))
	require.ErrorContains(t, problems((*wrapping)(nil)), "Field is a nil pointer")
	require.NoError(t, problems(nil))
}

// A copy is used under the fleet and the keys under which it was believed.
func TestScope(t *testing.T) {
	t.Parallel()
	inner := new(memory)
	signed, encrypted := bind(t, inner, "f")["signed"], bind(t, inner, "f")["encrypted"]
	one, other := trust.Of(signed).Scope("a"), trust.Of(encrypted).Scope("a")
	require.Equal(t, "f", one.Fleet)
	require.Len(t, one.Keys, 1)
	require.NotEqual(t, one.Keys, other.Keys)
	require.NotContains(t, string(secret), other.Keys[0])
	require.Equal(t, one, trust.Of(store.InsecureTrust(signed)).Scope("a"))
	require.Equal(t, trust.Scope{}, trust.Of(store.InsecureTrust(inner)).Scope("a"))
	require.Equal(t, trust.Scope{}, trust.Of(inner).Scope("a"))
	require.Equal(t, trust.Scope{}, trust.Of(store.Dir(t.TempDir())).Scope("a"))
	both := trust.Scope{Fleet: "f", Keys: append(slices.Clone(one.Keys), other.Keys...)}
	none := trust.Scope{}
	for _, c := range []struct {
		now, then trust.Scope
		covers    bool
	}{
		{one, one, true},
		{both, one, true},
		{one, both, false},
		{one, other, false},
		{trust.Scope{Fleet: "g", Keys: one.Keys}, one, false},
		{none, none, true},
		{none, one, false},
		{one, none, false},
		{one, trust.Scope{Fleet: "f"}, false},
	} {
		require.Equal(t, c.covers, c.now.Covers(c.then), c)
	}
}

// A key with documents of its own counts for these only, when documents are written and when they are read.
func TestAKeyCountsForItsDocuments(t *testing.T) {
	t.Parallel()
	inner := new(memory)
	ours := ed25519.NewKeyFromSeed(bytes.Repeat([]byte("o"), 32))
	machine := ed25519.NewKeyFromSeed(bytes.Repeat([]byte("m"), 32))
	operator := store.PublicKey{Key: ours.Public().(ed25519.PublicKey)}
	limited := store.PublicKey{Key: machine.Public().(ed25519.PublicKey), Documents: []string{"rules/alive"}}
	everything := store.PublicKey{Key: limited.Key}
	s := store.Signed(inner, "test", machine, operator, limited)
	require.NoError(t, problems(s))
	_, err := s.Save(t.Context(), "rules", []byte("x"), "")
	require.ErrorContains(t, err, "other documents")
	_, err = store.Signed(inner, "test", machine, everything).Save(t.Context(), "rules", []byte("forged"), "")
	require.NoError(t, err)
	_, _, err = s.Load(t.Context(), "rules", "")
	require.ErrorIs(t, err, store.ErrNotAuthentic)
	_, err = s.Save(t.Context(), "rules/alive", []byte("alive"), "")
	require.NoError(t, err)
	got, _, err := s.Load(t.Context(), "rules/alive", "")
	require.NoError(t, err)
	require.Equal(t, "alive", string(got))
	info := trust.Of(s)
	require.Len(t, info.Scope("rules").Keys, 1)
	require.Len(t, info.Scope("rules/alive").Keys, 2)
	for _, name := range []string{"", strings.Repeat("n", 513)} {
		bad := store.Signed(inner, "test", nil, store.PublicKey{Key: operator.Key, Documents: []string{name}})
		require.ErrorContains(t, problems(bad), "public key 0 is for a document whose name")
	}
}

// No store reads or writes a document of more than 4 MiB.
func TestDocumentLength(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "d")
	d := store.Dir(path)
	for name, s := range map[string]store.Store{"dir": d, "signed": signed(new(memory)), "encrypted": encrypted(new(memory))} {
		_, err := s.Save(t.Context(), "a", make([]byte, limits.MaxData+1), "")
		require.ErrorIs(t, err, limits.ErrTooLarge, name)
		_, err = s.Save(t.Context(), "a", make([]byte, limits.MaxData), "")
		require.NoError(t, err, name)
		doc, err := load(t.Context(), s, "a")
		require.NoError(t, err, name)
		require.Len(t, doc.Data, limits.MaxData)
	}
	files, err := filepath.Glob(path + "/*.doc")
	require.NoError(t, err)
	require.Len(t, files, 1)
	appendByte(t, files[0])
	_, err = load(t.Context(), d, "a")
	require.ErrorIs(t, err, limits.ErrTooLarge, "a file that somebody else made longer")
}

func appendByte(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString("x")
	require.NoError(t, err)
	require.NoError(t, f.Close())
}
