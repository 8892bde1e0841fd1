package verifier

import (
	"slices"
	"time"
)

// NumericDate lets tests reach the reader of dates.
var NumericDate = numericDate

// Remembered tells how many tokens a Verifier remembers, and what their memory is taken to be.
func Remembered(v *Verifier) (entries, size int) {
	c := v.state.Load().cache
	if c == nil {
		return 0, 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.entries, c.bytes
}

// Cache is the cache of verified tokens, for tests of its bounds.
type Cache struct{ c *cache }

// NewCache makes a Cache.
func NewCache(size int) Cache { return Cache{newCache(size)} }

// Add remembers a token with that payload.
func (c Cache) Add(raw string, payload int, until, now time.Time) {
	c.c.put(c.c.digest(raw), &Token{text: payload, until: until}, nil, nil, now)
}

// Find reports whether a token is remembered.
func (c Cache) Find(raw string) bool { return c.c.get(c.c.digest(raw)) != nil }

// Entries counts what is remembered, by its accounts and by walking the table.
func (c Cache) Entries() (counted, walked, bytes, walkedBytes int) {
	for i := range c.c.table {
		for r := c.c.table[i].Load(); r != nil; r = r.next.Load() {
			walked++
			walkedBytes += r.token.size()
		}
	}
	return c.c.entries, walked, c.c.bytes, walkedBytes
}

// Digest computes the digest of a text.
func (c Cache) Digest(raw string) [32]byte { return c.c.digest(raw) }

// Keyed reports whether digests depend on keys of the process.
func (c Cache) Keyed() bool { return c.c.gmac != nil }

// BufferSize is the size of the buffer in which the next digest is computed.
func (c Cache) BufferSize() int {
	b := c.c.buffers.Get().(*digestBuffer)
	defer c.c.buffers.Put(b)
	return cap(b.text)
}

// KeptBytes and KeptMembers are the bounds of buffers that are kept.
const (
	KeptBytes   = keptBytes
	KeptMembers = keptMembers
)

// UseScratch uses a scratch of at least these sizes, and returns the sizes of the next one.
func UseScratch(decoded, input, members int) (nextDecoded, nextInput, nextMembers int) {
	sc := scratches.Get().(*scratch)
	sc.decoded = slices.Grow(sc.decoded[:0], decoded)
	sc.input = slices.Grow(sc.input[:0], input)
	sc.members = slices.Grow(sc.members[:0], members)
	sc.release()
	sc = scratches.Get().(*scratch)
	defer sc.release()
	return cap(sc.decoded), cap(sc.input), cap(sc.members)
}

// At returns c with a clock.
func (c Config) At(now func() time.Time) Config {
	c.now = now
	return c
}
