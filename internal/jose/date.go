package jose

import "time"

// maxNumericDate is the last second of the year 9999.
const maxNumericDate = 253402300799

// NumericDate reads a NumericDate (RFC 7519 section 2) from the text of a JSON value, exactly, down to nanoseconds; what is
// smaller is cut off. It rejects what is not a number, and dates further from 1970 than the end of the year 9999.
func NumericDate(text string) (date time.Time, ok bool) {
	if text == "" || text[0] != '-' && (text[0] < '0' || text[0] > '9') {
		return time.Time{}, false
	}
	sec, nsec, ok := numericDate(text)
	if !ok {
		return time.Time{}, false
	}
	return time.Unix(sec, nsec), true
}

// numericDate reads a JSON number.
func numericDate(text string) (sec, nsec int64, ok bool) {
	if sec, ok := seconds(text); ok {
		return sec, 0, true
	}
	negative := text[0] == '-'
	if negative {
		text = text[1:]
	}
	// The value is 0.d1d2d3... x 10^point, with d1 not zero.
	var digits [32]byte
	n, point, exponent := 0, 0, 0
	fraction, started := false, false
	for i := range len(text) {
		c := text[i]
		if c == 'e' || c == 'E' {
			exponent = smallInt(text[i+1:])
			break
		}
		if c == '.' {
			fraction = true
			continue
		}
		started = started || c != '0'
		switch {
		case started && !fraction:
			point++
		case !started && fraction:
			point--
		}
		if started && n < len(digits) {
			digits[n] = c - '0'
			n++
		}
	}
	if n == 0 {
		return 0, 0, true
	}
	point += exponent
	if point > 12 { // 10^12 and more
		return 0, 0, false
	}
	for i := range 12 + 9 { // twelve places before the point, nine behind it
		d := int64(0)
		if j := i - (12 - point); j >= 0 && j < n {
			d = int64(digits[j])
		}
		if i < 12 {
			sec = sec*10 + d
		} else {
			nsec = nsec*10 + d
		}
	}
	if sec > maxNumericDate {
		return 0, 0, false
	}
	if negative {
		sec, nsec = -sec, -nsec
	}
	return sec, nsec, true
}

// seconds reads the usual form of a date: ten digits at most, and nothing else.
func seconds(text string) (sec int64, ok bool) {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
		sec = sec*10 + int64(text[i]-'0')
	}
	return sec, len(text) <= 10
}

// smallInt reads the exponent of a JSON number, held within bounds far beyond any date.
func smallInt(text string) int {
	negative := text[0] == '-'
	if negative || text[0] == '+' {
		text = text[1:]
	}
	n := 0
	for i := range len(text) {
		c := text[i]
		n = min(n*10+int(c-'0'), 1<<20)
	}
	if negative {
		return -n
	}
	return n
}
