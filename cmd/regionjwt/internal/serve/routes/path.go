package routes

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// The parts of a path that servers read in different ways. A path with one of them is rejected unless the file allows it.
const (
	slashes    = "%2f"  // an encoded slash
	backslash  = `\`    // which some servers take for a slash
	encodedBS  = "%5c"  // the same, encoded
	encodedDot = "%2e"  // an encoded dot
	control    = "%00"  // an encoded control character
	twice      = "%25"  // an encoding that was encoded
	empty      = "//"   // an empty segment
	here       = "/./"  // a segment that is a dot
	above      = "/../" // a segment that is two dots
	parameter  = ";"    // parameters of a segment, also encoded
)

// oddities lists them, as a file names them.
var oddities = []string{slashes, encodedBS, encodedDot, control, twice, backslash, empty, here, above, parameter}

var (
	errRelative = errors.New("the path does not begin with a slash")
	errEscape   = errors.New("the path has a percent sign that is not part of an encoding")
	errText     = errors.New("the path is not UTF-8, or has a space, a control character or #")
)

// readings returns what servers may take the path of a URI for: percent-encodings are decoded, and the query is left out. There
// are several if the path has something that is allowed and that servers read in different ways.
func readings(uri string, allowed []string) ([]string, error) {
	raw, _, _ := strings.Cut(uri, "?")
	if !strings.HasPrefix(raw, "/") {
		return nil, errRelative
	}
	for i := range len(raw) {
		if raw[i] <= ' ' || raw[i] == 0x7f || raw[i] == '#' {
			return nil, errText
		}
	}
	plain, err := decode(raw, func(c byte, rest string) bool { return oddEncoding(c, rest) == "" })
	switch {
	case err != nil:
		return nil, err
	case !utf8.ValidString(plain):
		return nil, errText
	}
	all := []string{plain}
	if len(allowed) > 0 && (strings.ContainsAny(plain, `%\;`) || strings.Contains(plain, "//") || strings.Contains(plain, "/.")) {
		for _, step := range steps {
			for _, r := range all {
				if other := step(r); !slices.Contains(all, other) {
					all = append(all, other)
				}
			}
		}
	}
	for i, r := range all {
		if !utf8.ValidString(r) {
			return nil, errText
		}
		if odd := oddIn(r, allowed); odd != "" && (odd != backslash || i == 0 || !slices.Contains(allowed, encodedBS)) {
			return nil, fmt.Errorf("the path has %s, which servers read in different ways", odd)
		}
	}
	return all, nil
}

// decode decodes the percent-encodings that the function chooses, by the character and what follows it.
func decode(s string, choose func(c byte, rest string) bool) (string, error) {
	if strings.IndexByte(s, '%') < 0 {
		return s, nil
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			out = append(out, s[i])
			continue
		}
		c, ok := encoded(s[i:])
		switch {
		case !ok:
			return "", errEscape
		case choose(c, s[i+3:]):
			out = append(out, c)
		default:
			out = append(out, strings.ToLower(s[i:i+3])...)
		}
		i += 2
	}
	return string(out), nil
}

// encoded returns the character of the encoding that s begins with.
func encoded(s string) (byte, bool) {
	if len(s) < 3 || s[0] != '%' {
		return 0, false
	}
	high, low := hex(s[1]), hex(s[2])
	return byte(high<<4 | low), high >= 0 && low >= 0
}

func hex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// oddEncoding names what the encoding of a character is, or returns "".
func oddEncoding(c byte, rest string) string {
	switch {
	case c < ' ' || c == 0x7f:
		return control
	case c == '/':
		return slashes
	case c == '\\':
		return encodedBS
	case c == '.':
		return encodedDot
	case c == ';':
		return parameter
	case c == '%' && looksEncoded(rest):
		return twice
	}
	return ""
}

// looksEncoded reports whether "%" and rest are read as an encoding by a server that decodes twice.
func looksEncoded(rest string) bool {
	_, ok := encoded("%" + rest)
	_, nested := encoded(rest)                                              // %25%32%66
	half := len(rest) > 1 && hex(rest[0]) >= 0 && rest[1] == '%'            // %252%66
	unicode := strings.HasPrefix(rest, "u") || strings.HasPrefix(rest, "U") // %25u002f
	return ok || nested || half || unicode
}

// oddIn names something in a reading that is not allowed, or returns "".
func oddIn(s string, allowed []string) string {
	found := ""
	note := func(odd string) {
		if odd != "" && !slices.Contains(allowed, odd) {
			found = odd
		}
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c == '%':
			if e, ok := encoded(s[i:]); ok {
				note(oddEncoding(e, s[i+3:]))
			}
		case c == '\\':
			note(backslash)
		case c == ';':
			note(parameter)
		case c < ' ' || c == 0x7f:
			note(control)
		}
	}
	if strings.Contains(s, "//") {
		note(empty)
	}
	for segment := range strings.SplitSeq(s, "/") {
		switch segment {
		case ".":
			note(here)
		case "..":
			note(above)
		}
	}
	return found
}

// steps are what servers do to a path, or do not do. Some decode twice.
var steps = []func(string) string{decodeAll, decodeAll, fromBackslashes, withoutParameters, withoutEmpty, withoutDots}

func decodeAll(s string) string {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if c, ok := encoded(s[i:]); ok {
			out = append(out, c)
			i += 2
			continue
		}
		out = append(out, s[i])
	}
	return string(out)
}

func fromBackslashes(s string) string { return strings.ReplaceAll(s, `\`, "/") }

func withoutParameters(s string) string {
	segments := strings.Split(s, "/")
	for i, segment := range segments {
		segments[i], _, _ = strings.Cut(segment, ";")
	}
	return strings.Join(segments, "/")
}

func withoutEmpty(s string) string {
	for strings.Contains(s, "//") {
		s = strings.ReplaceAll(s, "//", "/")
	}
	return s
}

// withoutDots removes dot segments (RFC 3986 section 5.2.4).
func withoutDots(s string) string {
	segments := strings.Split(s, "/")[1:]
	kept := make([]string, 0, len(segments))
	for i, segment := range segments {
		last := i == len(segments)-1
		switch {
		case segment == ".." && len(kept) > 0:
			kept = kept[:len(kept)-1]
		case segment != "." && segment != "..":
			kept = append(kept, segment)
			continue
		}
		if last {
			kept = append(kept, "")
		}
	}
	return "/" + strings.Join(kept, "/")
}
