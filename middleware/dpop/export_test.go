package dpop

import (
	"context"
	"time"
)

// The causes, so that tests can tell which check failed.
var (
	ErrNotNew     = errNotNew
	ErrNil        = errNil
	ErrBearer     = errBearer
	ErrUnbound    = errUnbound
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
	ErrFloor      = errFloor
)

// NormalURL lets tests reach the normal form of URLs.
var NormalURL = normalURL

// Presentation is what a request says, beside its token.
type Presentation = presentation

// CheckPresentation makes the checks of Check that need no verified token.
func CheckPresentation(ctx context.Context, c *Checker, p Presentation) error { return c.check(ctx, p) }

// NewAt is New with the size of the memory, 0 for the default, and a clock.
func NewAt(c Config, size int, now func() time.Time) (*Checker, error) {
	if size == 0 {
		size = maxProofs
	}
	return newChecker(c, size, now)
}

// Replay is the type of Config.Replay.
type Replay func(ctx context.Context, id string, until time.Time) (bool, error)

// NewMemory returns the memory of a process.
func NewMemory(most int, now func() time.Time) (r Replay, entries func() int) {
	m := newMemory(most, now)
	return m.seen, func() int {
		m.mu.Lock()
		defer m.mu.Unlock()
		if len(m.entries) != len(m.byTime) || len(m.holders) != len(m.bySize) {
			return -1
		}
		n := 0
		for _, of := range m.holders {
			n += len(of.ids)
		}
		if n != len(m.entries) {
			return -1
		}
		return n
	}
}

// MaxProofs is the size of the memory of a process.
const MaxProofs = maxProofs

// Nonces makes and checks nonces.
type Nonces struct{ *nonces }

// NewNonces returns Nonces with a clock.
func NewNonces(keys [][]byte, now func() time.Time) (Nonces, error) {
	n, err := newNonces(keys, now)
	return Nonces{n}, err
}

// Current returns the nonce of this period.
func (n Nonces) Current() string { return n.current() }

// Valid reports whether nonce is accepted.
func (n Nonces) Valid(nonce string) bool { return n.valid(nonce) }

// CheckTokenless makes the checks of a proof that comes without an access token, as at a token endpoint: it has no ath.
func CheckTokenless(c *Checker, p Presentation) error {
	j, err := parse(p.Proofs[0])
	if err != nil {
		return err
	}
	var h header
	if err := h.read(j.Header, c.algorithms); err != nil {
		return err
	}
	if h.thumbprint != p.Thumbprint {
		return errThumbprint
	}
	var cl claims
	if err := cl.read(j.Payload); err != nil {
		return err
	}
	if _, err := c.checkClaims(&cl, p); err != errToken {
		return err
	}
	return h.verify(j)
}
