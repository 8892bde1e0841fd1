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

// Defaults and bounds of a NonceConfig.
const (
	defaultPeriod = 5 * time.Minute
	minPeriod     = 10 * time.Second
	maxPeriod     = time.Hour
	minNonceKey   = 32
	maxNonceKeys  = 4
	nonceBytes    = 16
)

// NonceConfig configures the nonces of NewNonces. Keys is required.
type NonceConfig struct {
	// Keys are secrets of at least 32 random octets, at most 4 of them, for this use only. Nonces are made with the first, and
	// those of the others are taken too, so that a key can be exchanged: add the new one at the end everywhere, then put it
	// first, then drop the old one. Processes that serve one client share them: each would refuse the nonces of the others.
	Keys [][]byte

	// Period is how long a nonce is given out. It is taken for another period, so a proof can be made at most two periods ahead
	// of its use. 0 means 5 minutes; from 10 seconds to an hour, the same in all processes.
	Period time.Duration

	// Now tells the time; nil means time.Now.
	Now func() time.Time
}

// TimedNonces are Nonces that nobody stores: each is a keyed digest of the time. They are safe for concurrent use.
type TimedNonces struct {
	keys   [][]byte
	period int64 // seconds
	now    func() time.Time
}

// NewNonces returns TimedNonces, or everything that is wrong with c.
func NewNonces(c NonceConfig) (*TimedNonces, error) {
	var errs []error
	if len(c.Keys) == 0 || len(c.Keys) > maxNonceKeys {
		errs = append(errs, fmt.Errorf("dpop: the keys of nonces are not from 1 to %d", maxNonceKeys))
	}
	n := &TimedNonces{now: c.Now}
	for i, k := range c.Keys {
		if len(k) < minNonceKey {
			errs = append(errs, fmt.Errorf("dpop: key %d of nonces has less than %d octets", i, minNonceKey))
		}
		n.keys = append(n.keys, slices.Clone(k))
	}
	if c.Period == 0 {
		c.Period = defaultPeriod
	}
	if c.Period < minPeriod || c.Period > maxPeriod || c.Period%time.Second != 0 {
		errs = append(errs, fmt.Errorf("dpop: the period of nonces is not whole seconds from %v to %v", minPeriod, maxPeriod))
	}
	n.period = int64(c.Period / time.Second)
	if n.now == nil {
		n.now = time.Now
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return n, nil
}

// Current returns the nonce of this period.
func (n *TimedNonces) Current() string {
	if n == nil || len(n.keys) == 0 {
		return "" // not made by NewNonces: none is valid either
	}
	return n.make(n.keys[0], n.window())
}

// Valid reports whether nonce is the one of this period or of the one before. That of the next is taken too: the clock of the
// process that gave it out may be ahead.
func (n *TimedNonces) Valid(nonce string) bool {
	if n == nil || len(n.keys) == 0 || len(nonce) != base64.RawURLEncoding.EncodedLen(nonceBytes) {
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

// window is the number of the period that it is.
func (n *TimedNonces) window() int64 { return n.now().Unix() / n.period }

func (n *TimedNonces) make(key []byte, window int64) string {
	mac := hmac.New(sha256.New, key)
	text := append([]byte("regionjwt dpop nonce\x00"), make([]byte, 0, 16)...)
	text = binary.BigEndian.AppendUint64(text, uint64(n.period))
	text = binary.BigEndian.AppendUint64(text, uint64(window))
	mac.Write(text)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:nonceBytes])
}
