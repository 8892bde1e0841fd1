package verifier_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/regionjwt/regionjwt/verifier"
)

// BenchmarkTable compares the table of the cache with golang-lru, on 10,000 tokens of 1 KB under one digest or the other: what it
// takes to find a token, from one goroutine and from GOMAXPROCS, and what an entry takes besides the token. The argument for a
// table of our own stands on it: docs/decisions.md.
func BenchmarkTable(b *testing.B) {
	const size = 10_000
	raws := make([]string, size)
	for i := range raws {
		raws[i] = strings.Repeat(fmt.Sprintf("%08d", i), 128)
	}
	order := rand.New(rand.NewPCG(1, 2)).Perm(size) // the same order each time
	own := verifier.NewCache(2 * size)
	now := time.Now()
	before := heap()
	for _, raw := range raws {
		own.Add(raw, len(raw), now.Add(time.Hour), now)
	}
	ownBytes := float64(heap()-before) / size
	before = heap()
	tokens := make([]*verifier.Token, size)
	for i := range tokens {
		tokens[i] = new(verifier.Token)
	}
	ownBytes -= float64(heap()-before)/size - 8 // NewCache.Add makes a Token for each entry, and no list of them
	runtime.KeepAlive(tokens)
	plain := func(raw string) [32]byte { return sha256.Sum256([]byte(raw)) }
	for _, c := range []struct {
		name   string
		shards int
		digest func(string) [32]byte
	}{
		{"golang-lru, GMAC", 1, own.Digest},
		{"golang-lru in 16 shards, GMAC", 16, own.Digest},
		{"golang-lru, SHA-256", 1, plain},
		{"golang-lru in 16 shards, SHA-256", 16, plain},
	} {
		before := heap()
		shards := make([]*lru.Cache[[32]byte, *verifier.Token], c.shards)
		for i := range shards {
			shards[i], _ = lru.New[[32]byte, *verifier.Token](2 * size / c.shards)
		}
		shard := func(d *[32]byte) *lru.Cache[[32]byte, *verifier.Token] {
			return shards[binary.LittleEndian.Uint64(d[8:])%uint64(c.shards)]
		}
		token := new(verifier.Token)
		for _, raw := range raws {
			d := c.digest(raw)
			shard(&d).Add(d, token)
		}
		bytes := float64(heap()-before) / size
		race(b, c.name, raws, order, bytes, func(raw string) bool {
			d := c.digest(raw)
			_, ok := shard(&d).Get(d)
			return ok
		})
	}
	race(b, "own table, GMAC", raws, order, ownBytes, own.Find)
}

func race(b *testing.B, name string, raws []string, order []int, bytes float64, find func(string) bool) {
	b.Helper()
	b.Run(name+"/alone", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if !find(raws[order[i%len(order)]]) {
				b.Fatal("lost")
			}
		}
		b.ReportMetric(bytes, "B/entry")
	})
	b.Run(name+"/together", func(b *testing.B) {
		var start atomic.Int64
		b.RunParallel(func(pb *testing.PB) {
			i := int(start.Add(1)) * len(order) / 7
			for ; pb.Next(); i++ {
				if !find(raws[order[i%len(order)]]) {
					b.Error("lost")
				}
			}
		})
	})
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
