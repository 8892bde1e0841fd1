package dpop

import "time"

// The causes, so that tests can tell which check refused.
var (
	ErrNotNew     = errNotNew
	ErrSeveral    = errSeveral
	ErrNone       = errNone
	ErrSize       = errSize
	ErrForm       = errForm
	ErrHeader     = errHeader
	ErrType       = errType
	ErrAlgorithm  = errAlgorithm
	ErrKey        = errKey
	ErrPrivate    = errPrivate
	ErrThumbprint = errThumbprint
	ErrPayload    = errPayload
	ErrMethod     = errMethod
	ErrURL        = errURL
	ErrDate       = errDate
	ErrOld        = errOld
	ErrFuture     = errFuture
	ErrToken      = errToken
	ErrID         = errID
	ErrNonce      = errNonce
	ErrSignature  = errSignature
	ErrUsed       = errUsed
	ErrFull       = errFull
)

// NormalURL lets tests reach the normal form of URLs.
var NormalURL = normalURL

// NewMemory returns the memory of a process by itself.
func NewMemory(most int, now func() time.Time) (r Replay, entries func() int) {
	m := newMemory(most, now)
	return m, func() int {
		m.mu.Lock()
		defer m.mu.Unlock()
		if len(m.entries) != len(m.byTime) {
			return -1
		}
		n := 0
		for _, of := range m.holders {
			n += of
		}
		if n != len(m.entries) {
			return -1
		}
		return n
	}
}

// CheckTokenless makes the checks of a proof that comes without an access token, as at a token endpoint: it has no ath.
func CheckTokenless(c *Checker, p Proof) error {
	j, err := parse(p.Values[0])
	if err != nil {
		return err
	}
	var h header
	if err := h.read(j.header, c.algorithms); err != nil {
		return err
	}
	if h.thumbprint != p.Thumbprint {
		return errThumbprint
	}
	var cl claims
	if err := cl.read(j.payload); err != nil {
		return err
	}
	if _, err := c.checkClaims(&cl, p); err != errToken {
		return err
	}
	return h.verify(j)
}
