package verifier

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// cache holds verified tokens under a digest of their text. Only a token that passed every check gets in, so only a holder of
// valid tokens can fill it, and a hit is used only together with the checks of state.fromCache.
//
// Reading takes no lock: a table of chains, each link an atomic pointer. Writers, which have just checked a signature, take
// turns. If it is full, a clock hand goes round the table and removes what has expired or was not used since the hand last came
// by: tokens that are used once make room before those that are used again.
type cache struct {
	digester
	table []atomic.Pointer[cachedToken]
	shift uint // of the digest's first word, to its place in the table

	maxEntries, maxBytes int

	mu             sync.Mutex // guards what follows, and every write to a link
	entries, bytes int
	hand           int
}

// cachedToken is an entry of the cache.
type cachedToken struct {
	next   atomic.Pointer[cachedToken]
	digest digest
	token  *Token
	entry  *issuerEntry          // of its iss, in the configuration of the cache
	rules  atomic.Pointer[rules] // of revocation, that did not match it; nil if it must be asked about
	used   atomic.Bool
}

// Estimates of the memory of an entry, beside the texts that its token holds, and of an average entry, by which the memory of
// all is bounded.
const (
	entryBytes   = 96 + 512 // cachedToken with its place in the table, and Token
	actorBytes   = 48
	averageBytes = 2 << 10
)

func newCache(maxEntries int) *cache {
	size := bits.Len(uint(maxEntries - 1))
	c := &cache{maxEntries: maxEntries, maxBytes: maxEntries * averageBytes, shift: uint(64 - size)}
	c.table = make([]atomic.Pointer[cachedToken], 1<<size)
	c.init()
	return c
}

func (c *cache) place(d *digest) int { return int(binary.LittleEndian.Uint64(d[:]) >> c.shift) }

// get returns the token under d, or nil.
func (c *cache) get(d digest) *cachedToken {
	for r := c.table[c.place(&d)].Load(); r != nil; r = r.next.Load() {
		if r.digest == d {
			if !r.used.Load() {
				r.used.Store(true)
			}
			return r
		}
	}
	return nil
}

// put adds a token that those rules did not match.
func (c *cache) put(d digest, tok *Token, e *issuerEntry, unmatched *rules, now time.Time) {
	r := &cachedToken{digest: d, token: tok, entry: e}
	r.rules.Store(unmatched)
	size := tok.size()
	if size > c.maxBytes {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	head := &c.table[c.place(&d)]
	c.remove(head, func(old *cachedToken) bool { return old.digest == d })
	for c.entries >= c.maxEntries || c.bytes+size > c.maxBytes {
		c.remove(&c.table[c.hand], func(old *cachedToken) bool {
			return !old.used.Swap(false) || now.After(old.token.until)
		})
		c.hand = (c.hand + 1) % len(c.table)
	}
	r.next.Store(head.Load())
	head.Store(r)
	c.entries++
	c.bytes += size
}

// remove removes those of a chain that match. A reader of the chain still gets to its end. The caller holds mu.
func (c *cache) remove(link *atomic.Pointer[cachedToken], match func(*cachedToken) bool) {
	for r := link.Load(); r != nil; r = link.Load() {
		if !match(r) {
			link = &r.next
			continue
		}
		link.Store(r.next.Load())
		c.entries--
		c.bytes -= r.token.size()
	}
}

// size estimates the memory that a token takes in the cache.
func (t *Token) size() int {
	const text = 16 // a string's header
	n := entryBytes + t.text + (len(t.audience)+len(t.scopes.list)+len(t.clients))*text
	for a := t.actor; a != nil; a = a.Previous {
		n += actorBytes + len(a.Issuer) + len(a.Subject) // which are copies if they had escapes
	}
	return n
}

// digest identifies a token's text.
type digest [sha256.Size]byte

// digester computes digests with keys that nobody outside the process knows: GMAC over the text, a universal hash, and over
// that one block of AES, a pseudorandom permutation. For two different texts of at most 1 MiB the digests are equal with a
// probability of at most 2^-111 (2^-121 for 1 KiB), if someone chose the texts, because nothing that depends on the keys can be
// seen from outside: not even the place in the table, which the second key hides. No token and no digest is ever given out.
//
// Where FIPS 140 mode is on, GMAC with a fixed nonce is not allowed: the digest is then SHA-256 in full.
type digester struct {
	gmac    cipher.AEAD // nil in FIPS 140 mode
	hide    cipher.Block
	buffers sync.Pool
}

type digestBuffer struct {
	text []byte
	tag  [aes.BlockSize]byte
}

func (g *digester) init() {
	g.buffers.New = func() any { return &digestBuffer{text: make([]byte, 0, 2<<10)} }
	if fips140.Enabled() {
		return
	}
	var keys [2][aes.BlockSize]byte
	_, _ = rand.Read(keys[0][:]) // never fails
	_, _ = rand.Read(keys[1][:])
	block, err := aes.NewCipher(keys[0][:])
	if err != nil {
		return // a length that it does not take; SHA-256 will do
	}
	hide, err := aes.NewCipher(keys[1][:])
	if err != nil {
		return
	}
	if gmac, err := cipher.NewGCM(block); err == nil {
		g.gmac, g.hide = gmac, hide
	}
}

var fixedNonce = make([]byte, 12)

func (g *digester) digest(text string) (d digest) {
	b := g.buffers.Get().(*digestBuffer)
	b.text = append(b.text[:0], text...)
	if g.gmac == nil {
		d = sha256.Sum256(b.text)
	} else {
		g.gmac.Seal(b.tag[:0], fixedNonce, nil, b.text) //nolint:gosec // nothing is encrypted; see digester
		g.hide.Encrypt(b.tag[:], b.tag[:])
		copy(d[:], b.tag[:])
	}
	if cap(b.text) <= keptBytes {
		g.buffers.Put(b)
	}
	return d
}
