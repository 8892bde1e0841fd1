package jose

import "errors"

// ErrBase64 says that a text is not canonical base64url without padding.
var ErrBase64 = errors.New("not canonical base64url")

// AppendBase64 appends the octets that src encodes in base64url without padding (RFC 7515, section 2). It refuses every
// octet outside the alphabet, line breaks included, impossible lengths, and a last character with unused bits set, so
// that each value has exactly one spelling.
func AppendBase64(dst []byte, src string) ([]byte, error) {
	n := len(src)
	if n%4 == 1 {
		return dst, ErrBase64
	}
	i := 0
	for ; i+4 <= n; i += 4 {
		a, b, c, d := sextets[src[i]], sextets[src[i+1]], sextets[src[i+2]], sextets[src[i+3]]
		if (a|b|c|d)&0xC0 != 0 {
			return dst, ErrBase64
		}
		dst = append(dst, a<<2|b>>4, b<<4|c>>2, c<<6|d)
	}
	switch n - i {
	case 2:
		a, b := sextets[src[i]], sextets[src[i+1]]
		if (a|b)&0xC0 != 0 || b&0x0F != 0 {
			return dst, ErrBase64
		}
		dst = append(dst, a<<2|b>>4)
	case 3:
		a, b, c := sextets[src[i]], sextets[src[i+1]], sextets[src[i+2]]
		if (a|b|c)&0xC0 != 0 || c&0x03 != 0 {
			return dst, ErrBase64
		}
		dst = append(dst, a<<2|b>>4, b<<4|c>>2)
	}
	return dst, nil
}

// sextets maps each octet to its six bits, or to 0xFF.
var sextets = func() (table [256]byte) {
	for i := range table {
		table[i] = 0xFF
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for i := range alphabet {
		table[alphabet[i]] = byte(i)
	}
	return table
}()
