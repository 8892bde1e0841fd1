package dynamostore_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/aws/dynamostore"
	"github.com/regionjwt/regionjwt/internal/document"
	"github.com/regionjwt/regionjwt/internal/nils/nilstest"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/store/storetest"
)

func newStore(t *testing.T, c dynamostore.Client) *dynamostore.Store {
	t.Helper()
	s, err := dynamostore.New(c, dynamostore.Config{Table: "t"})
	require.NoError(t, err)
	return s
}

func random(n int) []byte {
	data := make([]byte, n)
	_, _ = rand.Read(data)
	return data
}

func TestNew(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]dynamostore.Client{
		"nil": nil, "nil client": (*dynamodb.Client)(nil), "zero client": new(dynamodb.Client), "nil of a user": (*client)(nil),
	} {
		_, err := dynamostore.New(c, dynamostore.Config{Table: "t"})
		require.ErrorContains(t, err, "the client is nil or zero", name)
	}
	_, err := dynamostore.New(nil, dynamostore.Config{Prefix: "a b", Timeout: -1})
	for _, says := range []string{"the client is nil", "Table is empty", "Prefix has a space", "Timeout is -1ns: use 0 for 2s"} {
		require.ErrorContains(t, err, says, "every mistake at once")
	}
	var s store.Store = newStore(t, new(client))
	_, trusted := s.(store.Trusted)
	require.False(t, trusted, "others can write to the table")
	nilstest.Methods(t, "dynamostore.New", nil, []any{"name", []byte("x")}, (*dynamostore.Store)(nil), new(dynamostore.Store))
}

// The contract holds over any connection: services that do a part of a batch, and failed conditions with and without the item.
func TestContract(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]*client{
		"usual": {}, "parts of batches": {batch: 1}, "conditions without the item": {plain: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := &client{table: newTable(), batch: c.batch, plain: c.plain}
				one, other := newStore(t, c), newStore(t, &client{table: c.table})
				if c.batch == 0 {
					require.NoError(t, storetest.Check(t.Context(), one, other, "checked "))
				}
				require.NoError(t, storetest.CheckFaults(t.Context(), one, other, "faults ", c.faults()))
			})
		})
	}
}

// The largest document passes, also when the service does a part of each batch.
func TestLargestDocument(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, &client{table: newTable(), batch: 4})
		want := random(document.MaxData)
		revision, err := s.Save(t.Context(), "a", want, "")
		require.NoError(t, err)
		got, at, err := s.Load(t.Context(), "a", "")
		require.NoError(t, err)
		require.Equal(t, revision, at)
		require.True(t, bytes.Equal(want, got))
	})
}

// A poll costs one read of a small item, and a change of a small document one read and one write.
func TestRequests(t *testing.T) {
	t.Parallel()
	c := &client{table: newTable()}
	s := newStore(t, c)
	revision := ""
	for _, size := range []int{1 << 20, 3072, 0} {
		c.requests = nil
		var err error
		revision, err = s.Save(t.Context(), "a", random(size), revision)
		require.NoError(t, err)
		require.Equal(t, 1, c.count("PutItem"))
		require.Zero(t, c.count("GetItem")+c.count("BatchGetItem"))
		c.requests = nil
		_, _, err = s.Load(t.Context(), "a", revision)
		require.ErrorIs(t, err, store.ErrNotModified)
		require.Equal(t, []string{"GetItem"}, c.requests)
		size := 0
		for name, v := range c.table.get(headKey(c.table)) {
			b, _ := v.(*types.AttributeValueMemberB)
			if b != nil {
				size += len(b.Value)
			}
			size += len(name) + len(text(item{"x": v}, "x"))
		}
		require.LessOrEqual(t, size, 4000, "one read unit")
	}
}

func headKey(t *table) string {
	for _, k := range t.keys() {
		if !strings.Contains(k, "/") {
			return k
		}
	}
	return ""
}

// Chunks of the last two revisions are there, and no others: old ones, and those of a writer that lost, are deleted.
func TestGarbage(t *testing.T) {
	t.Parallel()
	c := &client{table: newTable()}
	s := newStore(t, c)
	revisions := []string{""}
	for i := range 6 {
		revision, err := s.Save(t.Context(), "a", random(1<<20), revisions[i])
		require.NoError(t, err)
		revisions = append(revisions, revision)
		_, err = s.Save(t.Context(), "a", random(1<<20), "")
		require.ErrorIs(t, err, store.ErrConflict)
		_, err = s.Save(t.Context(), "a", random(1<<20), revisions[i])
		require.ErrorIs(t, err, store.ErrConflict)
		require.Len(t, c.table.keys(), 1+3*min(i+1, 2))
		for _, k := range c.table.keys() {
			if k != headKey(c.table) {
				require.True(t, strings.Contains(k, revisions[i+1]) || strings.Contains(k, revisions[i]), k)
			}
		}
	}
	c.fail = map[string]error{"PutItem": errors.New("AccessDenied")}
	_, err := s.Save(t.Context(), "a", []byte("x"), revisions[6])
	require.ErrorContains(t, err, "AccessDenied")
	c.fail = map[string]error{"BatchWriteItem": errors.New("AccessDenied")}
	_, err = s.Save(t.Context(), "a", random(1<<20), revisions[6])
	require.ErrorContains(t, err, "AccessDenied")
	require.Len(t, c.table.keys(), 7)
}

