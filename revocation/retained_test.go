package revocation_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
)

// heap returns the bytes in use, in MiB.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc >> 20
}

// A rule does not hold the memory of the document or of the token in which it came: otherwise each change of the rules would
// cost a process the size of the whole document, for as long as the newest rule of it lives.
func TestRulesHoldNoOtherMemory(t *testing.T) { //nolint:paralleltest // it looks at the heap
	m := &memory{}
	open := func() *revocation.List {
		l, err := revocation.New(revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{m}}})
		require.NoError(t, err)
		require.NoError(t, l.Load(t.Context()))
		return l
	}
	writer := open()
	add := func(id, note string) {
		t.Helper()
		_, err := writer.Add(context.Background(), revocation.Rule{Provider: "shop", TokenID: id, Note: note})
		require.NoError(t, err)
	}
	note := strings.Repeat("n", 500)
	for i := range 600 {
		add(fmt.Sprintf("first-%d", i), note)
	}
	reader := open()
	m.old = nil
	before := heap()
	for i := range 60 {
		token := strings.Repeat("t", 1<<20) + fmt.Sprintf("later-%d", i)
		add(token[1<<20:], "")
		require.NoError(t, reader.Load(t.Context()))
	}
	m.old = nil
	require.Len(t, reader.Rules(), 660)
	require.Less(t, heap(), before+10, "each token has a megabyte, and each document nearly half of one")
	runtime.KeepAlive([]*revocation.List{writer, reader})
}
