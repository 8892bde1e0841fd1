package strictjson

import "unicode/utf8"

// escape validates the escape at the current backslash; a surrogate counts only as the high half of a pair.
func (s *scanner) escape() error {
	if s.pos+1 >= len(s.doc) {
		return ErrSyntax
	}
	switch s.doc[s.pos+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos += 2
		return nil
	case 'u':
	default:
		return ErrSyntax
	}
	r, ok := hex4(s.doc[s.pos+2:])
	if !ok {
		return ErrSyntax
	}
	s.pos += 6
	if r < 0xD800 || r > 0xDFFF {
		return nil
	}
	if r > 0xDBFF || len(s.doc)-s.pos < 6 || s.doc[s.pos] != '\\' || s.doc[s.pos+1] != 'u' {
		return ErrEncoding
	}
	low, ok := hex4(s.doc[s.pos+2:])
	if !ok {
		return ErrSyntax
	}
	if low < 0xDC00 || low > 0xDFFF {
		return ErrEncoding
	}
	s.pos += 6
	return nil
}

func hex4(s string) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	var r rune
	for i := range 4 {
		c := s[i]
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// unescape returns the decoded form of the inside of a validated string.
func unescape(src string) string {
	dst := make([]byte, 0, len(src))
	for i := 0; i < len(src); {
		if src[i] != '\\' {
			dst = append(dst, src[i])
			i++
			continue
		}
		switch c := src[i+1]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, _ := hex4(src[i+2:])
			if r >= 0xD800 && r <= 0xDBFF {
				low, _ := hex4(src[i+8:])
				r = 0x10000 + (r-0xD800)<<10 + (low - 0xDC00)
				i += 6
			}
			dst = utf8.AppendRune(dst, r)
			i += 4
		default:
			dst = append(dst, c)
		}
		i += 2
	}
	return string(dst)
}
