package dpop

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"
)

// The constants of nonces.
const (
	noncePeriod  = 5 * time.Minute
	minNonceKey  = 32
	maxNonceKeys = 4
	nonceBytes   = 16
)

// nonces makes and checks nonces. They are not stored: each is a keyed digest of the time. It is safe for concurrent use.
type nonces struct {
	keys [][]byte
	now  func() time.Time
}

// newNonces returns nil if there is no key.
func newNonces(keys [][]byte, now func() time.Time) (*nonces, error) {
	if len(keys) == 0 {
		return nil, nil //nolint:nilnil // no nonce is needed
	}
	var errs []error
	if len(keys) > maxNonceKeys {
		errs = append(errs, fmt.Errorf("dpop: NonceKeys has more than %d keys", maxNonceKeys))
	}
	n := &nonces{now: now}
	for i, k := range keys {
		if len(k) < minNonceKey {
			errs = append(errs, fmt.Errorf("dpop: NonceKeys[%d] has fewer than %d bytes", i, minNonceKey))
		}
		n.keys = append(n.keys, slices.Clone(k))
	}
	return n, errors.Join(errs...)
}

// current returns the nonce of this period.
func (n *nonces) current() string { return n.make(n.keys[0], n.window()) }

// valid reports whether nonce is the one of this period or of the previous one. That of the next period is accepted, too: the
// clock of the process that gave it out may be ahead.
func (n *nonces) valid(nonce string) bool {
	if len(nonce) != base64.RawURLEncoding.EncodedLen(nonceBytes) {
		return false
	}
	now := n.window()
	for _, w := range []int64{now, now - 1, now + 1} {
		for _, k := range n.keys {
			if hmac.Equal([]byte(nonce), []byte(n.make(k, w))) {
				return true
			}
		}
	}
	return false
}

// window is the number of the current period.
func (n *nonces) window() int64 { return n.now().Unix() / int64(noncePeriod/time.Second) }

func (*nonces) make(key []byte, window int64) string {
	mac := hmac.New(sha256.New, key)
	text := append([]byte("regionjwt dpop nonce\x00"), make([]byte, 0, 16)...)
	text = binary.BigEndian.AppendUint64(text, uint64(noncePeriod/time.Second))
	text = binary.BigEndian.AppendUint64(text, uint64(window))
	mac.Write(text)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:nonceBytes])
}
