package jose

import (
	"crypto/elliptic"
	"math/big"
	"slices"
)

func curveOf(name string) elliptic.Curve {
	switch name {
	case "P-256":
		return elliptic.P256()
	case "P-384":
		return elliptic.P384()
	case "P-521":
		return elliptic.P521()
	}
	return nil
}

// The field and the curve constant of edwards25519: RFC 8032, section 5.1.
var (
	fieldPrime = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	curveD     = func() *big.Int {
		d := new(big.Int).ModInverse(big.NewInt(121666), fieldPrime)
		d.Mul(d, big.NewInt(-121665))
		return d.Mod(d, fieldPrime)
	}()
)

// usableEd25519 reports whether b is the one canonical encoding of a point of the curve that has not a small order.
// Under a key of small order, one signature fits many messages.
func usableEd25519(b []byte) bool {
	if len(b) != 32 {
		return false
	}
	le := slices.Clone(b)
	sign := le[31] >> 7
	le[31] &= 0x7F
	slices.Reverse(le)
	y := new(big.Int).SetBytes(le)
	if y.Cmp(fieldPrime) >= 0 {
		return false
	}
	x, ok := recoverX(y)
	if !ok || (x.Sign() == 0 && sign == 1) {
		return false
	}
	// Double three times: the orders below 8 are exactly those whose eighth multiple is the neutral point (0, 1).
	for range 3 {
		x, y = double(x, y)
	}
	return x.Sign() != 0 || y.Cmp(big.NewInt(1)) != 0
}

// recoverX solves the curve equation for x, up to its sign: x^2 = (y^2 - 1) / (d y^2 + 1).
func recoverX(y *big.Int) (*big.Int, bool) {
	yy := new(big.Int).Mul(y, y)
	den := new(big.Int).Mul(curveD, yy)
	den.Add(den, big.NewInt(1)).Mod(den, fieldPrime)
	num := yy.Sub(yy, big.NewInt(1))
	num.Mul(num, den.ModInverse(den, fieldPrime)).Mod(num, fieldPrime)
	x := new(big.Int).ModSqrt(num, fieldPrime)
	return x, x != nil
}

// double adds a point of -x^2 + y^2 = 1 + d x^2 y^2 to itself, in affine coordinates.
func double(x, y *big.Int) (x2, y2 *big.Int) {
	one := big.NewInt(1)
	xy := new(big.Int).Mul(x, y)
	xx, yy := new(big.Int).Mul(x, x), new(big.Int).Mul(y, y)
	t := new(big.Int).Mul(xx, yy)
	t.Mul(t, curveD).Mod(t, fieldPrime)
	plus, minus := new(big.Int).Add(one, t), new(big.Int).Sub(one, t)
	minus.Mod(minus, fieldPrime)
	x2 = xy.Lsh(xy, 1)
	x2.Mul(x2, plus.ModInverse(plus, fieldPrime)).Mod(x2, fieldPrime)
	y2 = yy.Add(yy, xx)
	y2.Mul(y2, minus.ModInverse(minus, fieldPrime)).Mod(y2, fieldPrime)
	return x2, y2
}