// A reader whose head is old, because a writer was faster, looks again. Chunks that stay away are an error that says nothing of
// the document's existence.
func TestStaleHeads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &client{table: newTable()}
		s := newStore(t, c)
		first, err := s.Save(t.Context(), "a", random(1<<20), "")
		require.NoError(t, err)
		old := c.table.get(headKey(c.table))
		want := random(1 << 20)
		second, err := s.Save(t.Context(), "a", want, first)
		require.NoError(t, err)
		for _, k := range c.table.keys() { // as when two more Saves had been made
			if strings.Contains(k, first) {
				c.table.put(k, nil)
			}
		}
		c.stale = []item{old, old}
		data, revision, err := s.Load(t.Context(), "a", first+"x")
		require.NoError(t, err)
		require.Equal(t, second, revision)
		require.True(t, bytes.Equal(want, data))

		for _, k := range c.table.keys() {
			if strings.HasSuffix(k, "/2") {
				c.table.put(k, nil)
			}
		}
		before := c.count("GetItem")
		data, revision, err = s.Load(t.Context(), "a", "")
		require.ErrorContains(t, err, "a part of the document is missing")
		require.ErrorContains(t, err, headKey(c.table))
		for _, wrong := range []error{store.ErrNotFound, store.ErrNotAuthentic, store.ErrNotModified} {
			require.NotErrorIs(t, err, wrong)
		}
		require.Empty(t, data)
		require.Empty(t, revision)
		require.Equal(t, 4, c.count("GetItem")-before)
	})
}

// What other programs write is no document, and no reason to panic; a document that they changed can be replaced.
func TestForeignItems(t *testing.T) {
	t.Parallel()
	c := &client{table: newTable()}
	s := newStore(t, c)
	revision, err := s.Save(t.Context(), "a", []byte("data"), "")
	require.NoError(t, err)
	key := headKey(c.table)
	good := c.table.get(key)
	str := func(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }
	for name, change := range map[string]item{
		"no revision": {"rev": nil}, "a number": {"rev": &types.AttributeValueMemberN{Value: "1"}}, "empty": {"rev": str("")},
		"too many chunks": {"rev": str(strings.Repeat("a", 32) + ".12")}, "a huge number": {"rev": str(strings.Repeat("a", 32) + ".9999999999999999999")},
		"negative": {"rev": str(strings.Repeat("a", 32) + ".-1")}, "a leading zero": {"rev": str(strings.Repeat("a", 32) + ".01")},
		"not hexadecimal": {"rev": str(strings.Repeat("/", 32) + ".0")}, "no count": {"rev": str(strings.Repeat("a", 32))},
		"no sum": {"sum": nil}, "a short sum": {"sum": &types.AttributeValueMemberB{Value: []byte("x")}}, "null": {"rev": &types.AttributeValueMemberNULL{Value: true}},
	} {
		foreign := c.table.get(key)
		for k, v := range change {
			foreign[k] = v
			if v == nil {
				delete(foreign, k)
			}
		}
		c.table.put(key, foreign)
		for _, ifNot := range []string{"", revision} {
			data, at, err := s.Load(t.Context(), "a", ifNot)
			require.ErrorIs(t, err, store.ErrNotAuthentic, name)
			require.ErrorContains(t, err, key)
			require.Empty(t, data)
			require.Empty(t, at)
		}
		_, err = s.Save(t.Context(), "a", nil, "")
		require.ErrorIs(t, err, store.ErrNotAuthentic, name)
		c.table.put(key, good)
	}
	changed := c.table.get(key)
	changed["data"] = &types.AttributeValueMemberB{Value: []byte("evil")}
	c.table.put(key, changed)
	data, at, err := s.Load(t.Context(), "a", "")
	require.ErrorIs(t, err, store.ErrNotAuthentic)
	require.Empty(t, data)
	require.Equal(t, revision, at)
	_, err = s.Save(t.Context(), "a", []byte("new"), at)
	require.NoError(t, err)

	huge := c.table.get(key)
	long := random(document.MaxData + 1)
	sum := sha256.Sum256(long)
	huge["data"], huge["sum"] = &types.AttributeValueMemberB{Value: long}, &types.AttributeValueMemberB{Value: sum[:]}
	c.table.put(key, huge)
	_, _, err = s.Load(t.Context(), "a", "")
	require.ErrorIs(t, err, document.ErrTooLarge)
}

// A Save has Config.Timeout, even if its caller has no deadline; so has a Load.
func TestTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &client{table: newTable(), silence: make(chan struct{})}
		s, err := dynamostore.New(c, dynamostore.Config{Table: "t", Timeout: 3 * time.Second})
		require.NoError(t, err)
		for _, call := range []func() error{
			func() error { _, _, err := s.Load(t.Context(), "a", ""); return err },
			func() error { _, err := s.Save(t.Context(), "a", nil, ""); return err },
			func() error { _, err := s.Save(t.Context(), "a", random(1<<20), ""); return err },
		} {
			began := time.Now()
			err := call()
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorContains(t, err, "within 3s")
			require.Equal(t, 3*time.Second, time.Since(began))
		}
	})
}
