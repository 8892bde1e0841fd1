package verifier

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/strictjson"
)

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

// UseAttempt uses an attempt of at least these sizes, and returns the sizes of the next one.
func UseAttempt(bytes, members int) (nextBytes, nextMembers int) {
	a := attempts.Get().(*attempt)
	a.buffer = jose.NewBuffer(max(bytes, a.buffer.Size()))
	a.members = slices.Grow(a.members[:0], members)
	a.release()
	a = attempts.Get().(*attempt)
	defer a.release()
	return a.buffer.Size(), cap(a.members)
}

// At returns c with a clock.
func (c Config) At(now func() time.Time) Config {
	c.now = now
	return c
}

// Check is what the list of checks says about one of them.
type Check struct {
	Text    string
	Reasons []Reason
}

// Checks returns the list of checks.
func Checks() (all []Check) {
	for _, c := range checks {
		all = append(all, Check{c.text, c.reasons})
	}
	return all
}

// Kept returns what an attempt keeps of a token once it has forgotten it.
func Kept(v *Verifier, raw string) string {
	a := attempts.New().(*attempt)
	a.raw = raw
	for _, c := range checks {
		if c.run(v.current(), context.Background(), a) != nil {
			break
		}
	}
	a.forget()
	a.buffer, a.members, a.parser = jose.Buffer{}, nil, strictjson.Parser{}
	return fmt.Sprintf("%+v", *a)
}
