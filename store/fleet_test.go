package store_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/store"
)

// bind makes stores of one inner store for a fleet, by the same key and secret for every fleet.
func bind(t *testing.T, inner store.Store, fleet string) map[string]store.Trusted {
	t.Helper()
	private := ed25519.NewKeyFromSeed(secret)
	signed, err := store.Signed(inner, fleet, store.Signing{Public: []ed25519.PublicKey{private.Public().(ed25519.PublicKey)}, Private: private})
	require.NoError(t, err)
	sealed, err := store.Encrypted(inner, fleet, secret)
	require.NoError(t, err)
	return map[string]store.Trusted{"signed": signed, "sealed": sealed}
}

// What was written for one fleet is refused in another, and the error says what to do.
func TestDocumentsAreBoundToTheirFleet(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"signed", "sealed"} {
		inner := new(memory)
		staging, production := bind(t, inner, "staging")[kind], bind(t, inner, "production")[kind]
		_, err := staging.Save(t.Context(), "a", []byte("text"), "")
		require.NoError(t, err)
		for range 2 { // verdicts are remembered
			doc, err := production.Load(t.Context(), "a")
			require.ErrorIs(t, err, store.ErrNotAuthentic)
			require.Equal(t, store.Document{Revision: inner.docs["a"].Revision}, doc, "so that it can be replaced")
			for _, says := range []string{`"staging"`, `"production"`, "-fleet", "REGIONJWT_FLEET"} {
				require.ErrorContains(t, err, says)
			}
			doc, err = staging.Load(t.Context(), "a")
			require.NoError(t, err)
			require.Equal(t, "text", string(doc.Data))
		}
		genuine := inner.docs["a"].Data
		renamed := bytes.Replace(genuine, []byte("\x07staging"), []byte("\x0aproduction"), 1)
		require.NotEqual(t, genuine, renamed)
		inner.docs["a"] = store.Document{Data: renamed, Revision: "r"}
		for _, s := range []store.Store{staging, production} {
			_, err = s.Load(t.Context(), "a")
			require.ErrorIs(t, err, store.ErrNotAuthentic)
			require.NotContains(t, err.Error(), "fleet", "what it says of itself is not true")
		}
	}
}

// No octet moves from one part of what is signed to the next.
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
		inner.docs[moved.name] = store.Document{Data: forged, Revision: "r"}
		_, err := bind(t, inner, moved.fleet)["signed"].Load(t.Context(), moved.name)
		require.ErrorIs(t, err, store.ErrNotAuthentic, "%q", moved.fleet+" "+moved.name)
	}
	_, err = bind(t, inner, "fg")["signed"].Load(t.Context(), "hi")
	require.NoError(t, err)
}

// Everything that is wrong is said at once, by the constructor.
func TestConstructorsRefuseNonsense(t *testing.T) {
	t.Parallel()
	short := ed25519.PublicKey("short")
	for _, fleet := range []string{"", strings.Repeat("f", store.MaxFleet+1), "a\nb", "a\x00", " a", "a ", "\xff", "a\u202eb"} {
		for _, inner := range []store.Store{nil, (*memory)(nil)} {
			_, err := store.Signed(inner, fleet, store.Signing{Public: []ed25519.PublicKey{short, nil, make([]byte, 33)}, Private: []byte("x")})
			for _, says := range []string{"store: Signed has no store", "fleet", "public key 0 has 5", "public key 1 has 0", "public key 2 has 33", "private key has 1"} {
				require.ErrorContains(t, err, says)
			}
			_, err = store.Encrypted(inner, fleet, secret[1:])
			for _, says := range []string{"store: Sealed has no store", "fleet", "31 octets, and needs 32"} {
				require.ErrorContains(t, err, says)
			}
		}
	}
	for _, fleet := range []string{"a", strings.Repeat("f", store.MaxFleet), "production eu-1", "\u00e4"} {
		bind(t, new(memory), fleet)
	}
}

// A Dir without a path says so, and makes nothing in the working directory.
func TestDirWithoutAPath(t *testing.T) {
	t.Parallel()
	d := store.Dir("")
	_, err := d.Load(t.Context(), "a")
	require.ErrorContains(t, err, "empty path")
	require.NotErrorIs(t, err, store.ErrNotFound)
	_, err = d.Save(t.Context(), "a", []byte("x"), "")
	require.ErrorContains(t, err, "empty path")
	left, err := filepath.Glob("*.doc")
	require.NoError(t, err)
	require.Empty(t, left)
}

// A copy is used under the fleet and the keys under which it was believed.
func TestScope(t *testing.T) {
	t.Parallel()
	inner := new(memory)
	signed, sealed := bind(t, inner, "f")["signed"], bind(t, inner, "f")["sealed"]
	one, other := store.ScopeOf(signed), store.ScopeOf(sealed)
	require.Equal(t, "f", one.Fleet)
	require.Len(t, one.Keys, 1)
	require.NotEqual(t, one.Keys, other.Keys)
	require.NotContains(t, string(secret), other.Keys[0])
	require.Equal(t, store.Scope{}, store.ScopeOf(inner))
	require.Equal(t, store.Scope{}, store.ScopeOf(store.Dir(t.TempDir())))
	both := store.Scope{Fleet: "f", Keys: append(slices.Clone(one.Keys), other.Keys...)}
	none := store.Scope{}
	for _, c := range []struct {
		now, then store.Scope
		covers    bool
	}{
		{one, one, true},
		{both, one, true},
		{one, both, false},
		{one, other, false},
		{store.Scope{Fleet: "g", Keys: one.Keys}, one, false},
		{none, none, true},
		{none, one, false},
		{one, none, false},
		{one, store.Scope{Fleet: "f"}, false},
	} {
		require.Equal(t, c.covers, c.now.Covers(c.then), c)
	}
}

// No octet more than MaxDocument is read or written, by whatever store.
func TestDocumentLength(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "d")
	d := store.Dir(path)
	for name, s := range map[string]store.Store{"dir": d, "signed": signed(t, new(memory)), "sealed": sealed(t, new(memory))} {
		_, err := s.Save(t.Context(), "a", make([]byte, store.MaxDocument+1), "")
		require.ErrorIs(t, err, store.ErrTooLarge, name)
		_, err = s.Save(t.Context(), "a", make([]byte, store.MaxDocument), "")
		require.NoError(t, err, name)
		doc, err := s.Load(t.Context(), "a")
		require.NoError(t, err, name)
		require.Len(t, doc.Data, store.MaxDocument)
	}
	files, err := filepath.Glob(path + "/*.doc")
	require.NoError(t, err)
	require.Len(t, files, 1)
	appendOctet(t, files[0])
	_, err = d.Load(t.Context(), "a")
	require.ErrorIs(t, err, store.ErrTooLarge, "a file that somebody else made longer")
}

func appendOctet(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString("x")
	require.NoError(t, err)
	require.NoError(t, f.Close())
}
