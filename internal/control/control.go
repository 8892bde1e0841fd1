// Package control tells the characters that must not reach a terminal, a log or a page from the others.
package control

import "unicode"

// Character reports whether c is a control character, ends a line or paragraph, or changes the direction of writing.
func Character(c rune) bool {
	if ' ' <= c && c < 0x7F {
		return false
	}
	return unicode.In(c, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}
