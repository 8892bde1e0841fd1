package dpop

import (
	"net/netip"
	"strings"
)

// maxURL is the length of the longest URL without its query, in bytes.
const maxURL = 16 << 10

// normalURL returns the normal form of an absolute http or https URL without query and fragment (RFC 3986 sections 6.2.2 and
// 6.2.3): scheme and host in lower case, no default port, a path that is not empty and has no dot segments, escapes in upper case
// and only if they are needed. It rejects a user name (RFC 9110 section 4.2.4), and an escape in a host, as host names have none.
//
// Bytes that are not allowed in a path are escaped, since browsers do not escape some of them; white space and control characters
// are rejected.
func normalURL(s string) (string, bool) {
	s, _, _ = strings.Cut(s, "#")
	s, _, _ = strings.Cut(s, "?")
	if len(s) > maxURL {
		return "", false
	}
	scheme, rest, ok := strings.Cut(s, "://")
	scheme = lower(scheme)
	defaultPort, known := map[string]string{"https": "443", "http": "80"}[scheme]
	hostPort, path := rest, "/"
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		hostPort, path = rest[:i], rest[i:]
	}
	host, port, fine := splitAuthority(hostPort)
	path, sound := normalPath(path)
	if !ok || !known || !fine || !sound {
		return "", false
	}
	if port != "" && port != defaultPort {
		host += ":" + port
	}
	return scheme + "://" + host + path, true
}

// splitAuthority returns the host in its normal form, and the port (RFC 3986 section 3.2).
func splitAuthority(s string) (host, port string, ok bool) {
	if literal, bracket := strings.CutPrefix(s, "["); bracket {
		inner, after, closed := strings.Cut(literal, "]")
		addr, err := netip.ParseAddr(inner)
		if !closed || err != nil || !addr.Is6() || addr.Zone() != "" {
			return "", "", false
		}
		host, port = "["+addr.String()+"]", after
		if after != "" && after[0] != ':' {
			return "", "", false
		}
		port = strings.TrimPrefix(port, ":")
	} else {
		host, port, _ = strings.Cut(s, ":")
		for i := range len(host) {
			if !isUnreserved(host[i]) && !isSubDelim(host[i]) {
				return "", "", false
			}
		}
		host = lower(host)
	}
	for i := range len(port) {
		if port[i] < '0' || port[i] > '9' {
			return "", "", false
		}
	}
	return host, port, host != ""
}

// normalPath returns the normal form of a path that starts with a slash.
func normalPath(path string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		c := path[i]
		switch {
		case c == '%':
			if i+2 >= len(path) {
				return "", false
			}
			hi, lo := unhex(path[i+1]), unhex(path[i+2])
			if hi > 15 || lo > 15 {
				return "", false
			}
			i += 2
			if c = hi<<4 | lo; isUnreserved(c) {
				b.WriteByte(c)
			} else {
				appendEscape(&b, c)
			}
		case c == '/' || c == ':' || c == '@' || isUnreserved(c) || isSubDelim(c): // RFC 3986 section 3.3
			b.WriteByte(c)
		case c <= ' ' || c == 0x7F:
			return "", false
		default:
			appendEscape(&b, c)
		}
	}
	return removeDots(b.String()), true
}

func appendEscape(b *strings.Builder, c byte) {
	const digits = "0123456789ABCDEF"
	b.WriteByte('%')
	b.WriteByte(digits[c>>4])
	b.WriteByte(digits[c&15])
}

// removeDots removes the segments "." and "..": RFC 3986 section 5.2.4.
func removeDots(path string) string {
	segments := strings.Split(path[1:], "/")
	kept := segments[:0]
	for i, s := range segments {
		if s != "." && s != ".." {
			kept = append(kept, s)
			continue
		}
		if s == ".." && len(kept) > 0 {
			kept = kept[:len(kept)-1]
		}
		if i == len(segments)-1 {
			kept = append(kept, "") // the rest names a folder
		}
	}
	return "/" + strings.Join(kept, "/")
}

func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

func isSubDelim(c byte) bool { return strings.IndexByte("!$&'()*+,;=", c) >= 0 }

func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 0xFF
}

// lower turns ASCII letters, and no other letters, into lower case.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
